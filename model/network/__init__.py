"""The two towers, what goes into them, and a finished model of them; all the rest of model needs these."""
