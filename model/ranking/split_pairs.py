"""The pairs of a split as indices, with what every query may not be offered; read once, ranked many times.

Shapes: P pairs of the split, Q queries with a pair in it, N items of the corpus, M items that pairs are ranked of, B
examples of a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import tensorflow as tf
from numpy.typing import NDArray

from features.dataset import HISTORY, Dataset
from features.known_ids import KnownIds
from features.lookup import index_among
from features.spec.evaluate import Evaluate
from features.split import SplitName
from model.network.example_files import example_parser, readable
from model.network.feature_values import Features
from model.ranking.drawn_queries import Batch, of_drawn_queries
from model.ranking.left_out import leaves_out_known, leaves_out_self
from model.ranking.metrics import Flags, Indices
from stage.errors import StageError

Ids: TypeAlias = list[bytes] | NDArray[np.object_]

BATCH = 8192
HISTORIES = 1 << 18
"""Examples of session mode at a time: what they count is added to a matrix of all items by all items."""
EARLIER: dict[SplitName, tuple[SplitName, ...]] = {
    "train": (),
    "validation": ("train",),
    "test": ("train", "validation"),
}
"""What is known of a query when a split is ranked."""


@dataclass(frozen=True)
class PairIds:
    """Pairs of a split, without features."""

    query_ids: pa.ChunkedArray
    """[P] Binary, as in the log."""
    item_index: Indices
    """[P] Into the corpus."""


@dataclass(frozen=True)
class SplitPairs:
    """The pairs of a split and the candidates of its queries; in session mode every example is a query of its own.

    Where a query isn't a candidate of itself, its pair with itself is none of them.
    """

    query_ids: list[bytes]
    """[Q] As in the log; in session mode the example's user."""
    queries: Features
    """[Q] Their encoded features, in session mode with the history."""
    query_index: Indices
    """[P] Into query_ids."""
    item_index: Indices
    """[P] Into the corpus."""
    excluded: sp.csr_array
    """[Q, N] Not zero where the item is no candidate of the query."""

    def most_candidates(self) -> int:
        """Of how many items the query has that is ranked among the most."""
        of_query, items = np.diff(self.excluded.indptr), self.excluded.shape[1]
        return items - int(of_query.min()) if len(of_query) else items

    def users(self) -> Indices:
        """[Q] Whose each query is, numbered from 0: in session mode a user has as many as examples, else one."""
        numbers: Indices = _array(self.query_ids).dictionary_encode().indices.to_numpy().astype(np.int64)
        return numbers


def read_pair_ids(dataset: Dataset, split: SplitName, *, item_ids: Ids, queries: Ids | None = None) -> PairIds:
    """Reads the pairs of a split.

    Args:
        dataset: The dataset.
        split: Which split.
        item_ids: [N] The corpus, in the order that item_index refers to.
        queries: Of these queries alone, so that no more pairs are in memory; of all by default.

    Raises:
        StageError: If a file can't be read, or an example's item isn't in the corpus.
    """
    wanted = None if queries is None else KnownIds(_array(queries))
    query_parts, item_parts = [], []
    for _, query_ids, batch_item_ids in _batches(dataset, split):
        kept = _are_among(wanted, query_ids)
        query_parts.append(_array(query_ids[kept]))
        item_parts.append(_array(batch_item_ids[kept]))
    return PairIds(
        query_ids=pa.chunked_array(query_parts, pa.binary()),
        item_index=_item_index(
            pa.chunked_array(item_parts, pa.binary()), _array(item_ids), where=f"{dataset.directory}/{split}"
        ),
    )


def read_split_pairs(
    dataset: Dataset,
    split: SplitName,
    *,
    item_ids: Ids,
    settings: Evaluate,
    among: pa.Array | None = None,
    training: PairIds | None = None,
) -> SplitPairs:
    """Reads a split and what leaves items out of its queries' candidates.

    Args:
        dataset: The dataset.
        split: Which split.
        item_ids: [N] The corpus, in the order that item_index refers to.
        settings: Says whether known items, and the query itself where queries are items, are candidates, and of how
            many queries the pairs are read.
        among: Texts [M], the items whose pairs alone are ranked: of a sample of queries only these are read, and each
            query has one; None: all.
        training: The training pairs, if the caller has read them already.

    Raises:
        StageError: If a file can't be read, the split is empty, or an example's item isn't in the corpus.
    """
    wanted = None if among is None or settings.max_queries is None else KnownIds(among)
    is_session = dataset.spec.session is not None
    without_self = leaves_out_self(dataset.spec, settings)
    ranked = partial(_ranked, dataset, split, without_self=without_self, among=wanted)
    examples: dict[tuple[bytes, int], bytes] = {}
    query_parts, item_parts = [], []
    for serialized, query_ids, batch_item_ids in of_drawn_queries(ranked, settings.max_queries, is_session=is_session):
        for query_id, example in zip(query_ids, serialized, strict=True):
            # A query's first example stands for it; in session mode each is a query of its own.
            examples.setdefault((query_id, len(examples) if is_session else 0), example)
        query_parts.append(_array(query_ids))
        item_parts.append(_array(batch_item_ids))
    if not examples:
        raise StageError(f"{dataset.directory}/{split}: expected pairs to rank, found none; {_why_empty(wanted)}")
    of_pairs = pa.chunked_array(query_parts)
    distinct = [query_id for query_id, _ in examples]
    excluded = sp.csr_array((len(distinct), len(item_ids)), dtype=bool)
    if leaves_out_known(dataset.spec, settings):
        for earlier in EARLIER[split]:
            known = training if earlier == "train" else None
            known = known or read_pair_ids(dataset, earlier, item_ids=item_ids, queries=distinct)
            excluded = excluded + incidence(known, query_ids=distinct, items=len(item_ids))
    if without_self:
        excluded = excluded + _same(distinct, item_ids)
    return SplitPairs(
        query_ids=distinct,
        queries=_parse(dataset, list(examples.values())),
        query_index=np.arange(len(distinct)) if is_session else index_among(of_pairs, _array(distinct)),
        item_index=_item_index(pa.chunked_array(item_parts), _array(item_ids), where=f"{dataset.directory}/{split}"),
        excluded=excluded,
    )


