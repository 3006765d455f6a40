"""What a feature is: the spec of a dataset, and the kernels on Arrow that every engine runs."""
