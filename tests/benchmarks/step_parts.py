"""Where a step's time goes: processor time of its parts, each alone, by the median of its turns.

    .venv/bin/python tests/benchmarks/step_parts.py --precision bfloat16

A plain step on wikispeedia-links. Beside the loss stands what autodiff makes of the same loss.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from measure import ROOT, take_turns
from training import DATA, specialise, wikispeedia

from features.dataset import Dataset
from features.spec.training import Precision
from model.network.corpus import read_corpus
from model.network.embedding import tower_columns
from model.network.lookups import lookups_of
from model.network.touched_rows import number_codes, read_rows
from model.network.tower import make_tower, run_tower
from model.network.two_tower import TwoTower
from model.training.batch_streams import training_batches
from model.training.columns import Columns
from model.training.losses import in_batch_softmax
from model.training.prepared_batches import prepared_batches
from model.training.processors import use_both_of_two_processors
from model.training.row_optimizer import RowOptimizer
from model.training.training_batch import TrainingBatch
from model.training.training_examples import training_examples
from model.training.training_step import TrainingStep

TIMES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the parts of a step.")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--work", default=str(ROOT / ".benchmarks"), help="where the dataset is made")
    arguments = parser.parse_args()
    if not DATA.exists():
        parser.error(f"no public data: {DATA} is not there (SSL_TWO_TOWER_DATA says where)")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    use_both_of_two_processors()
    tf.config.experimental.enable_op_determinism()
    found = parts(wikispeedia(Path(arguments.work)), arguments.precision)
    for part in found.values():
        part()
    runs = {name: lambda part=part: [part() for _ in range(TIMES)][-1] for name, part in found.items()}
    for name, seconds in take_turns(runs, repeats=5, clock=time.process_time).items():
        print(f"{name:42} {seconds / TIMES * 1e3:6.2f} ms")


def parts(dataset: Dataset, precision: Precision) -> dict[str, Callable[[], Any]]:
    """Name -> what runs it once, and waits for it."""
    spec = specialise(dataset, ssl__alpha=0, train__precision=precision)
    examples = training_examples(dataset, spec.train, keep=True)
    batches = training_batches(examples, spec.train)
    batch = next(iter(batches))
    two_tower = TwoTower(spec, dataset.manifest.vocabularies)
    corpus = read_corpus(dataset)
    take_steps = TrainingStep(two_tower, corpus, spec=spec).over(
        prepared_batches([examples], corpus, two_tower=two_tower, spec=spec, groups=None)
    )
    alone = iter(batches)
    found: dict[str, Callable[[], Any]] = {
        "next batch": lambda: next(alone),
        "lookups": lookups(two_tower, batch, gradients=False, updates=False),
        "lookups, gradients": lookups(two_tower, batch, gradients=True, updates=False),
        "lookups, gradients, update of rows": lookups(two_tower, batch, gradients=True, updates=True),
        "towers, gradients": towers(spec.model.hidden, entities(batch), precision=precision),
        "loss, gradients": loss(batch, precision),
        "loss, gradients by autodiff": loss(batch, None),
        "whole step": lambda: take_steps(1).numpy(),
    }
    return found


def entities(batch: TrainingBatch) -> list[int]:
    """How many queries and items there are in a batch."""
    return [next(iter(side.values())).shape[0] for side in (batch.query, batch.item)]


def lookups(two_tower: TwoTower, batch: TrainingBatch, *, gradients: bool, updates: bool) -> Callable[[], Any]:
    sides = [(batch.query, two_tower.query_features), (batch.item, two_tower.item_features)]
    embeddings = two_tower.embeddings
    optimizer = RowOptimizer(embeddings.tables, optimizer="adam", learning_rate=1e-3, weight_decay=0.0)

    # A step finds these in its batch.
    codes, numbered = number_codes(embeddings.tables, sides, hashed=embeddings.hashed)
    looked_up = [lookups_of(values) for values in numbered]

    def run() -> tf.Tensor:
        rows = read_rows(embeddings.tables, codes)
        touched = {name: row.values for name, row in rows.items()}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(touched)
            tables = {name: row.of_codes(touched[name]) for name, row in rows.items()}
            inputs = [
                tf.concat(tower_columns(found, features, tables=tables, defaults=embeddings.defaults), axis=1)
                for found, (_, features) in zip(looked_up, sides, strict=True)
            ]
        if not gradients:
            return tf.add_n([part[0, 0] for part in inputs])
        upstream = [tf.ones_like(part) for part in inputs]
        found = tape.gradient(inputs, touched, output_gradients=upstream)
        if updates:
            for name, row in rows.items():
                optimizer.update(name, row, gradient=tf.convert_to_tensor(found[name]), step=tf.constant(0, tf.int64))
        return tf.add_n([tf.convert_to_tensor(gradient)[0, 0] for gradient in found.values()])

    compiled = tf.function(run)
    return lambda: compiled().numpy()


def towers(hidden: list[int], rows: list[int], *, precision: Precision) -> Callable[[], Any]:
    """Both, each with its own input."""
    inputs = [tf.random.stateless_normal([rows[side], 192], [1, side]) for side in range(2)]
    both = [make_tower(hidden, input_width=192, normalize=True, seed=0, name=name) for name in ("a_tower", "b_tower")]
    weights = [weight.value for tower in both for weight in tower.weights]

    def run() -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([inputs, weights])
            found = [run_tower(tower, x, precision=precision) for tower, x in zip(both, inputs, strict=True)]
        upstream = [tf.ones_like(part) for part in found]
        gradients = tf.nest.flatten(tape.gradient(found, [inputs, weights], output_gradients=upstream))
        return tf.add_n([tf.reshape(gradient, [-1])[0] for gradient in gradients])

    compiled = tf.function(run)
    return lambda: compiled().numpy()


def loss(batch: TrainingBatch, precision: Precision | None) -> Callable[[], Any]:
    """The main loss by `model.training.losses`, or None: of TensorFlow's operations, each example apart."""
    batch = batch.apart() if precision is None else batch
    sides = [
        tf.math.l2_normalize(tf.random.stateless_normal([rows, 128], [2, side]), axis=1)
        for side, rows in enumerate(entities(batch))
    ]
    copies = tf.math.bincount(batch.item_of, dtype=tf.float32)
    columns = Columns(sides[1], batch.item_key, copies, frequency=tf.cast(batch.train_count, tf.float32) / 100_000)

    def run() -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sides)
            if precision is None:
                found = by_autodiff(*sides, item_keys=columns.keys, frequency=columns.frequency)
            else:
                found = in_batch_softmax(
                    sides[0],
                    columns,
                    query_of=batch.query_of,
                    column_of=batch.item_of,
                    examples=len(batch.item_of),
                    temperature=0.1,
                    logq=1.0,
                    remove_accidental_hits=True,
                    copies_differ=False,
                    precision=precision,
                )
        return tf.add_n([found, *(gradient[0, 0] for gradient in tape.gradient(found, sides))])

    compiled = tf.function(run)
    return lambda: compiled().numpy()


def by_autodiff(queries: tf.Tensor, items: tf.Tensor, *, item_keys: tf.Tensor, frequency: tf.Tensor) -> tf.Tensor:
    logits = tf.matmul(queries / 0.1, items, transpose_b=True) - tf.math.log(frequency)
    same = tf.equal(item_keys[:, tf.newaxis], item_keys)
    logits = tf.where(tf.linalg.set_diag(same, tf.zeros(tf.shape(item_keys), tf.bool)), -1e9, logits)
    labels = tf.range(tf.shape(queries)[0])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


if __name__ == "__main__":
    main()
