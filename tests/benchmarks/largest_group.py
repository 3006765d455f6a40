"""What crosses the shuffles of a Beam job: the packed tables that each GroupByKey groups, and its largest group."""

from collections import Counter
from typing import Any

import apache_beam as beam

from pipelines.aggregation.packing import unpack
from pipelines.beam import runner

ROWS: Counter[str] = Counter()
"""Label of a GroupByKey -> rows of its largest group, in jobs that ran in this process."""
BYTES: Counter[str] = Counter()
"""As ROWS: packed bytes."""
ALL_ROWS: Counter[str] = Counter()
"""Label of a GroupByKey -> rows of all its groups."""
ALL_BYTES: Counter[str] = Counter()
"""As ALL_ROWS: packed bytes."""


_apply = beam.Pipeline.apply


def look() -> None:
    """From now on in this process, at graphs that are built; tables are packed as if they had to leave it."""
    beam.Pipeline.apply = apply_and_look
    runner.HELD_BYTES = 0


def apply_and_look(pipeline: beam.Pipeline, transform: Any, *where: Any, **named: Any) -> Any:
    """In place of `beam.Pipeline.apply`: adds a look at every GroupByKey, also inside a CoGroupByKey."""
    result = _apply(pipeline, transform, *where, **named)
    if not isinstance(transform, beam.GroupByKey) or len(where) > 1 or named.get("label"):
        return result  # with a label, apply calls itself once more
    label = result.producer.full_label
    return result | f"Look at {label}" >> beam.Map(_look, label).with_output_types(result.element_type)


def _look(element: Any, label: str) -> Any:
    packed = [value for value in (_bare(value) for value in element[1]) if value is not None]
    size, rows = sum(len(value) for value in packed), sum(unpack(value).num_rows for value in packed)
    BYTES[label] = max(BYTES[label], size)
    ROWS[label] = max(ROWS[label], rows)
    ALL_BYTES[label] += size
    ALL_ROWS[label] += rows
    return element


def _bare(value: Any) -> bytes | None:
    """The packed table of a grouped value, which CoGroupByKey tags: it begins as what zstd compressed does."""
    value = value[1] if isinstance(value, tuple) and len(value) == 2 else value
    return value if isinstance(value, bytes) and value[:4] == b"\x28\xb5\x2f\xfd" else None
