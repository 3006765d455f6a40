"""From the tables to the entities: items with their training counts, queries that have pairs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from features.entities import entities_of, entity_schema, raw_columns, to_entities, valid_ids, with_counts
from features.interactions import REJECTS as REJECTS_SCHEMA
from features.interactions import reject_bad_lines
from features.pairs import PAIRS, sum_counts, train_counts
from features.places import locate
from features.pseudonyms import Pseudonyms
from features.spec import Side, TableSource
from pipelines.aggregation.reading import Batch, InputFile, ranges_of
from pipelines.aggregation.unusable_files import count_in_file, expected_table_columns
from pipelines.beam.counting import COUNTS, REJECTS, count, show
from pipelines.beam.shuffle import CoGrouped, Keyed, concat, key_by_shard, pack
from pipelines.beam.sources import ReadBatches
from stage.errors import StageError

_COUNTED = pa.schema([("id", pa.string()), ("train_count", pa.int64()), ("full_train_count", pa.int64())])
_PLACE = pa.field("place", pa.int64())


@dataclass(frozen=True)
class ReadTable:
    """What reading a table gives."""

    entities: dict[str, beam.PCollection]
    """Side -> its entities, keyed by the shard of their id, counts 0, with their `place`."""
    rejects: beam.PCollection
    counts: beam.PCollection


def read_table(
    pipeline: beam.Pipeline,
    label: str,
    *,
    files: list[InputFile],
    source: TableSource,
    sides: dict[str, Side],
    shards: int,
    pseudonyms: Pseudonyms,
) -> ReadTable:
    """Reads the table of one or both sides.

    Args:
        pipeline: The job.
        label: Names the table in steps, counts and errors: items or queries.
        files: Its files.
        source: How it is written.
        sides: The sides that take their entities from it.
        shards: How many shards each is taken apart into.
        pseudonyms: Those of the table's ids, under the name `id`.
    """
    columns = raw_columns(source, *sides.values())
    outputs = (
        pipeline
        | f"{label}Ranges" >> beam.Create(ranges_of(files))
        | f"Spread{label}Ranges" >> beam.Reshuffle()
        | f"Read{label}" >> beam.ParDo(ReadBatches(columns, required=[source.id]))
        | f"Validate{label}"
        >> beam.ParDo(_ValidateRows(label, source, sides, shards, pseudonyms)).with_outputs(REJECTS, COUNTS, *sides)
    )
    return ReadTable({name: outputs[name] for name in sides}, outputs[REJECTS], outputs[COUNTS])


class _ValidateRows(beam.DoFn):
    def __init__(
        self, label: str, source: TableSource, sides: dict[str, Side], shards: int, pseudonyms: Pseudonyms
    ) -> None:
        self._label, self._source, self._sides = label, source, sides
        self._shards, self._pseudonyms = shards, pseudonyms

    def process(self, batch: Batch) -> Iterable[beam.pvalue.TaggedOutput]:
        table = self._label.lower()
        valid = valid_ids(batch.rows.column(self._source.id))
        places = pa.array(batch.places)
        rejected = reject_bad_lines(batch.bad, batch.first_place)
        if batch.bad:
            reasons = pc.binary_join_element_wise(pa.scalar(table), rejected.column("reason"), "/")
            rejected = rejected.set_column(0, "reason", reasons)
        without_id = places.filter(pc.invert(valid))
        if len(without_id):
            size = len(without_id)
            columns = [[f"{table}/bad_id"] * size, without_id, [1] * size, [None] * size]
            rejected = pa.concat_tables([rejected, pa.table(columns, schema=REJECTS_SCHEMA)])
        counts = {f"{table}/read": batch.lines - batch.blank}
        reasons = Counter(rejected.column("reason").to_pylist())
        counts |= {f"rejected/{reason}": lines for reason, lines in reasons.items()}
        bare = {reason.removeprefix(f"{table}/"): lines for reason, lines in reasons.items()}
        expected = expected_table_columns(self._source, batch.rows.schema)
        show(table, batch.lines)
        yield count(counts | count_in_file(batch.file.path, batch.lines - batch.blank, bare, expected))
        if rejected.num_rows:
            yield beam.pvalue.TaggedOutput(REJECTS, pack(rejected))
        rows = batch.rows.filter(valid)
        for name, side in self._sides.items():
            entities = to_entities(rows, self._source, side).append_column(_PLACE, places.filter(valid))
            for keyed in key_by_shard(self._pseudonyms.replace(entities), "id", self._shards):
                yield beam.pvalue.TaggedOutput(name, keyed)


def _distinct(entities: pa.Table, label: str, names: dict[int, tuple[str, str]]) -> pa.Table:
    """The entities without their places.

    Raises:
        StageError: If an id stands twice, naming both places.
    """
    ids = entities.column("id")
    if pc.count_distinct(ids).as_py() < entities.num_rows:
        counted = ids.value_counts()
        twice = counted.filter(pc.greater(counted.field("counts"), 1)).field("values")
        first = min(twice.to_pylist())
        found = sorted(entities.filter(pc.equal(ids, first)).column("place").to_pylist())
        where = " and ".join(_describe(place, names) for place in found[:2])
        raise StageError(
            f"{label}: expected each id once, but '{first}' stands at {where} "
            f"({len(twice)} such ids in this shard); remove the duplicates from the table"
        )
    return entities.drop_columns(["place"])


def _describe(packed: int, names: dict[int, tuple[str, str]]) -> str:
    found = locate(packed)
    name, unit = names[found.file]
    return f"{name}, {unit} {found.offset}"


class JoinItems(beam.DoFn):
    """(shard, item rows and training counts) -> (shard, the items of the corpus)."""

    def __init__(self, side: Side, names: dict[int, tuple[str, str]]) -> None:
        self._side, self._names = side, names

    def process(self, element: CoGrouped) -> Iterable[Keyed]:
        """Puts the counts into the rows."""
        shard, found = element
        rows = _distinct(concat(found["rows"], entity_schema(self._side).append(_PLACE)), "items", self._names)
        counts = sum_counts(concat(found["counts"], _COUNTED), "id")
        if rows.num_rows:
            items = with_counts(rows, counts)
            cold = pc.sum(pc.equal(items.column("train_count"), 0)).as_py()
            yield count({"items/cold": cold})
            yield shard, pack(items)


class JoinQueries(beam.DoFn):
    """(shard, pairs and query rows) -> (shard, the queries that have pairs); without a row, a query is its id alone."""

    def __init__(self, side: Side, names: dict[int, tuple[str, str]]) -> None:
        self._side, self._names = side, names

    def process(self, element: CoGrouped) -> Iterable[Keyed]:
        """Takes the queries of the pairs, their rows and their counts together."""
        shard, found = element
        rows = _distinct(concat(found["rows"], entity_schema(self._side).append(_PLACE)), "queries", self._names)
        counts = train_counts(concat(found["pairs"], PAIRS), "query_id").rename_columns(_COUNTED.names)
        ids = counts.column("id").combine_chunks()
        if len(ids):
            yield shard, pack(with_counts(entities_of(ids, rows, self._side), counts))
