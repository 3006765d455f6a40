"""What a dataset's tables hold, as counts and protocol buffers, and how far it is from another's."""
