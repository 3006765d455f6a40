"""The raw features of the entities that an export carries: a file is read when it is first asked of, and kept.

So no later request reads it again, or fails when the export is removed.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.shards import shard_of
from model.serving.near_ids import near_id
from model.serving.raw_entities import is_text
from model.serving.sorted_ids import find_row
from stage import storage
from stage.errors import StageError
from stage.parquet import read_parquet

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


@dataclass(frozen=True)
class _Shard:
    """A file, read."""

    table: pa.Table
    ids: pa.Array
    """Ascending."""
    rows: pa.Array
    """Of each of `ids`, in `table`."""


class ExportedEntities:
    """The queries of an export, or the items that its dataset has, for any number of threads."""

    def __init__(self, directory: str, names: Sequence[str]) -> None:
        """Reads nothing yet; later the same files, wherever the process stands, or a link to the export leads, by then.

        Args:
            directory: Of the export.
            names: The files, if any, as build-dataset named them: each has a shard of the entities.
        """
        shards = [_SHARD.findall(name)[0] for name in names]
        paths = (storage.join(storage.absolute(directory), name) for name in names)
        self._paths = {int(number): path for (number, _), path in zip(shards, paths, strict=True)}
        self._shards = int(shards[0][1]) if shards else 1
        self._read: dict[int, _Shard] = {}
        self._locks = {number: Lock() for number in self._paths}

    def find(self, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Rows by id, without those that aren't there.

        Raises:
            StageError: If a file that is read for the first time can't be.
        """
        texts = sorted({one for one in ids if is_text(one)})
        shards = shard_of(pa.array(texts, pa.string()), self._shards).tolist()
        return {one: row for one, number in zip(texts, shards, strict=True) if (row := self._find(one, number))}

    def ids(self) -> Iterator[pa.Array]:
        """The ids of one file after another, of those first that were read before.

        Raises:
            StageError: As `find`.
        """
        for number in sorted(self._paths, key=lambda number: number not in self._read):
            yield self._shard(number).ids

    def near(self, one: str) -> str:
        """As `near_id` names it; empty where a file can't be read: that costs the hint alone."""
        with suppress(StageError):
            return near_id(one, self.ids(), is_known=lambda other: bool(self.find([other])))
        return ""

    def _find(self, one: str, number: int) -> dict[str, Any] | None:
        if number not in self._paths:
            return None
        shard = self._shard(number)
        place = find_row(shard.ids, one)
        return None if place is None else shard.table.slice(shard.rows[place].as_py(), 1).to_pylist()[0]

    def _shard(self, number: int) -> _Shard:
        with self._locks[number]:
            if number not in self._read:
                table = read_parquet(self._paths[number])
                # The table stays as it is: sorted, a column of texts may hold no more than 2 GiB.
                rows = pc.sort_indices(table["id"])
                self._read[number] = _Shard(table, table["id"].take(rows).combine_chunks(), rows)
            return self._read[number]
