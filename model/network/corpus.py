"""The corpus: every item of a dataset, in memory.

Shapes: N items.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.dataset import ITEM_TRAIN_COUNT, Dataset
from model.network.example_files import example_parser, readable
from model.network.feature_values import Features
from model.network.numpy_rows import in_order, rows_apart
from stage.errors import StageError

_RECORDS_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class Corpus:
    """Every item once, ordered by id."""

    ids: list[bytes]
    """[N]."""
    train_count: npt.NDArray[np.int64]
    """[N]: training examples that hold the item; 0 for a cold one."""
    features: Features

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def train_examples(self) -> int:
        """Training examples."""
        return int(self.train_count.sum())


def read_corpus(dataset: Dataset) -> Corpus:
    """Reads every item into memory, ordered by id.

    Returns:
        `ids`, bytes [N]; `train_count`, int64 [N], training examples that hold the item; `features`, item/NAME ->
        ragged [N, (values)]: int64 codes of a vocabulary, or float32, a number with mean 0 and standard deviation
        1; of a vector [N, (1 or 0), size].

    Raises:
        StageError: If a file can't be read, the corpus is empty, or an item is there twice.
    """
    features = dataset.features("item")
    parse = example_parser(features, scalars=["item_id", ITEM_TRAIN_COUNT])
    with readable(dataset.directory):
        records = tf.data.TFRecordDataset(dataset.corpus_files(), "GZIP").batch(_RECORDS_AT_ONCE)
        # Out of TensorFlow's memory at once, since it gives none back: the corpus would hold 3.4 times its size.
        parts = [tf.nest.map_structure(lambda part: part.numpy(), rows_apart(part)) for part in records.map(parse)]
    if not parts:
        raise StageError(f"{dataset.directory}/items: expected the items of the corpus, found none")
    ids = np.concatenate([part.pop("item_id") for part in parts])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    twice = np.flatnonzero(ids[1:] == ids[:-1])
    if twice.size:
        raise StageError(f"{dataset.directory}/items: expected every item once, found {ids[twice[0]].decode()} twice")
    counts = np.concatenate([part.pop(ITEM_TRAIN_COUNT) for part in parts])[order]
    # Each part's values go as they are joined, so that one feature at a time is there twice.
    values = {f.key: in_order([part.pop(f.key) for part in parts], order) for f in features}
    return Corpus(ids.tolist(), counts, values)
