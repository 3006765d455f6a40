"""How deep the recall looks that everything is chosen by, and what is said where it sees all items."""

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
        print(
            f"warning: no query has more than {items:,} items ranked, all of which are among the first {CUT_OFF} of "
            f"any ranking, so nothing can be chosen by Recall@{CUT_OFF}: {so}",
            file=sys.stderr,
            flush=True,
        )
