"""Elements as the rows of every DataFrame of the job: a kind, a shard and a packed table each.

A row is a whole table, as in the Beam job's shuffle, so Spark moves few large rows, sorts them by an integer and spills
them when it must. One DataFrame carries several kinds, since a step may leave several outputs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.aggregation.elements import CoGrouped, Element, Grouped, of_kind
from pipelines.aggregation.input_files import FileRange
from pipelines.aggregation.packing import Keyed, Packed

COLUMNS = "kind string, shard int, packed binary"
_SCHEMA = pa.schema([("kind", pa.string()), ("shard", pa.int32()), ("packed", pa.binary())])

Elements: TypeAlias = Iterable[Element]
T = TypeVar("T")


def read_each(spark: SparkSession, ranges: list[FileRange], *, read: Callable[[FileRange], Elements]) -> DataFrame:
    """What reading gives, each range as a task of its own."""

    def of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from _to_batches(read(ranges[number]))

    return spark.range(0, len(ranges), 1, len(ranges)).mapInArrow(of_batches, COLUMNS)


def each_element(frame: DataFrame, kind: str, *, work: Callable[[Keyed], Elements]) -> DataFrame:
    """What work gives of each element of a kind, without a shuffle."""

    def of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                yield from _to_batches(work((row["shard"], row["packed"])))

    return only(frame, kind).mapInArrow(of_batches, COLUMNS)


def each_shard(frame: DataFrame, work: Callable[[CoGrouped], Elements]) -> DataFrame:
    """What work gives of all elements of a shard, by kind, after a shuffle."""

    def of_group(key, table):  # type: ignore[no-untyped-def]
        found: dict[str, list[Packed]] = defaultdict(list)
        for row in table.to_pylist():
            found[row["kind"]].append(row["packed"])
        batches = list(_to_batches(work((key[0].as_py(), found))))
        return pa.Table.from_batches(batches, _SCHEMA)

    return frame.groupBy("shard").applyInArrow(of_group, COLUMNS)


def each_shard_of(frame: DataFrame, kind: str, *, work: Callable[[Grouped], Elements]) -> DataFrame:
    """What work gives of all elements of a kind in a shard, after a shuffle."""
    return each_shard(only(frame, kind), lambda element: work((element[0], element[1][kind])))


def giving(kind: str, work: Callable[[T], Iterable[Keyed]]) -> Callable[[T], Elements]:
    """A step that gives one kind, and leaves it to the engine to know which."""
    return lambda element: of_kind(kind, work(element))


def then(work: Callable[[T], Elements], kind: str, *, more: Callable[[Keyed], Elements]) -> Callable[[T], Elements]:
    """A step, and at once the one behind it, which takes a kind of what it gives: no frame is read again for that."""

    def both(element: T) -> Iterator[Element]:
        for given in work(element):
            yield given
            if given.kind == kind:
                yield from more(given.keyed)

    return both


def whole(work: Callable[[T], Elements]) -> Callable[[T], Elements]:
    """A step that has ended, and holds nothing any more, when the one behind it begins."""
    return lambda element: [*work(element)]


def only(frame: DataFrame, *kinds: str) -> DataFrame:
    """The elements of some kinds."""
    return frame.where(frame.kind.isin(*kinds))


def collect(frame: DataFrame, kind: str) -> list[Packed]:
    """The elements of a kind, in the driver: for what is small."""
    return [bytes(row.packed) for row in only(frame, kind).select("packed").collect()]


def _to_batches(elements: Elements) -> Iterator[pa.RecordBatch]:
    for kind, keyed in elements:
        yield pa.RecordBatch.from_arrays([pa.array([value]) for value in (kind, *keyed)], schema=_SCHEMA)
