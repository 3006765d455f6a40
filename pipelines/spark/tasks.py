"""What the job's tasks do beside the steps that it shares: read a range, look at a broadcast, say what was written."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pydantic import TypeAdapter
from pyspark import Broadcast

from features.pairs import PAIRS
from features.spec.spec import Spec
from features.split import TimeBounds
from pipelines.aggregation import steps
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.elements import CoGrouped, Element, Grouped
from pipelines.aggregation.input_files import FileRange
from pipelines.aggregation.mutual_information import CountBlocks
from pipelines.aggregation.output import Written
from pipelines.aggregation.packing import Keyed, Packed, concat, pack
from pipelines.aggregation.reading import read_batches

WRITTEN = "written"
"""Kind of what `Written` says, as JSON."""

_WRITTEN = TypeAdapter(Written)
T = TypeVar("T")


def read_range(
    element: FileRange, columns: Columns, *, begin: Callable[[], steps.ValidateLines | steps.ValidateRows]
) -> Iterator[Element]:
    """What a step makes of the batches of a range."""
    step = begin()
    for batch in read_batches(element, columns):
        yield from step.add(batch)
    yield from step.end()


def merge(
    element: CoGrouped, spec: Spec, *, bounds: TimeBounds | None, shards: int, known: Broadcast[Packed] | None
) -> Iterator[Element]:
    """As `steps.merge`."""
    return steps.merge(element, spec, bounds=bounds, shards=shards, known=known.value if known else None)


def concat_pairs(element: Grouped) -> Iterator[Keyed]:
    """The PAIRS of a shard as one element."""
    yield element[0], pack(concat(element[1], PAIRS))


def count_block(element: Grouped, spec: Spec, *, bounds: dict[str, list[float]], shards: int) -> Iterator[Element]:
    """As `CountBlocks`, of one block."""
    count = CountBlocks(spec, shards)
    yield from count.add(element, bounds)
    yield from count.end()


def saying(write: Callable[[T], Written]) -> Callable[[T], Iterator[Element]]:
    """A writer as a step that says what it wrote."""
    return lambda element: iter([Element(WRITTEN, (0, _WRITTEN.dump_json(write(element))))])


def decode_written(said: Iterable[Packed]) -> list[Written]:
    """The files that were written, each once."""
    found = map(_WRITTEN.validate_json, said)
    return list({written.file.name: written for written in found}.values())
