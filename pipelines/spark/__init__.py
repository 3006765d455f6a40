"""The parts of the Spark job: elements and shuffles around the kernels of `features`."""
