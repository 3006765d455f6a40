"""The trainer: examples a second and Recall@10 beside LibRecommender's, and what a step is held to.

On wikispeedia-links as shipped: batch 1,024, embeddings of 64, layers of 256 and 128, Adam, three features a tower, 12
epochs. A turn is four of them, reading included; tracing and start-up are not.
"""

import contextlib
import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import tensorflow as tf
from measure import ROOT, Row, Turns, run_command
from peer import PYTHON, Peer, peer, write_examples

from features.dataset import Dataset
from features.spec.file import build_spec
from features.spec.spec import Spec
from model.network.corpus import Corpus, read_corpus
from model.network.feature_values import Features
from model.network.two_tower import TwoTower
from model.ranking.metrics import recall
from model.ranking.ranking import embed, embedding_scorer, rank_pairs
from model.ranking.scores import Embeddings
from model.ranking.split_pairs import SplitPairs, read_split_pairs
from model.training.batch_streams import training_batches
from model.training.mask_groups import read_mask_groups
from model.training.prepared_batches import prepared_batches
from model.training.processors import use_both_of_two_processors
from model.training.training_batch import TrainingBatch
from model.training.training_examples import training_examples
from model.training.training_step import TrainingStep

DATA = Path(os.environ.get("SSL_TWO_TOWER_DATA", ROOT / "../shared/data")) / "wikispeedia"
EPOCHS_A_TURN = 4  # of 12 that the spec asks for
TARGETS = {"float32": 2.0, "bfloat16": 3.0}
"""Precision -> our rate against LibRecommender's, which has float32 alone."""
ALPHAS = {"plain": 0.0, "cfm": 0.3}
FEW_ROWS, MANY_ROWS = 10_000, 2_000_000
OPTIMIZERS = ("adam", "adagrad", "rowwise_adagrad")


def measure(work: Path, turns: Turns) -> list[Row]:
    if not DATA.exists():
        return [Row("training", None, "", f"no public data: {DATA} is not there (SSL_TWO_TOWER_DATA says where)")]
    use_both_of_two_processors()  # as `train` does, like this
    tf.config.experimental.enable_op_determinism()
    dataset = wikispeedia(work)
    corpus = read_corpus(dataset)
    return [*rates(work, turns, dataset=dataset, corpus=corpus), *tables(turns, dataset, corpus=corpus)]


def wikispeedia(work: Path) -> Dataset:
    """The dataset, as today's code builds it, of a raw log that is kept in the working directory."""
    directory, raw = work / "wikispeedia-links", work / "raw-wikispeedia"
    if not (raw / "manifest.json").exists():
        run_command("convert", "wikispeedia", "--input", str(DATA), "--output", str(raw), "--overwrite")
    flags = ("--spec", "wikispeedia-links", "--raw", str(raw), "--output", str(directory), "--overwrite")
    run_command("build-dataset", *flags)
    return Dataset.open(str(directory))


def specialise(dataset: Dataset, **keys: object) -> Spec:
    """The dataset's spec with other keys; a double underscore stands for a point."""
    overrides = [f"{key.replace('__', '.')}={value}" for key, value in keys.items()]
    return build_spec(dataset.manifest.spec, overrides, verb="train", source=f"{dataset.directory}/manifest.json")


class Training:
    """One model of ours, as `train` trains it but for validations and checkpoints."""

    def __init__(self, dataset: Dataset, corpus: Corpus, *, spec: Spec) -> None:
        groups = read_mask_groups(dataset, spec.ssl) if spec.ssl.has_loss else None
        self.spec = spec
        self.two_tower = TwoTower(spec, dataset.manifest.vocabularies)
        self._step = TrainingStep(self.two_tower, corpus, spec=spec)
        examples = training_examples(dataset, spec.train, keep=True)
        batches = prepared_batches([examples], corpus, two_tower=self.two_tower, spec=spec, groups=groups)
        self._take_steps = self._step.over(batches)
        self._steps_an_epoch = epoch_steps(corpus, spec)

    def train(self, epochs: int) -> None:
        self.steps(epochs * self._steps_an_epoch)

    def steps(self, count: int) -> None:
        """Goes on training, and waits until the last step is done."""
        take_all(count, self._take_steps)
        self._step.step.numpy()

    def embeddings(self, pairs: SplitPairs, corpus: Corpus) -> tuple[Embeddings, Embeddings]:
        """Of the split's queries, and of the corpus."""
        size = self.spec.evaluate.batch_size
        return (
            embed(self.two_tower.encode_queries, pairs.queries, batch_size=size),
            embed(self.two_tower.encode_items, corpus.features, batch_size=size),
        )


