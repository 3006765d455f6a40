"""Raw logs: converters from public downloads, and a generator."""
