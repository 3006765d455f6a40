"""What Python programs use: a dataset, a model and an export, opened and read.

Everything here takes local paths or gs://, checks that what it opens is whole, and raises `StageError`, whose text is
one line that says what to do.

Shapes: B rows of a batch.
"""

from typing import Any

import tensorflow as tf

from features.dataset import Dataset
from features.split import SplitName
from model.network.corpus import Corpus, read_corpus
from model.network.example_files import example_parser
from model.network.two_tower import TwoTower, load_model
from model.serving.retriever import Recommendation, Retriever
from stage.errors import StageError, UsageError
from stage.published import current_number

__all__ = [
    "Corpus",
    "Dataset",
    "Recommendation",
    "Retriever",
    "StageError",
    "TwoTower",
    "UsageError",
    "load_dataset",
    "load_export",
    "load_model",
    "load_published",
    "read_corpus",
    "read_examples",
]


def load_dataset(directory: str, *, verify: bool = False) -> Dataset:
    """Opens what `build-dataset` left.

    Args:
        directory: Where it lies.
        verify: Also compare the SHA-256 of every file.

    Returns:
        Its manifest and spec, the paths of its files, what its examples hold (`features`), and its raw entities as
        Arrow tables (`entities`).

    Raises:
        StageError: If it is missing or incomplete.
    """
    return Dataset.open(directory, verify=verify)


def read_examples(dataset: Dataset, split: SplitName, *, batch_size: int = 1024) -> "tf.data.Dataset[dict[str, Any]]":
    """The query-item examples of a split, once, in the order of the files, which is that of a hash.

    Args:
        dataset: Whose.
        split: train, validation or test.
        batch_size: B; the last batch has what is left.

    Returns:
        Elements are mappings: `query_id` and `item_id`, string [B]; query/NAME, item/NAME, and in session mode
        pair/NAME, ragged [B, (values)] as `read_corpus` has them. A damaged file ends the reading with one of
        `tf.errors`; opening the dataset with `verify` names it.

    Raises:
        StageError: If the split has no file.
    """
    files = dataset.example_files(split)
    if not files:
        raise StageError(f"{dataset.directory}/{split}: expected examples, found no file")
    parse = example_parser([*dataset.query_inputs(), *dataset.features("item")], scalars=["query_id", "item_id"])
    records = tf.data.TFRecordDataset(files, "GZIP").batch(batch_size)
    return records.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(1)


def load_export(directory: str, *, verify: bool = False) -> Retriever:
    """Opens what `export` left.

    Args:
        directory: Where it lies, or where models are published.
        verify: Also compare the SHA-256 of every file.

    Returns:
        `recommend`, `similar`, `embed_queries` and `embed_items` take ids or raw features, of which a vector is a list
        or NumPy array of its numbers; `items` names the corpus.

    Raises:
        StageError: If it is missing or incomplete.
    """
    return Retriever.open(directory, verify=verify)


def load_published(base: str, *, verify: bool = False) -> Retriever:
    """Opens the model that is served: the one that CURRENT names.

    Args:
        base: The directory of published models.
        verify: Also compare the SHA-256 of every file.

    Returns:
        As `load_export`; its `directory` ends in the number. If that is removed while it is opened, the one that
        CURRENT names by then.

    Raises:
        StageError: If nothing is published, or what CURRENT names is incomplete.
    """
    if current_number(base) is None:
        raise StageError(
            f"{base}: expected what publish was given as --to, found no CURRENT; load_export opens a single export"
        )
    return load_export(base, verify=verify)
