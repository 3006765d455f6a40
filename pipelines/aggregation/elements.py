"""Elements: what a step gives, of several kinds at once, whichever engine carries it on to the steps that take them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import pyarrow as pa

from pipelines.aggregation import kinds
from pipelines.aggregation.output import shard_of_rejects
from pipelines.aggregation.packing import Keyed, Packed, pack

Grouped: TypeAlias = tuple[int, Iterable[Packed]]
"""A shard, and all of its elements of a kind."""

CoGrouped: TypeAlias = tuple[int, Mapping[str, Iterable[Packed]]]
"""A shard, and all of its elements by kind."""


class Element(NamedTuple):
    """What a step gives."""

    kind: str
    keyed: Keyed


def of_kind(kind: str, keyed: Iterable[Keyed]) -> Iterator[Element]:
    """Packed tables as elements of a kind."""
    for one in keyed:
        yield Element(kind, one)


def counted(counts: Mapping[str, int]) -> Element:
    """Counts as an element."""
    return Element(kinds.COUNTS, (0, json.dumps(counts).encode()))


def decode_counts(packed: Packed) -> dict[str, int]:
    """What `counted` was given."""
    counts: dict[str, int] = json.loads(packed)
    return counts


def rejected(rejects: pa.Table, shards: int) -> Iterator[Element]:
    """Rejects, schema REJECTS, as an element, if there are any."""
    if rejects.num_rows:
        yield Element(kinds.REJECTS, (shard_of_rejects(rejects, shards), pack(rejects)))
