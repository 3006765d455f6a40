"""Elements: the rows of every DataFrame of the job, each a packed table with its kind and its shard.

A row is a whole table, as in the Beam job's shuffle, so Spark moves few large rows, sorts them by an integer and spills
them when it must. One DataFrame carries several kinds, since a step may leave several outputs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from pipelines.aggregation.input_files import FileRange
from pipelines.aggregation.packing import Keyed, Packed

COLUMNS = "kind string, shard int, packed binary"
_SCHEMA = pa.schema([("kind", pa.string()), ("shard", pa.int32()), ("packed", pa.binary())])


class Element(NamedTuple):
    """A row."""

    kind: str
    shard: int
    packed: Packed


def of_kind(kind: str, keyed: Iterable[Keyed]) -> Iterator[Element]:
    """Packed tables as elements of a kind."""
    for shard, packed in keyed:
        yield Element(kind, shard, packed)


def read_each(
    spark: SparkSession, ranges: list[FileRange], *, read: Callable[[FileRange], Iterable[Element]]
) -> DataFrame:
    """What reading gives, each range as a task of its own."""

    def of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from _to_batches(read(ranges[number]))

    return spark.range(0, len(ranges), 1, len(ranges)).mapInArrow(of_batches, COLUMNS)


def each_element(frame: DataFrame, work: Callable[[Element], Iterable[Element]]) -> DataFrame:
    """What work gives of each element, without a shuffle."""

    def of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                yield from _to_batches(work(Element(**row)))

    return frame.mapInArrow(of_batches, COLUMNS)


def each_shard(frame: DataFrame, work: Callable[[int, dict[str, list[Packed]]], Iterable[Element]]) -> DataFrame:
    """What work gives of all elements of a shard, by kind, after a shuffle."""

    def of_group(key, table):  # type: ignore[no-untyped-def]
        found: dict[str, list[Packed]] = defaultdict(list)
        for row in table.to_pylist():
            found[row["kind"]].append(row["packed"])
        batches = list(_to_batches(work(key[0].as_py(), found)))
        return pa.Table.from_batches(batches, _SCHEMA)

    return frame.groupBy("shard").applyInArrow(of_group, COLUMNS)


def only(frame: DataFrame, *kinds: str) -> DataFrame:
    """The elements of some kinds."""
    return frame.where(frame.kind.isin(*kinds))


def collect(frame: DataFrame, kind: str) -> list[Packed]:
    """The elements of a kind, in the driver: for what is small."""
    return [bytes(row.packed) for row in only(frame, kind).select("packed").collect()]


def _to_batches(elements: Iterable[Element]) -> Iterator[pa.RecordBatch]:
    for element in elements:
        yield pa.RecordBatch.from_arrays([pa.array([value]) for value in element], schema=_SCHEMA)
