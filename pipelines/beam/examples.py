r"""The examples: pairs go to their shard, meet the halves of their query and their item there, and are written.

pairs -> placed --------------------------+-> train/ validation/ test/
            |                             |
query halves -> placed -------------------+
            v                             |
item halves -> those that a shard wants --+   (or all of them at the side of every worker)
"""

from collections.abc import Iterable, Iterator
from itertools import repeat

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsSingleton

from features.example_codec import join_halves
from features.normalisation import numeric_keys
from features.pair_half import Learned, encode_pairs, pair_vocabularies
from features.sessions import pair_schema
from features.spec.spec import Spec
from features.split import SPLITS
from features.vocabularies import read_terms
from pipelines.aggregation.elements import CoGrouped
from pipelines.aggregation.item_join import IDS, send_items, want_items
from pipelines.aggregation.job import Job
from pipelines.aggregation.output import Target, Written, in_order
from pipelines.aggregation.packing import Keyed, Packed, concat, pack, unpack
from pipelines.aggregation.placement import place_pairs, place_queries
from pipelines.beam.gather import gather
from pipelines.beam.record_files import HALVES, write_records
from pipelines.beam.transform import FOLDER, Transformed, TransformOutput
from stage import storage
from stage.progress import counters

EXAMPLES_PER_CHUNK = 16_384


def write_examples(
    pairs: beam.PCollection, hot: beam.PCollection, *, halves: Transformed, job: Job
) -> beam.PCollection:
    """Writes the examples of all splits.

    Args:
        pairs: Keyed, schema `pair_schema`.
        hot: (any number, hot queries), schema IDS.
        halves: Encoded queries and items.
        job: The build.

    Returns:
        What was written.
    """
    spec, target, shards = job.spec, job.target, job.target.shards
    spread = AsSingleton(hot | "GatherHotQueries" >> gather(IDS))
    placed = pairs | "PlacePairs" >> beam.FlatMap(place_pairs, spread, shards=shards)
    queries = halves.queries | "PlaceQueries" >> beam.FlatMap(place_queries, spread, shards=shards)
    grouped, aside = {"pairs": placed, "queries": queries}, {}
    if job.item_join == "side_input":
        aside["items"] = AsSingleton(halves.items | "GatherItemHalves" >> gather(HALVES))
    else:
        wanted = placed | "WantItemHalves" >> beam.FlatMap(want_items, shards)
        grouped["items"] = (
            {"wanted": wanted, "halves": halves.items}
            | "GroupWantedHalves" >> beam.CoGroupByKey()
            | "SendItemHalves" >> beam.FlatMap(_send_items)
        )
    if spec.session is not None:
        folder = storage.join(target.directory, FOLDER)
        read = beam.Map(_read_vocabularies, folder, names=pair_vocabularies(spec))
        aside["vocabularies"] = AsSingleton(halves.written | "PairVocabularies" >> read)
        if halves.constants is not None:
            aside["constants"] = AsSingleton(halves.constants)
    return (
        grouped
        | "GroupPairsAndHalves" >> beam.CoGroupByKey()
        | "WriteExamples" >> beam.FlatMap(write_shard, spec, target=target, **aside)
    )


def _read_vocabularies(_: TransformOutput, folder: str, *, names: list[str]) -> dict[str, Packed]:
    """The terms of vocabularies, in the order of their codes, once transform/ is whole."""
    return {name: pack(pa.table({"term": read_terms(folder, name).cast(pa.large_string())})) for name in names}


def _send_items(element: CoGrouped) -> Iterable[Keyed]:
    _, found = element
    return send_items(found["wanted"], found["halves"], schema=HALVES)


def write_shard(
    element: CoGrouped,
    spec: Spec,
    *,
    target: Target,
    items: Packed | None = None,
    vocabularies: dict[str, Packed] | None = None,
    constants: npt.NDArray[np.float64] | None = None,
) -> Iterable[Written]:
    """Joins the halves of a shard and writes the files of its splits, in the order of a seeded hash.

    Args:
        element: Its number; its pairs, encoded queries, and encoded items unless all are at the side.
        spec: The dataset's spec.
        target: Where to.
        items: All encoded items, unless they come by shuffle.
        vocabularies: In session mode what pairs are encoded by.
        constants: The same, if there are numbers.
    """
    shard, found = element
    pairs = in_order(concat(found["pairs"], pair_schema(spec)))
    queries = concat(found["queries"], HALVES)
    item_halves = concat(found["items"], HALVES) if items is None else unpack(items)
    learned = None if vocabularies is None else _learned(vocabularies, constants, spec=spec)
    pairs = _find(_find(pairs, "query", halves=queries), "item", halves=item_halves)
    for code, split in enumerate(SPLITS):
        mine = pairs.filter(pc.equal(pairs.column("split"), code)).combine_chunks()
        name = target.shard_name(f"{split}/", shard, ending=".tfrecord.gz")
        examples = _examples(mine, queries, items=item_halves, pair_halves=_pair_halves(mine, spec, learned=learned))
        yield write_records(target.directory, name, content=split, chunks=examples)
        counters.add("examples", mine.num_rows)


def _learned(vocabularies: dict[str, Packed], constants: npt.NDArray[np.float64] | None, *, spec: Spec) -> Learned:
    terms = {name: unpack(packed).column("term").combine_chunks() for name, packed in vocabularies.items()}
    by_key = {} if constants is None else dict(zip(numeric_keys(spec), constants, strict=True))
    return Learned(terms, by_key)


def _pair_halves(pairs: pa.Table, spec: Spec, *, learned: Learned | None) -> Iterator[list[pa.Array]]:
    """The half of each chunk of pairs, if they have one."""
    if learned is None:
        return repeat([])
    return ([half] for half in encode_pairs(pairs, spec, learned=learned, rows_at_once=EXAMPLES_PER_CHUNK))


def _find(pairs: pa.Table, side: str, *, halves: pa.Table) -> pa.Table:
    """Adds each pair's row among the halves of a side, as SIDE_row: at once, since each search indexes all of them."""
    rows = pc.index_in(pairs.column(f"{side}_id").combine_chunks(), halves.column("id").combine_chunks())
    if rows.null_count:
        raise AssertionError(f"a pair has no encoded {side}")
    return pairs.append_column(f"{side}_row", rows)


def _examples(
    pairs: pa.Table, queries: pa.Table, *, items: pa.Table, pair_halves: Iterator[list[pa.Array]]
) -> Iterator[list[bytes]]:
    sides = (
        (queries.column("half").combine_chunks(), pairs.column("query_row")),
        (items.column("half").combine_chunks(), pairs.column("item_row")),
    )
    for start in range(0, pairs.num_rows, EXAMPLES_PER_CHUNK):
        halves = [half.take(rows.slice(start, EXAMPLES_PER_CHUNK).combine_chunks()) for half, rows in sides]
        yield join_halves(*halves, *next(pair_halves)).to_pylist()
