"""Why a model may have been trained on pairs that a dataset's split by hash holds out."""

from features.spec_split import Split

_KEYS = ("method", "seed", "validation", "test", "cold_items")
"""Of the section split, those that choose the pairs held out; the others thin what is trained on."""


def other_pairs_held_out(before: Split, now: Split) -> str | None:
    """In which keys two splits by hash hold out other pairs, in words; None if they hold out the same.

    Args:
        before: Of the model's dataset.
        now: Of the dataset whose test split it meets.
    """
    was, is_now = before.model_dump(), now.model_dump()
    differing = [f"split.{key} was {was[key]}, is {is_now[key]}" for key in _KEYS if was[key] != is_now[key]]
    return "; ".join(differing) or None
