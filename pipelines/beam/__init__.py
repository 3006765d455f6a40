"""The parts of the Beam job: sources, shuffles and files around the kernels of `features`."""
