"""The items that are served or ranked where these are not all, such as those on offer: as Parquet files name them."""

import sys
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import Dataset
from features.pseudonyms import told_of
from model.ranking.id_column import read_ids
from stage.errors import StageError
from stage.globs import matching_files
from stage.manifest import digest

ITEM_ID: Final = "item_id"
DATASET_ITEMS: Final = "dataset_items"
"""All items of the dataset, where an export has only candidates: begins the names of their files, and counts them."""
_IDS_SHOWN = 3


@dataclass(frozen=True)
class Candidates:
    """Items of a dataset."""

    ids: pa.Array
    """Strings, at least one, each once."""
    counts: dict[str, int]
    """Ids that were named, each once, and those of them that the dataset doesn't have; and all that it has."""
    digest: str
    """Of the ids that were named, free of their order."""

    def to_json(self) -> dict[str, str | int]:
        """How many there are and which, as results say it."""
        return {"items": len(self.ids), "digest": self.digest}


def read_candidates(pattern: str, dataset: Dataset) -> Candidates:
    """Reads which items of a dataset are candidates; of ids that it doesn't have stderr names some.

    Args:
        pattern: A glob of Parquet files with a column `item_id`; other columns are not read, repeated ids count once.
        dataset: Whose items they are, by their ids there.

    Raises:
        StageError: If there is no file, one can't be read, lacks the column or has a row without an id, or of the ids
            none is an item's or fewer than half are.
    """
    files = matching_files(pattern, option="--candidates")
    named = pc.unique(pa.chunked_array([chunk for path in files for chunk in _ids_of(path).chunks], pa.string()))
    of_dataset = pa.concat_tables(dataset.entities("items", columns=["id"]))["id"]
    # Of all files at once, since each call hashes what is named.
    ids = of_dataset.filter(pc.is_in(of_dataset, value_set=named)).combine_chunks()
    unknown = named.filter(pc.invert(pc.is_in(named, value_set=ids)))
    shown = ", ".join(unknown[:_IDS_SHOWN].to_pylist()) + (", ..." if len(unknown) > _IDS_SHOWN else "")
    items = f"items of {dataset.directory}{told_of(dataset.spec.sources.pseudonymise, ITEM_ID)}"
    if not len(ids):
        raise StageError(f"--candidates: expected {items}, got none in {pattern}" + (f", but {shown}" if shown else ""))
    told = f"--candidates: {len(unknown):,} of {len(named):,} are no {items}: {shown}"
    # Rather ids in another form, or files that are being rewritten, than a catalogue of more new items than old ones.
    if len(unknown) > len(ids):
        raise StageError(
            f"{told}; expected half or more to be: name them as its table of items does, or only those that it has"
        )
    if shown:
        print(told, file=sys.stderr)
    counts = {"candidates": len(named), "candidates/unknown": len(unknown), DATASET_ITEMS: len(of_dataset)}
    return Candidates(ids, counts, digest(sorted(named.to_pylist())))


def _ids_of(path: str) -> pa.ChunkedArray:
    ids = read_ids(path, ITEM_ID)
    row = pc.index(pc.fill_null(pc.equal(ids, ""), True), True).as_py()
    if row >= 0:
        raise StageError(f"{path}: row {row + 1}: {ITEM_ID}: expected a text or an integer, got {ids[row].as_py()!r}")
    return ids
