"""The batch whose loss diverged, written out by its ids so that someone can look at it."""

import json

from features.dataset import Dataset
from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.training.batch_streams import batch_ids
from model.training.uniform_items import uniform_items
from stage import storage

BAD_BATCH = "bad_batch.json"


def write_bad_batch(path: str, step: int, *, dataset: Dataset, corpus: Corpus, spec: Spec) -> None:
    """Writes the ids of a global batch, which is a function of dataset, seed and step alone.

    Args:
        path: The file; its `examples` are pairs of a query and an item in the batch's order, its `ssl_items` and
            `uniform_negatives` ids.
        step: Which batch.
        dataset: What was trained on.
        corpus: Its items.
        spec: The sections ssl and train.

    Raises:
        StageError: If the dataset can't be read or the file can't be written.
    """
    drawn = next(uniform_items(corpus, spec=spec, start_step=step).as_numpy_iterator())
    content = {
        "step": step,
        "dataset": dataset.directory,
        "examples": [{"query_id": q, "item_id": i} for q, i in batch_ids(dataset, spec.train, step=step)],
        "ssl_items": [corpus.ids[index].decode() for index in drawn.ssl.tolist()],
        "uniform_negatives": [corpus.ids[index].decode() for index in drawn.negatives.tolist()],
    }
    storage.write_bytes(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")
