"""What the report shows, a concept a file."""
