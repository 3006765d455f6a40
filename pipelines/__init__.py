"""The jobs: converters, the Beam build, the local run, the command line."""
