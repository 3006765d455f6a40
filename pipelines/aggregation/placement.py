"""Where examples lie: with their query, in its shard, so that the query's half meets them there once.

A hot query would make its shard large, for the step that writes it and for the trainer, which holds a file at a time.
So the examples of a hot one are spread over all shards evenly, and its half goes to each of them. In session mode
`max_lines` bounds a user's, which came from one shard's merge, and none is spread: each part would take its histories'
dictionary with it.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of
from features.sessions import with_own_items
from features.shards import shard_of, shard_of_pairs, take_apart
from features.spec.spec import Spec
from pipelines.aggregation.item_join import IDS
from pipelines.aggregation.packing import Keyed, Packed, pack, unpack

HOT_EXAMPLES = 1 << 16
"""A query with more examples than this is spread. It is about a tenth of the lines in 64 MiB of log, a shard; and more
than there are shards (unless the log has terabytes), so that a half is copied less often than once per example."""


def hot_queries(counts: pa.Table, spec: Spec) -> pa.Table:
    """The queries to spread, schema IDS.

    Args:
        counts: One row per query: id, examples.
        spec: The dataset's spec.
    """
    if spec.session is not None:
        return IDS.empty_table()
    return counts.filter(pc.greater(counts.column("examples"), HOT_EXAMPLES)).select(IDS.names)


def place_pairs(element: Keyed, hot: Packed, *, shards: int) -> Iterator[Keyed]:
    """The pairs that become examples, by the shard in which they do.

    Args:
        element: Any number, and pairs, schema `features.sessions.pair_schema`.
        hot: All hot queries, schema IDS.
        shards: How many there are.
    """
    pairs = unpack(element[1])
    pairs = pairs.filter(pc.invert(pairs.column("thinned")))
    queries, items = (pairs.column(name).combine_chunks() for name in ("query_id", "item_id"))
    shard = shard_of(queries, shards)
    spread = flags_of(pc.is_in(queries, _ids(hot)))
    if spread.any():
        mask = pa.array(spread)
        shard[spread] = shard_of_pairs(queries.filter(mask), items.filter(mask), shards=shards)
    parts = take_apart(pairs, shard)
    for number, part in parts:
        yield number, pack(part if len(parts) == 1 else with_own_items(part))


def place_queries(element: Keyed, hot: Packed, *, shards: int) -> Iterator[Keyed]:
    """Encoded queries to each shard that has examples of theirs.

    Args:
        element: The shard of the queries, and a packed table with their `id`.
        hot: All hot queries, schema IDS.
        shards: How many there are.
    """
    shard, packed = element
    queries = unpack(packed)
    spread = queries.filter(pc.is_in(queries.column("id"), _ids(hot)))
    yield element
    if spread.num_rows:
        copy = pack(spread)
        yield from ((other, copy) for other in range(shards) if other != shard)


def _ids(packed: Packed) -> pa.Array:
    return unpack(packed).column("id").combine_chunks()
