"""How pairs meet their items: all items at the side of every worker, or those that a shard wants, through a shuffle.

Whichever it is, the result is the same. By shuffle, a shard says which items it wants, each once; they meet the item
table by the item's shard, and what is found goes back to the shard that wants it: no worker holds more than that.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from features.shards import take_apart
from features.spec.sources import ItemJoin
from pipelines.aggregation import kinds
from pipelines.aggregation.elements import CoGrouped
from pipelines.aggregation.packing import Keyed, Packed, concat, key_by_shard, key_each, pack, unpack

ByItem: TypeAlias = Literal["side_input", "shuffle"]

SIDE_INPUT_BYTES = 256 << 20
"""Of the item table, decompressed: up to here every worker takes all items."""

IDS = pa.schema([("id", pa.string())])
_WANTED = pa.schema([("id", pa.string()), ("shard", pa.int32())])


def choose_join(wanted: ItemJoin, item_bytes: int | None) -> ByItem:
    """How the items are joined.

    Args:
        wanted: The spec's `sources.item_join`.
        item_bytes: Size of the item table, decompressed; None: not known beforehand.
    """
    if wanted != "auto":
        return wanted
    return "side_input" if item_bytes is not None and item_bytes <= SIDE_INPUT_BYTES else "shuffle"


def want_items(element: Keyed, shards: int) -> Iterator[Keyed]:
    """The items that a shard of lines or pairs wants, each once: id and shard, by the shard of the item."""
    shard, packed = element
    ids = pc.unique(unpack(packed).column("item_id").combine_chunks())
    wanted = pa.table([ids, pa.repeat(pa.scalar(shard, pa.int32()), len(ids))], schema=_WANTED)
    yield from key_by_shard(wanted, "id", shards=shards)


def lacking_items(element: CoGrouped) -> Iterator[Keyed]:
    """WANTED and ITEM_IDS of a shard of items -> LACKING, schema IDS, by the shard that wants them."""
    found = element[1]
    table = concat(found[kinds.WANTED], _WANTED)
    known = concat(found[kinds.ITEM_IDS], IDS).column("id").combine_chunks()
    lacked = table.filter(pc.invert(pc.is_in(table.column("id"), known)))
    yield from key_each(lacked.select(["id"]), lacked.column("shard").to_numpy())


def send_items(wanted: Iterable[Packed], items: Iterable[Packed], *, schema: pa.Schema) -> Iterator[Keyed]:
    """The wanted items, each once to each shard that wants it.

    Args:
        wanted: What `want_items` gives, all of a shard of items.
        items: All of that shard of items.
        schema: Theirs; `id` is among it.
    """
    table = concat(wanted, _WANTED).group_by(_WANTED.names, use_threads=False).aggregate([])
    found = concat(items, schema)
    for shard, rows in take_apart(table, table.column("shard").to_numpy()):
        places = pc.index_in(rows.column("id"), found.column("id").combine_chunks())
        yield shard, pack(found.take(places))


def is_known(lines: pa.Table, *, known: Packed | None, lacking: Iterable[Packed]) -> pa.BooleanArray:
    """Whether the item of each line is in the item table, bool [n].

    Args:
        lines: With `item_id` in a dictionary, each of whose ids is looked up once.
        known: All ids of the table, schema IDS, if they are at the side.
        lacking: Else the ids that the lines' shard has and the table lacks, schema IDS.
    """
    items = lines.column("item_id").combine_chunks()
    if known is not None:
        found = pc.is_in(items.dictionary, unpack(known).column("id").combine_chunks())
    else:
        found = pc.invert(pc.is_in(items.dictionary, concat(lacking, IDS).column("id").combine_chunks()))
    return found.take(items.indices)
