"""What is measured at each validation: recall by slice, and how the item tower spreads its items.

Shapes: N items of the corpus, D embedding dimension.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from scipy.spatial.distance import pdist

from features.dataset import Dataset
from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.network.draws import Rows
from model.network.feature_values import Features
from model.network.two_tower import TwoTower
from model.ranking.cut_off import warn_if_all_are_found
from model.ranking.metrics import recall
from model.ranking.ranking import embedding_scorer, rank_pairs
from model.ranking.scores import Embeddings
from model.ranking.slices import read_item_slices
from model.ranking.split_pairs import read_split_pairs
from model.ranking.split_scorers import embed_both
from model.training.augmentation import Augmentation

_ITEMS = 512
"""Items whose alignment and uniformity are measured; there are 130,816 pairs of them."""
_ROWS = 1 << 16
"""Rows of a table whose norms are measured."""


def make_validation(
    two_tower: TwoTower,
    dataset: Dataset,
    *,
    corpus: Corpus,
    spec: Spec,
    groups: Mapping[str, list[str]] | None,
) -> Callable[[], dict[str, float | None]]:
    """A function that measures the weights as they are.

    Recall is that of the validation split, `recall@10` and `recall@50` overall and `recall@50/SLICE`; none where the
    dataset has no such split. Of more queries than `train.validation_queries` it is that of a sample, always the same.
    Where nothing can be chosen by Recall@50, stderr says so. Alignment is measured where the self-supervised task makes
    views.

    Args:
        two_tower: The model.
        dataset: The dataset.
        corpus: Its items.
        spec: The sections ssl, train and evaluate.
        groups: Mask groups, for `ssl.augmentation` cfm; None without a self-supervised task too.
    """
    has_split = dataset.count_examples(dataset.example_files("validation")) > 0
    settings = spec.evaluate.model_copy(update={"max_queries": spec.train.validation_queries})
    pairs = read_split_pairs(dataset, "validation", item_ids=corpus.ids, settings=settings) if has_split else None
    if pairs is not None:
        warn_if_all_are_found(pairs.most_candidates(), so="the best validation, and patience, go by Recall@10")
    slices = read_item_slices(dataset, corpus) if has_split else {}
    sample = np.unique(np.linspace(0, len(corpus) - 1, _ITEMS).astype(np.int64))
    some = {key: tf.gather(values, sample) for key, values in corpus.features.items()}
    views = _views(some, two_tower, spec=spec, groups=groups)

    def validate() -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        if pairs is not None:
            embedded = embed_both(two_tower, queries=pairs.queries, items=corpus.features, settings=settings)
            ranked = rank_pairs(pairs, embedding_scorer(*embedded))
            found |= {"recall@10": recall(ranked, k=10), "recall@50": recall(ranked, k=50)}
            for name, flags in slices.items():
                if name != "overall":
                    found[f"recall@50/{name}"] = recall(ranked.of_items(flags), k=50)
        found["uniformity"] = uniformity(two_tower.encode_items(some).numpy())
        if views:
            found["alignment"] = alignment(*(two_tower.encode_items(view).numpy() for view in views))
        for name, table in two_tower.embeddings.tables.items():
            rows = tf.range(0, table.shape[0], -(-table.shape[0] // _ROWS))
            found[f"row_norm/{name}"] = float(tf.reduce_mean(tf.norm(tf.gather(table, rows), axis=1)))
        return found

    return validate


def alignment(first: Embeddings, second: Embeddings) -> float:
    """The mean squared distance of an item's two views (Wang and Isola, ICML 2020); 0: views don't matter.

    Args:
        first: float32 [N, D], of length 1.
        second: float32 [N, D], in the same order.
    """
    return float(np.mean(np.sum(np.square(first - second, dtype=np.float64), axis=1)))


def uniformity(items: Embeddings) -> float | None:
    """The logarithm of the mean of exp(-2 d^2) over pairs of items at distance d; the lower, the wider they are spread.

    Args:
        items: float32 [N, D], of length 1.

    Returns:
        None for a single item, and for items so wide apart, of other lengths, that it has no number.
    """
    if len(items) < 2:
        return None
    mean = float(np.mean(np.exp(-2 * pdist(items.astype(np.float64), "sqeuclidean"))))
    return math.log(mean) if mean > 0 else None


def _views(
    items: Features, two_tower: TwoTower, *, spec: Spec, groups: Mapping[str, list[str]] | None
) -> list[Features]:
    """Two views of some items, drawn once so that validations compare, each item with a mask of its own."""
    if not spec.ssl.has_loss or spec.ssl.augmentation == "spread_out":
        return []
    ssl = spec.ssl.model_copy(update={"seed_per": "item"})
    augmentation = Augmentation(ssl, two_tower.item_features, groups=groups, seed=spec.train.seed)
    count = int(next(iter(items.values())).shape[0])
    rows = Rows(tf.range(count, dtype=tf.int64), count)
    views = augmentation.views(items, step=tf.constant(0, tf.int64), rows=rows)
    return [views.first, views.second]
