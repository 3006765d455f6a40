"""Other people's models, each run by the interpreter of an environment of its own: `make peers`."""
