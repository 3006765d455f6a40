"""Items ranked for the queries of a split, and what that is worth: metrics, baselines, intervals, verdicts."""
