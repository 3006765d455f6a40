"""How deep the recall looks that everything is chosen by, and what is said where it sees the whole corpus."""

import sys

CUT_OFF = 50
"""Of `recall@50`."""


def warn_if_all_are_found(items: int, *, so: str) -> None:
    """Says on stderr if Recall@50 is the same whatever the model.

    Args:
        items: Of the corpus.
        so: What follows, in words.
    """
    if items <= CUT_OFF:
        print(
            f"warning: the corpus has only {items:,} items, all of which are among the first {CUT_OFF} of any ranking, "
            f"so nothing can be chosen by Recall@{CUT_OFF}: {so}",
            file=sys.stderr,
            flush=True,
        )