def take_all(steps: int, take_steps: Callable[[int], object]) -> None:
    """Takes so many, ten at once as `train` does."""
    for first in range(0, steps, 10):
        take_steps(min(10, steps - first))


def rates(work: Path, turns: Turns, *, dataset: Dataset, corpus: Corpus) -> list[Row]:
    """Ours and LibRecommender's in turns, what they found, reading alone, and the arithmetic behind it."""
    ours = {
        (task, precision): Training(
            dataset, corpus, spec=specialise(dataset, ssl__alpha=alpha, train__precision=precision)
        )
        for precision in TARGETS
        for task, alpha in ALPHAS.items()
    }
    for training in ours.values():
        training.train(1)  # as theirs, so that all have had as many epochs
    pairs = read_split_pairs(dataset, "test", item_ids=corpus.ids, settings=dataset.spec.evaluate)
    with contextlib.ExitStack() as stack:
        theirs: dict[str, Peer] = {}
        if PYTHON.exists():
            write_examples(dataset, work / "librecommender.csv")
            for task in ALPHAS:
                started = peer(work, work / "librecommender.csv", spec=specialise(dataset), ssl=task != "plain")
                theirs[task] = stack.enter_context(started)
                theirs[task].train(1)
        runs: dict[str, Callable[[], object]] = {
            f"{task}, {precision}": functools.partial(training.train, EPOCHS_A_TURN)
            for (task, precision), training in ours.items()
        }
        runs |= {f"{task}, peer": functools.partial(p.train, EPOCHS_A_TURN) for task, p in theirs.items()}
        steps = EPOCHS_A_TURN * epoch_steps(corpus, specialise(dataset))
        for source, keep in (("memory", True), ("files", False)):
            runs[f"read, {source}"] = functools.partial(read(batches(dataset, keep=keep)), steps)
        runs |= {f"matmul, {precision}": functools.partial(multiply, precision) for precision in TARGETS}
        seconds = turns(runs)
        found = {f"{task}, {precision}": t.embeddings(pairs, corpus) for (task, precision), t in ours.items()}
        for task, p in theirs.items():
            found[f"{task}, peer"] = p.embeddings(work / "librecommender.npz", pairs=pairs, corpus=corpus)
    recalls = {name: recall_at_10(pairs, queries, items=items) for name, (queries, items) in found.items()}
    examples = EPOCHS_A_TURN * int(corpus.train_count.sum())
    rate = {name: examples / seconds[name] for name in seconds if not name.startswith("matmul")}
    peak = {precision: _MATMUL_OPERATIONS / seconds[f"matmul, {precision}"] for precision in TARGETS}
    rows = []
    for (task, precision), training in ours.items():
        name = f"{task}, {precision}"
        detail = f"ours {rate[name]:,.0f} examples/s"
        if theirs:
            their = f"{task}, peer"
            detail += f", LibRecommender's TwoTower {rate[their]:,.0f} in float32"
            ratio = rate[name] / rate[their]
            rows.append(Row(f"training {name}, rate", ratio, "x", detail, at_least=TARGETS[precision]))
            both = f"{recalls[name]:.3f} and {recalls[their]:.3f} after as many epochs, test split"
            better = recalls[name] / recalls[their]
            rows.append(Row(f"training {name}, Recall@10 against theirs", better, "x", both, at_least=1))
        else:
            missing = f"{detail}; Recall@10 {recalls[name]:.3f}; no LibRecommender: `make peers`"
            rows.append(Row(f"training {name}, rate", None, "x", missing))
        flops = rate[name] * operations_an_example(training.spec)
        rows.append(
            Row(
                f"training {name}, model FLOP/s of matmul peak",
                100 * flops / peak[precision],
                "%",
                f"{flops / 1e9:,.0f} of {peak[precision] / 1e9:,.0f} GFLOP/s, measured in the same run",
            )
        )
    fastest = max(rate[f"{task}, {precision}"] for task, precision in ours)
    for source, what in (
        ("memory", "decoded rows in memory, as where it suffices"),
        ("files", "files, as where it does not"),
    ):
        read_alone = rate[f"read, {source}"]
        detail = f"{read_alone:,.0f} examples/s; training at its fastest {fastest:,.0f}"
        rows.append(Row(f"training, reading {what}, against it", read_alone / fastest, "x", detail, at_least=5))
    return rows