def _why_empty(among: KnownIds | None) -> str:
    """What to do where there is nothing to rank."""
    if among is None:
        return "check the spec's section split, and build the dataset again"
    return "name by --candidates the items that were on offer when it was logged"


def _ranked(dataset: Dataset, split: SplitName, *, without_self: bool, among: KnownIds | None) -> Iterator[Batch]:
    """The pairs that are ranked, a batch at a time."""
    for serialized, query_ids, item_ids in _batches(dataset, split):
        kept = _are_among(among, item_ids)
        if without_self:
            kept &= np.asarray(query_ids != item_ids, bool)
        yield serialized.numpy()[kept], query_ids[kept], item_ids[kept]


def _are_among(among: KnownIds | None, ids: Ids) -> Flags:
    """Which ids are some of those, [B]; None: all are."""
    return np.ones(len(ids), bool) if among is None else among.index(_array(ids)) >= 0


def read_histories(dataset: Dataset, *, item_ids: Ids) -> Iterator[tuple[tf.RaggedTensor, Indices]]:
    """Reads the training examples of session mode, `HISTORIES` in memory at a time.

    Args:
        dataset: The dataset, with a section session.
        item_ids: [N] The corpus.

    Yields:
        For B examples the codes of their histories, int64 ragged [B, (codes)], and the item of each, [B].

    Raises:
        StageError: As `read_pair_ids`.
    """
    parse, corpus = example_parser(dataset.features("pair")), KnownIds(_array(item_ids))
    for serialized, _, items in _batches(dataset, "train", size=HISTORIES):
        with readable(dataset.directory):
            histories = parse(serialized)[HISTORY]
        found = _array(items)
        yield histories, _checked(corpus.index(found), ids=found, where=f"{dataset.directory}/train")


def incidence(pairs: PairIds, *, query_ids: Ids, items: int) -> sp.csr_array:
    """Which of some queries has a pair with which item.

    Args:
        pairs: The pairs; those of other queries are passed over.
        query_ids: [Q] The queries.
        items: N, the size of the corpus.

    Returns:
        [Q, N] True where there is a pair.
    """
    rows = index_among(pairs.query_ids, _array(query_ids))
    kept = rows >= 0
    return sparse_flags(rows[kept], pairs.item_index[kept], shape=(len(query_ids), items))


def _same(query_ids: Ids, item_ids: Ids) -> sp.csr_array:
    columns = index_among(_array(query_ids), _array(item_ids))
    rows = np.flatnonzero(columns >= 0)
    return sparse_flags(rows, columns[rows], shape=(len(query_ids), len(item_ids)))


def sparse_flags(rows: Indices, columns: Indices, *, shape: tuple[int, int]) -> sp.csr_array:
    """True at each (row, column)."""
    return sp.csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=shape)


def _item_index(ids: pa.ChunkedArray, corpus: pa.Array, *, where: str) -> Indices:
    return _checked(index_among(ids, corpus), ids=ids, where=where)


def _checked(index: Indices, *, ids: pa.Array | pa.ChunkedArray, where: str) -> Indices:
    missing = np.flatnonzero(index < 0)
    if len(missing):
        first = ids[int(missing[0])].as_py().decode(errors="replace")
        raise StageError(
            f"{where}: expected items of the corpus, found {len(missing)} examples with others, first '{first}'; "
            "build the dataset again"
        )
    return index


def _array(ids: Ids) -> pa.Array:
    return pa.array(ids, pa.binary())


def _parse(dataset: Dataset, examples: list[bytes]) -> Features:
    with readable(dataset.directory):
        return example_parser(dataset.query_inputs())(tf.constant(examples))


def _batches(
    dataset: Dataset, split: SplitName, *, size: int | None = None
) -> Iterator[tuple[tf.Tensor, NDArray[np.object_], NDArray[np.object_]]]:
    """The serialized examples, query ids and item ids of a split, a batch of `size` or `BATCH` at a time."""
    parse = example_parser([], scalars=["query_id", "item_id"])
    with readable(dataset.directory):
        records = tf.data.TFRecordDataset(dataset.example_files(split), "GZIP").batch(size or BATCH)
        for serialized in records.prefetch(1):
            ids = parse(serialized)
            yield serialized, ids["query_id"].numpy(), ids["item_id"].numpy()
