"""What became of the lines that a build read."""

from dataclasses import dataclass

from features.dataset import EMPTY_HISTORY, POSITIVE, WITHOUT_ROW
from features.split import SPLITS
from stage.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class DatasetCounts:
    """Counts of a dataset, in the order in which they are shown."""

    lines: list[tuple[str, int]]
    """What was done with a line -> lines; the first is all that were read, of which the others are parts."""
    rejected: list[tuple[str, int]]
    """Reason -> lines, the commonest first."""
    positive: list[tuple[str, int]]
    """Event that the spec lists as positive -> lines that have it, whatever became of them."""
    contents: list[tuple[str, int]]
    """What the dataset holds -> how many."""


def count_dataset(manifest: Manifest) -> DatasetCounts:
    """Counts as a dataset's manifest has them."""
    counts = manifest.counts
    lines = [
        ("read", counts.get("lines/read", 0)),
        ("kept", counts.get("lines/kept", 0)),
        *((f"filtered: {_name(key)}", value) for key, value in counts.items() if key.startswith("filtered/")),
        ("rejected", counts.get("lines/rejected", 0)),
    ]
    contents = [
        *((f"{split} examples", counts.get(f"examples/{split}", 0)) for split in SPLITS),
        *([("examples with an empty history", counts[EMPTY_HISTORY])] if EMPTY_HISTORY in counts else []),
        ("queries", counts.get("queries", 0)),
        *([("queries without a row in the query table", counts[WITHOUT_ROW])] if WITHOUT_ROW in counts else []),
        ("items", counts.get("items", 0)),
        ("items without a training pair", counts.get("items/cold", 0)),
        *((f"terms of vocabulary {name}", terms) for name, terms in manifest.vocabularies.items()),
    ]
    by_count = sorted(manifest.rejected.items(), key=lambda entry: (-entry[1], entry[0]))
    rejected = [(_in_words(reason), count) for reason, count in by_count]
    positive = [(key.removeprefix(POSITIVE), value) for key, value in counts.items() if key.startswith(POSITIVE)]
    return DatasetCounts(lines=lines, rejected=rejected, positive=positive, contents=contents)


def _in_words(reason: str) -> str:
    """A reason without underscores, but for those of the column that it may name."""
    what, bracket, column = reason.partition(" (")
    return what.replace("_", " ") + bracket + column


def _name(key: str) -> str:
    return key.partition("/")[2].replace("_", " ")
