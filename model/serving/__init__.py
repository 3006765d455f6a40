"""An export: raw features in, items out; its graph, its index, and how it is asked."""
