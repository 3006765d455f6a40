"""What every stage is: a command with errors, progress, whole outputs and a manifest."""
