"""How the towers learn: batches, views and masks, losses, steps, checkpoints, workers."""
