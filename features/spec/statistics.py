"""The sections of what a build measures: `mutual_information`, `statistics`."""

from typing import Annotated, Literal

from pydantic import Field

from features.spec.section import Fraction, Section, Seed


class MutualInformation(Section):
    """Mutual information of the item features, over the corpus."""

    weighting: Literal["uniform", "train_count"] = "uniform"
    """How an item counts; uniform is how the self-supervised task draws items."""
    numeric_buckets: Annotated[int, Field(ge=2)] = 10
    """Quantile classes of a numeric feature."""
    seed: Seed = 0
    """Of the permutation behind `chance`."""


class Statistics(Section):
    """Where the build fails that is given a schema (--schema) or a dataset to compare with (--baseline)."""

    max_missing_increase: Fraction = 0.05
    """A feature's share of missing values may exceed what the schema allows by so much."""
    max_new_values: Fraction = 0.05
    """Share of a feature's values that are not in its domain."""
    max_out_of_range: Fraction = 0.01
    """Share of a feature's numbers below its range, or above it."""
    max_l_infinity: Fraction | None = 0.1
    """Drift of categories and words: the greatest difference between a value's shares, now and in the baseline, or by
    how much the share of all values beside the baseline's 1,000 most common ones has grown; null: any."""
    max_jensen_shannon: Fraction | None = 0.1
    """Drift of numbers: the Jensen-Shannon divergence, in bits, over the baseline's quantile buckets; null: any."""
