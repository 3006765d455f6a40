"""How many scores are held at once, by whoever scores many queries against many items."""

SCORES_AT_ONCE = 1 << 26
"""Bounds memory: 256 MB of float32. With a large corpus fewer queries are scored at a time, one at the least."""
