"""The jobs: converters, the build on Beam and on Spark, the run, publishing, the command line, retraining."""
