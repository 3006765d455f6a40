"""The section `evaluate` of the spec."""

from features.spec.section import Positive, Section


class Evaluate(Section):
    """What is ranked."""

    exclude_known: bool = True
    """Leave a query's training items, and on test its validation items, out of its candidates; not with session or
    split.repeat_consumption."""
    exclude_self: bool = True
    """Leave the query itself out where queries are items."""
    batch_size: Positive = 8192
    """Queries or items embedded at a time."""
    max_queries: Positive | None = None
    """Rank the pairs of so many of the split's queries, drawn by a hash of their ids, in session mode so many of its
    examples, by a hash of user and item; null: all. To rank a query takes time in proportion to the items."""
    baselines: bool = True
    """Rank by popularity and by co-occurrence too. The latter counts every two items of a training query, n * n of a
    query with n, which may be more than there is memory for."""
