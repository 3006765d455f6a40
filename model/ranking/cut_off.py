"""How deep the recall looks that everything is chosen by, and what is said where it sees all items, or many."""

import sys

CUT_OFF = 50
DECIDES = f"recall@{CUT_OFF}"
"""The metric that everything is chosen by: the best validation, a comparison's settings, a gate's verdict."""


def warn_if_all_are_found(items: int, *, so: str) -> None:
    """Says on stderr if Recall@50 is the same whatever the model.

    Args:
        items: That are ranked for a query, at most.
        so: What follows, in words.
    """
    if items <= CUT_OFF:
        _warn(
            f"no query has more than {items:,} items ranked, all of which are among the first {CUT_OFF} of "
            f"any ranking, so nothing can be chosen by Recall@{CUT_OFF}: {so}"
        )


def warn_if_chance_reaches(floor: float, *, items: int) -> None:
    """Says on stderr if a first model passes the gate's floor by chance, unless `warn_if_all_are_found` says more.

    Args:
        floor: What its Recall@50 must reach; 0: nothing.
        items: As of `warn_if_all_are_found`.
    """
    if items > CUT_OFF and 0 < floor <= CUT_OFF / items:
        _warn(
            f"a random ranking of {items:,} items has a Recall@{CUT_OFF} of {CUT_OFF / items:.2g}, and gate.floor is "
            f"{floor:g}, so a model may pass that has learned nothing: set gate.floor above what evaluate finds for "
            "the baselines"
        )


def _warn(said: str) -> None:
    print(f"warning: {said}", file=sys.stderr, flush=True)
