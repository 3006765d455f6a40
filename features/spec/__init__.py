"""The spec: its sections, how a file becomes one, and what of it an output was made under."""
