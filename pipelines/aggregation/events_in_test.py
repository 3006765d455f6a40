"""The events of a log in the time of a split's test, where a split by time may find none that is positive."""

from collections import Counter
from collections.abc import Mapping

from features.interactions import TOLD_EVENTS, Outcome

_POSITIVE, _OTHER = "in_test\tpositive", "in_test\tother\t"


def count_in_test(outcome: Outcome) -> dict[str, int]:
    """Counts of one batch, which the job adds up like all others."""
    others = {f"{_OTHER}{event}": lines for event, lines in outcome.others_in_test.items()}
    return others | ({_POSITIVE: outcome.positive_in_test} if outcome.positive_in_test else {})


def others_alone_in_test(counts: Mapping[str, int]) -> list[str]:
    """The commonest events of the test's time, commonest first; none if a line of that time has a positive one.

    Args:
        counts: Of the whole job.
    """
    if counts.get(_POSITIVE):
        return []
    found = Counter({name.removeprefix(_OTHER): lines for name, lines in counts.items() if name.startswith(_OTHER)})
    return sorted(found, key=lambda event: (-found[event], event))[:TOLD_EVENTS]
