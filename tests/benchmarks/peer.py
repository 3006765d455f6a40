"""LibRecommender's TwoTower as a process beside ours: the same examples, batch, sizes and kind of optimizer.

Its categories are the first and the last of an entity's, as two categorical features; it has no text. With the id that
makes three features a tower, as many as ours.
"""

import csv
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf
from measure import ROOT, Took

from features.dataset import Dataset
from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.ranking.scores import Embeddings
from model.ranking.split_pairs import SplitPairs

PYTHON = ROOT / ".peers/librecommender/bin/python"
_SCRIPT = Path(__file__).parent / "librecommender_two_tower.py"
_NEVER = -1e3


class Peer:
    """A model of LibRecommender's, in training."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def train(self, epochs: int) -> Took:
        """Goes on training."""
        return Took(**self._ask({"train": epochs}))

    def embeddings(self, path: Path, *, pairs: SplitPairs, corpus: Corpus) -> tuple[Embeddings, Embeddings]:
        """Of the split's queries and of the corpus, for `embedding_scorer`.

        It can't embed what was in no training example: such an item comes last, for such a query nothing is found.
        """
        self._ask({"save": str(path)})
        found = np.load(path)
        return (
            _in_order(pairs.query_ids, found["user_ids"], embeddings=found["users"], known=1, unknown=0),
            _in_order(corpus.ids, found["item_ids"], embeddings=found["items"], known=0, unknown=_NEVER),
        )

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{_SCRIPT.name} ended with {self._process.wait()}; its log says why")
        return json.loads(answer)


@contextmanager
def peer(work: Path, examples: Path, *, spec: Spec, ssl: bool) -> Iterator[Peer]:
    """Starts one, with the sizes of a spec, and ends it."""
    settings = {
        "loss_type": "softmax",
        "embed_size": spec.model.embedding_dim,
        "hidden_units": spec.model.hidden,
        "norm_embed": spec.model.normalize,
        "use_bn": False,
        "lr": spec.train.learning_rate,  # its optimizer is Adam
        "batch_size": spec.train.batch_size,
        "temperature": spec.train.temperature,
        "use_correction": spec.train.logq == 1,
        "remove_accidental_hits": spec.train.remove_accidental_hits,
        "seed": spec.train.seed,
        **({"ssl_pattern": "cfm", "alpha": spec.ssl.alpha} if ssl else {}),
    }
    arguments = [str(PYTHON), str(_SCRIPT), json.dumps({"examples": str(examples), "model": settings})]
    with open(work / f"librecommender-{'ssl' if ssl else 'plain'}.log", "w") as log:
        process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            yield Peer(process)
        finally:
            process.kill()
            process.wait()


def write_examples(dataset: Dataset, path: Path) -> None:
    """The training examples as CSV: ids, first and last category."""
    categories = {}
    for name in dataset.manifest.names("entities", ".parquet"):
        table = pq.read_table(Path(dataset.directory) / name, columns=["id", "feature/categories"])
        categories |= dict(zip(table["id"].to_pylist(), table["feature/categories"].to_pylist(), strict=True))
    records = tf.data.TFRecordDataset(dataset.example_files("train"), "GZIP").batch(1 << 14)
    ids = {key: tf.io.FixedLenFeature([], tf.string) for key in ("query_id", "item_id")}
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "item", "user_first", "user_last", "item_first", "item_last"])
        for batch in records.map(lambda serialized: tf.io.parse_example(serialized, ids)):
            for pair in zip(*(batch[key].numpy() for key in ids), strict=True):
                names = [name.decode() for name in pair]
                paths = [categories[name] or [""] for name in names]
                writer.writerow([*names, *(level for path in paths for level in (path[0], path[-1]))])


def _in_order(
    wanted: list[bytes], ids: np.ndarray, *, embeddings: Embeddings, known: float, unknown: float
) -> Embeddings:
    """Rows by id, with one more number: `known`, or `unknown` after zeros."""
    rows = {str(name).encode(): row for row, name in enumerate(ids)}
    found = np.zeros((len(wanted), embeddings.shape[1] + 1), np.float32)
    for place, name in enumerate(wanted):
        row = rows.get(name)
        found[place, -1] = unknown if row is None else known
        if row is not None:
            found[place, :-1] = embeddings[row]
    return found
