"""Lines of JSON and CSV, and typed rows, to columns; each that can't be is told with its reason."""
