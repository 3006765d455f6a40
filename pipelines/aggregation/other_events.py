"""The events of a log that aren't positive, where a job may find none that is: at all, or in the time of the test."""

from collections import Counter
from collections.abc import Mapping

from features.dataset import POSITIVE
from features.interactions import TOLD_EVENTS, Outcome

_OTHER, _OTHER_IN_TEST, _POSITIVE_IN_TEST = "other\t", "in_test\tother\t", "in_test\tpositive"


def count_other_events(outcome: Outcome) -> dict[str, int]:
    """Counts of one batch, which the job adds up like all others."""
    counts = {f"{_OTHER}{event}": lines for event, lines in outcome.others.items()}
    counts |= {f"{_OTHER_IN_TEST}{event}": lines for event, lines in outcome.others_in_test.items()}
    return counts | ({_POSITIVE_IN_TEST: outcome.positive_in_test} if outcome.positive_in_test else {})


def others_alone(counts: Mapping[str, int]) -> list[str]:
    """The commonest events of a log, commonest first; none if a line has a positive one.

    Args:
        counts: Of the whole job.
    """
    has_positive = any(lines for name, lines in counts.items() if name.startswith(POSITIVE))
    return [] if has_positive else _commonest(counts, _OTHER)


def others_alone_in_test(counts: Mapping[str, int]) -> list[str]:
    """The commonest events of the test's time, commonest first; none if a line of that time has a positive one.

    Args:
        counts: Of the whole job.
    """
    return [] if counts.get(_POSITIVE_IN_TEST) else _commonest(counts, _OTHER_IN_TEST)


def _commonest(counts: Mapping[str, int], prefix: str) -> list[str]:
    found = Counter({name.removeprefix(prefix): lines for name, lines in counts.items() if name.startswith(prefix)})
    return sorted(found, key=lambda event: (-found[event], event))[:TOLD_EVENTS]
