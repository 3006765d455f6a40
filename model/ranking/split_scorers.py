"""What ranks a split: models, and what a user would have without them.

Shapes: Q queries of the split, N items of the corpus, D embedding dimension.
"""

import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import tensorflow as tf

from features.dataset import HISTORY, Dataset
from features.lookup import index_among
from features.spec.evaluate import Evaluate
from features.split import SplitName
from model.network.corpus import Corpus, read_corpus
from model.network.feature_values import Features
from model.network.finished_model import FinishedModel
from model.network.two_tower import TwoTower, load_towers
from model.ranking.baselines import CO_OCCURRENCE, POPULARITY, co_occurrence, popularity
from model.ranking.candidates import Candidates
from model.ranking.metrics import Flags
from model.ranking.ranking import Scorer, embed
from model.ranking.reencoding import check_same_mode, reencode_items, reencode_queries
from model.ranking.scores import Embeddings
from model.ranking.session_history import history_items
from model.ranking.slices import read_item_slices
from model.ranking.split_pairs import (
    PairIds,
    SplitPairs,
    incidence,
    read_histories,
    read_pair_ids,
    read_split_pairs,
    sparse_flags,
)
from stage.errors import StageError


@dataclass(frozen=True, kw_only=True)
class SplitToRank:
    """A split of a dataset, read once for all that rank it."""

    dataset: Dataset
    name: SplitName
    corpus: Corpus
    slices: dict[str, Flags]
    """[N] each, from `item_slices`."""
    pairs: SplitPairs
    settings: Evaluate
    among: Flags | None = None
    """[N] The items that are ranked, with whose pairs; None: all."""


def read_split_to_rank(
    dataset: Dataset, split: SplitName, *, settings: Evaluate, candidates: Candidates | None = None
) -> SplitToRank:
    """Reads the corpus, its slices, and a split's pairs.

    Args:
        dataset: The dataset.
        split: Which split.
        settings: What is ranked.
        candidates: Items among which alone; stderr says how many pairs are of others, unless `max_queries` has a sample
            of the queries read, with pairs of these items alone.

    Raises:
        StageError: If a file can't be read, the split is empty, an example's item isn't in the corpus, entities/ lacks
            an item, or every pair is of an item that is no candidate.
    """
    corpus = read_corpus(dataset)
    ids = None if candidates is None else candidates.ids
    pairs = read_split_pairs(dataset, split, item_ids=corpus.ids, settings=settings, among=ids)
    among = None if ids is None else _among(pairs, ids, corpus=corpus, split=split)
    slices = read_item_slices(dataset, corpus)
    return SplitToRank(
        dataset=dataset, name=split, corpus=corpus, slices=slices, pairs=pairs, settings=settings, among=among
    )


def _among(pairs: SplitPairs, ids: pa.Array, *, corpus: Corpus, split: SplitName) -> Flags:
    among: Flags = index_among(pa.array(corpus.ids, pa.large_binary()), ids.cast(pa.large_binary())) >= 0
    total, ranked = len(pairs.item_index), int(np.count_nonzero(among[pairs.item_index]))
    if not ranked:
        raise StageError(
            f"--candidates: expected items of the {total:,} {split} pairs among them, found none; name the items that "
            "were on offer when these pairs were logged"
        )
    if ranked < total:
        print(
            f"--candidates: {total - ranked:,} of {total:,} {split} pairs are of other items, and aren't ranked",
            file=sys.stderr,
        )
    return among


def embed_split(model: FinishedModel, split: SplitToRank) -> tuple[Embeddings, Embeddings]:
    """Embeds a split's queries and the corpus by a model.

    A model whose own transform didn't encode this dataset's examples takes from them the ids alone, and encodes the
    dataset's entities itself.

    Returns:
        Queries [Q, D] and items [N, D].

    Raises:
        StageError: If the model isn't whole or can't read the dataset's features.
    """
    dataset, pairs, corpus = split.dataset, split.pairs, split.corpus
    check_same_mode(model, dataset)
    two_tower = load_towers(model)
    queries = reencode_queries(model, dataset, ids=pairs.query_ids, features=pairs.queries)
    items = reencode_items(model, dataset, ids=corpus.ids, features=corpus.features)
    return embed_both(two_tower, queries=queries, items=items, settings=split.settings)