def recall_at_10(pairs: SplitPairs, queries: Embeddings, *, items: Embeddings) -> float:
    return recall(rank_pairs(pairs, embedding_scorer(queries, items)), k=10) or 0.0


def epoch_steps(corpus: Corpus, spec: Spec) -> int:
    return -(-int(corpus.train_count.sum()) // spec.train.batch_size)


def batches(dataset: Dataset, *, keep: bool) -> Iterator[TrainingBatch]:
    """As training reads them: of examples that are kept decoded, or of the files."""
    train = specialise(dataset).train
    return iter(training_batches(training_examples(dataset, train, keep=keep), train))


def read(batches: Iterator[TrainingBatch]) -> Callable[[int], None]:
    """What so many steps of a training read, and no more: inside a graph, as a step takes its batch."""
    take = tf.function(lambda: next(batches).row, autograph=False).get_concrete_function()

    def run(steps: int) -> None:
        for _ in range(steps):
            take()

    return run


_SIDE, _TIMES, _AT_ONCE = 2048, 25, 2
_MATMUL_OPERATIONS = _AT_ONCE * _TIMES * 2 * _SIDE**3


def multiply(precision: str) -> None:
    """Large square matrices: the most that this machine does, by as many operations at a time as share it."""
    factor = tf.cast(tf.fill([_SIDE, _SIDE], 0.5), precision)

    def some(_: int) -> None:
        for _ in range(_TIMES):
            product = tf.matmul(factor, factor)
        product[0, 0].numpy()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(some, range(_AT_ONCE)))


def operations_an_example(spec: Spec) -> float:
    """Floating point operations of the layers and the scores, forwards and twice that backwards.

    A multiplication and an addition are two; lookups, losses and the optimizer are left out.
    """
    widths = [3 * spec.model.embedding_dim, *spec.model.hidden]
    tower = sum(a * b for a, b in itertools.pairwise(widths))
    scores = spec.train.batch_size * widths[-1]
    tasks = 2 if spec.ssl.has_loss else 1
    return tasks * 3 * 2 * (2 * tower + scores)


def tables(turns: Turns, dataset: Dataset, *, corpus: Corpus) -> list[Row]:
    """A step with one large embedding table, against one with a small one: gradients and updates stay sparse."""
    rows = []
    for optimizer in OPTIMIZERS:
        spec = specialise(dataset, ssl__alpha=0, train__optimizer=optimizer)
        runs = {str(size): table_steps(dataset, corpus, spec=spec, size=size) for size in (FEW_ROWS, MANY_ROWS)}
        seconds = turns(runs)
        few, many = seconds[str(FEW_ROWS)] / _TABLE_STEPS, seconds[str(MANY_ROWS)] / _TABLE_STEPS
        detail = f"{many * 1e3:.1f} ms against {few * 1e3:.1f} ms with 10 thousand rows, by {optimizer}"
        rows.append(Row(f"training, step with 2 M rows, {optimizer}", many / few, "x", detail, at_most=2))
        del runs
    return rows


_TABLE_STEPS = 100


def table_steps(dataset: Dataset, corpus: Corpus, *, spec: Spec, size: int) -> Callable[[], None]:
    """Steps of a model whose titles have so many terms, on batches that hold any of them."""
    vocabularies: Mapping[str, int] = {**dataset.manifest.vocabularies, "title": size}
    two_tower = TwoTower(spec, vocabularies)
    step = TrainingStep(two_tower, corpus, spec=spec)

    def retitled(*given: Any, **named: Any) -> tf.data.Dataset:
        return training_batches(*given, **named).enumerate().map(functools.partial(anywhere, size=size))

    with mock.patch("model.training.prepared_batches.training_batches", retitled):
        examples = training_examples(dataset, spec.train, keep=True)
        take_steps = step.over(prepared_batches([examples], corpus, two_tower=two_tower, spec=spec, groups=None))

    def run(steps: int) -> None:
        take_all(steps, take_steps)
        step.step.numpy()

    run(5)
    return functools.partial(run, _TABLE_STEPS)


def anywhere(number: tf.Tensor, batch: TrainingBatch, *, size: int) -> TrainingBatch:
    """The batch with other titles, as long as they were."""

    def retitled(features: Features, key: str) -> Features:
        shape = tf.shape(features[key].values)
        codes = tf.random.stateless_uniform(shape, [number, len(key)], 0, size, tf.int64)
        return {**features, key: features[key].with_values(codes)}

    return batch._replace(query=retitled(batch.query, "query/title"), item=retitled(batch.item, "item/title"))
