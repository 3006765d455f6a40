"""What every engine does to logs and tables between its shuffles, of which Beam and Spark only move the data."""