def embed_both(
    two_tower: TwoTower, *, queries: Features, items: Features, settings: Evaluate
) -> tuple[Embeddings, Embeddings]:
    """Embeds queries [Q, D] and items [N, D] by the two towers."""
    return (
        embed(two_tower.encode_queries, queries, batch_size=settings.batch_size),
        embed(two_tower.encode_items, items, batch_size=settings.batch_size),
    )


def baseline_scorers(split: SplitToRank) -> dict[str, Scorer]:
    """Popularity, and item-based collaborative filtering, in session mode over histories.

    Returns:
        Name -> scorer; nothing without `evaluate.baselines`.

    Raises:
        StageError: If a training example can't be read.
    """
    if not split.settings.baselines:
        return {}
    return {
        POPULARITY: popularity(split.corpus.train_count),
        CO_OCCURRENCE: co_occurrence_of_split(split.dataset, split.corpus, pairs=split.pairs),
    }


def co_occurrence_of_split(
    dataset: Dataset, corpus: Corpus, *, pairs: SplitPairs, training: PairIds | None = None
) -> Scorer:
    """Item-based collaborative filtering for the queries of a split, in session mode over histories.

    Args:
        dataset: Whose training examples count.
        corpus: Its items.
        pairs: The split.
        training: The training pairs, if the caller has read them already.

    Raises:
        StageError: If a training example can't be read.
    """
    if dataset.spec.session is not None:
        return _co_occurrence_of_histories(dataset, corpus, histories=pairs.queries[HISTORY])
    training = training or read_pair_ids(dataset, "train", item_ids=corpus.ids)
    return co_occurrence_of_pairs(training, query_ids=pairs.query_ids, items=len(corpus))


def co_occurrence_of_pairs(training: PairIds, *, query_ids: list[bytes], items: int) -> Scorer:
    """Item-based collaborative filtering by the training pairs, for the queries [Q] of a split; of N items."""
    # Their ids may be more than the 2 GiB that strings with small offsets hold.
    ids = training.query_ids.cast(pa.large_binary()).dictionary_encode()
    rows = pa.chunked_array([part.indices for part in ids.chunks], pa.int32()).to_numpy()
    known = sparse_flags(rows, training.item_index, shape=(int(rows.max(initial=-1)) + 1, items))
    return co_occurrence([(known, known)], history=incidence(training, query_ids=query_ids, items=items))


def _co_occurrence_of_histories(dataset: Dataset, corpus: Corpus, *, histories: tf.RaggedTensor) -> Scorer:
    """By which item followed which in the training examples, for histories of codes, int64 ragged [Q, (codes)]."""
    examples = (
        (
            history_items(before, corpus, spec=dataset.spec),
            sparse_flags(np.arange(len(items)), items, shape=(len(items), len(corpus))),
        )
        for before, items in read_histories(dataset, item_ids=corpus.ids)
    )
    return co_occurrence(examples, history=history_items(histories, corpus, spec=dataset.spec))


def history_of_queries(split: SplitToRank) -> sp.csr_array:
    """[Q, N] True where training has the item with the query; in session mode, where the query's history has it.

    Raises:
        StageError: If a training example can't be read.
    """
    dataset, corpus, pairs = split.dataset, split.corpus, split.pairs
    if dataset.spec.session is not None:
        return history_items(pairs.queries[HISTORY], corpus, spec=dataset.spec)
    training = read_pair_ids(dataset, "train", item_ids=corpus.ids, queries=pairs.query_ids)
    return incidence(training, query_ids=pairs.query_ids, items=len(corpus))
