"""The parts of the Beam job: sources, shuffles and sinks around the kernels of `features`."""
