"""Text files that end within a line, as one does that is still being copied."""

from features.places import locate
from pipelines.aggregation.batches import Batch

CUT_OFF = "cut_off/"
"""Before the path of a file whose last line is bad and has no newline: a count of 1. Either alone says nothing."""


def count_cut_off(batch: Batch) -> dict[str, int]:
    """The count of a batch that ends as such a file does, which the job adds up like all others."""
    file = batch.file
    if not batch.bad or file.compression is not None or file.place_unit != "byte":
        return {}
    _, start = locate(batch.first_place)
    last = max(batch.bad, key=lambda line: line.offset)
    return {f"{CUT_OFF}{file.path}": 1} if start + last.offset + len(last.content) == file.size else {}
