"""Slices of the corpus by how often an item was seen in training.

Shapes: N items of the corpus.
"""

import numpy as np

from features.dataset import Dataset
from model.network.corpus import Corpus
from model.ranking.metrics import Flags, Indices


def item_slices(*, train_count: Indices, full_train_count: Indices) -> dict[str, Flags]:
    """The slices that metrics are reported for, of items ordered by id, which breaks ties.

    Args:
        train_count: [N] Training examples that hold the item.
        full_train_count: [N] The same before split.train_fraction thinned them, so that head and tail stay the same
            items whatever the fraction.

    Returns:
        `overall`; `head`, the 10% most frequent of the items seen in training (rounded down, but one at least); `tail`,
        the rest; `cold`, never trained on. Each [N], True for its items.
    """
    items = len(full_train_count)
    by_frequency = np.argsort(-full_train_count, kind="stable")
    seen = int(np.count_nonzero(full_train_count))
    head = np.zeros(items, dtype=bool)
    head[by_frequency[: max(seen // 10, min(seen, 1))]] = True
    return {"overall": np.ones(items, dtype=bool), "head": head, "tail": ~head, "cold": train_count == 0}


def read_item_slices(dataset: Dataset, corpus: Corpus) -> dict[str, Flags]:
    """The slices of a dataset's corpus, in its order.

    Raises:
        StageError: If entities/ lacks an item of the corpus.
    """
    rows = dataset.entity_rows("items", corpus.ids, columns=["full_train_count"])
    full_train_count = rows["full_train_count"].to_numpy().astype(np.int64)
    return item_slices(train_count=corpus.train_count, full_train_count=full_train_count)
