"""What is told of a model that finds no more than a user would have without it."""

from typing import Any

from model.ranking.cut_off import DECIDES
from model.ranking.metrics import shown_name


def describe_better_baseline(result: dict[str, Any], *, more_epochs: bool) -> str | None:
    """The baseline that finds most of the split's pairs, where the model finds no more.

    Args:
        result: What metrics.json holds.
        more_epochs: Whether the last validation of the model's training was the best.

    Returns:
        A line, or None: the model finds more than each, or all that there is, or nothing was ranked.
    """
    found = {name: metrics["overall"][DECIDES] for name, metrics in result["baselines"].items()}
    own = result["overall"][DECIDES]
    if own is None or own == 1 or not found:
        return None
    best = max(found, key=lambda name: found[name])
    if own > found[best]:
        return None
    first = "more train.epochs (the last validation was the best), " if more_epochs else ""
    return (
        f"no better than {shown_name(best)}: {DECIDES} {own:.3f}, {shown_name(best)} {found[best]:.3f}; {first}another "
        "train.temperature (0.2 or 0.3 in a small log), train.learning_rate, train.weight_decay or train.batch_size "
        "may find more"
    )
