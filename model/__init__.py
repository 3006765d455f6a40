"""The model: two towers, their training with the self-supervised task, and what is measured of them."""
