"""What each query has already: the items of its pairs in a dataset, whatever their split.

Shapes: P pairs, N items of the corpus.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from features.dataset import Dataset
from features.known_ids import KnownIds
from features.split import SPLITS
from model.ranking.metrics import Indices
from model.ranking.split_pairs import read_pair_ids


class KnownItems:
    """The items of each query."""

    def __init__(self, query_ids: pa.ChunkedArray, item_index: Indices, *, item_ids: pa.Array) -> None:
        """Puts pairs in the order of their queries.

        Args:
            query_ids: Binary [P].
            item_index: [P] Into item_ids.
            item_ids: String [N].
        """
        # Large, since the distinct ids of all pairs may be more than 2 GiB.
        coded = query_ids.cast(pa.large_binary()).dictionary_encode().combine_chunks()
        codes = coded.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        self._queries = KnownIds(coded.dictionary)
        self._bounds = np.searchsorted(codes[order], np.arange(len(coded.dictionary) + 1))
        # No ids of items for each pair: those of all may be more than an array of texts holds.
        self._item_index = item_index[order]
        self._item_ids = item_ids

    def of(self, query_ids: Sequence[str]) -> list[list[str]]:
        """The ids of the items that each query has; none of a query without pairs."""
        places = self._queries.index(pa.array([one.encode() for one in query_ids], pa.binary()))
        return [[] if place < 0 else self._of(place) for place in places.tolist()]

    def _of(self, place: int) -> list[str]:
        begin, end = self._bounds[place : place + 2]
        items: list[str] = self._item_ids.take(pa.array(self._item_index[begin:end])).to_pylist()
        return items


def read_known_items(dataset: Dataset) -> KnownItems:
    """Reads the pairs of all splits, without their features.

    Raises:
        StageError: If a file can't be read.
    """
    items = pa.concat_tables(dataset.entities("items", columns=["id"]))["id"].combine_chunks()
    corpus = items.cast(pa.binary()).to_numpy(zero_copy_only=False)
    pairs = [read_pair_ids(dataset, split, item_ids=corpus) for split in SPLITS]
    return KnownItems(
        pa.chunked_array([chunk for found in pairs for chunk in found.query_ids.chunks], pa.binary()),
        np.concatenate([found.item_index for found in pairs]),
        item_ids=items,
    )
