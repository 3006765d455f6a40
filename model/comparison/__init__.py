"""Which variant is better, and how sure that is: trains them all, ranks, and writes tables."""
