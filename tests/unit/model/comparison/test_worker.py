"""What a worker answers, held to what train and evaluate say of the same dataset."""

import gc
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tensorflow.python.framework.func_graph import FuncGraph

from features.spec.evaluate import Evaluate
from features.spec.file import build_spec
from model.comparison.packed import unpack_flags
from model.comparison.peer_embeddings import PeerEmbeddings, Peers
from model.comparison.requests import REQUEST, BaselineRequest, PeerRequest, ShapesRequest, TrainRequest
from model.comparison.split_shape import PackedShape, cold_part, unpack_ranked, unpack_shape
from model.comparison.studies import Training
from model.comparison.worker import Workbench
from model.comparison.worker_pool import WorkerPool
from model.evaluate import evaluate
from model.network.corpus import read_corpus
from model.network.diverged import Diverged
from model.network.finished_model import FinishedModel
from model.network.two_tower import load_model
from model.ranking.metrics import metrics
from model.ranking.ranking import rank_pairs
from model.ranking.split_pairs import read_pair_ids
from model.ranking.split_scorers import embed_split, read_split_to_rank
from model.train import train
from stage.errors import Interrupted

KEYS = ["train.epochs=2", "train.validate_every=4", "train.seed=3", "ssl.alpha=0"]
SLICES = ("overall", "head", "tail", "cold")


@pytest.fixture(scope="module")
def workbench(tiny_dataset):
    return Workbench(tiny_dataset, tiny_dataset.spec.evaluate)


@pytest.fixture(scope="module")
def evaluated(tiny_dataset, tmp_path_factory):
    model = str(tmp_path_factory.mktemp("evaluated") / "model")
    spec = build_spec(tiny_dataset.manifest.spec, KEYS, source="test")
    history = train(tiny_dataset, spec, output=model)
    found = {
        split: evaluate(FinishedModel.open(model), dataset=tiny_dataset, split=split, settings=spec.evaluate)
        for split in ("validation", "test")
    }
    return history, found, model


def test_a_training_is_that_of_train_and_its_ranking_that_of_evaluate(workbench, evaluated, tmp_path):
    history, expected, _ = evaluated
    answer = workbench.answer(TrainRequest(train=KEYS, directory=str(tmp_path / "work"), test=True))
    found = Training.model_validate({"settings": {}, "seed": 3, **answer})
    assert found.steps == history[-1]["step"]
    assert found.recall() == pytest.approx(max(entry["recall@50"] for entry in history), abs=1e-6)
    for split, ranking in (("validation", found.validation), ("test", found.test)):
        for name in SLICES:
            assert ranking.metrics[name] == pytest.approx(expected[split][name], abs=1e-6)
    assert not (tmp_path / "work").exists()
    # TensorFlow would keep the graphs of all trainings.
    assert not [g for g in gc.get_objects() if isinstance(g, FuncGraph) and g.name == "take_some"]

    shapes = workbench.answer(ShapesRequest())
    shape = unpack_shape(PackedShape.model_validate(shapes["test"]), source="test")
    again = metrics(unpack_ranked(found.test.last_ranks, shape, source="test"))
    for metric in ("pairs", "queries", "recall@10", "recall@50", "map@10", "map@50"):
        assert again[metric] == pytest.approx(expected["test"]["overall"][metric])
    pairs = shapes["validation"]["pairs"]
    top = unpack_flags(found.validation.top_50, count=pairs)
    assert np.mean(top) == pytest.approx(found.recall(), abs=1e-6)
    assert found.validation.last_ranks is None


def test_cold_items_are_ranked_among_themselves_and_with_a_constant_added(make_dataset, tmp_path, monkeypatch):
    model = str(tmp_path / "model")

    def keep(directory):
        shutil.copytree(directory, model)
        return load_model(directory)

    monkeypatch.setattr("model.comparison.worker.load_model", keep)
    bounds = []

    # 10 pairs of validation have an item that lost its training pairs.
    def asked(found, is_cold, price):
        bounds.append(found)
        return 0.3 + np.sum(is_cold) / 100 + price

    monkeypatch.setattr("model.comparison.worker.largest_shift", asked)
    dataset = make_dataset(spec={"split": {"cold_items": 0.1}}, cold_validation_pairs=10)
    workbench = Workbench(dataset, dataset.spec.evaluate)
    answer = workbench.answer(TrainRequest(train=KEYS, directory=str(tmp_path / "work"), test=True))
    found = Training.model_validate({"settings": {}, "seed": 3, **answer})
    assert [found.corrections[price].shift for price in ("0.0", "0.02")] == pytest.approx([0.4, 0.42])
    corrected = found.corrections["0.0"].test

    finished = FinishedModel.open(model)
    expected = evaluate(finished, dataset=dataset, split="test", settings=dataset.spec.evaluate)
    for name in (*SLICES, "cold_among_cold"):
        assert found.test.metrics[name] == pytest.approx(expected[name], abs=1e-6)
    packed = PackedShape.model_validate(workbench.answer(ShapesRequest())["test"])
    shape = unpack_shape(packed, source="test")
    again = metrics(unpack_ranked(found.test.cold_last_ranks, cold_part(shape), source="test"))
    assert again["recall@10"] == pytest.approx(expected["cold_among_cold"]["recall@10"])

    to_rank = read_split_to_rank(dataset, "test", settings=dataset.spec.evaluate)
    queries, items = embed_split(finished, to_rank)
    cold = to_rank.corpus.train_count == 0
    ranked = rank_pairs(to_rank.pairs, lambda batch: queries[batch] @ items.T + 0.4 * cold)
    assert corrected.metrics["overall"]["mrr"] == pytest.approx(metrics(ranked)["mrr"], abs=1e-5)
    assert corrected.metrics["cold"]["mrr"] > found.test.metrics["cold"]["mrr"]
    # Among themselves cold items keep their order.
    assert corrected.cold_last_ranks == found.test.cold_last_ranks

    # The constant is looked for on validation: just beside its bound a pair enters its query's best 50, or leaves them.
    assert len(bounds) == 2
    np.testing.assert_array_equal(*bounds)
    to_rank = read_split_to_rank(dataset, "validation", settings=dataset.spec.evaluate)
    queries, items = embed_split(finished, to_rank)
    scores = np.where(to_rank.pairs.excluded.toarray() != 0, -np.inf, queries @ items.T)
    in_order = workbench._split("validation")
    pairs = list(zip(in_order.query_index, in_order.item_index, bounds[0], strict=True))
    assert sum(np.isfinite(bound) for _, _, bound in pairs) > 3
    for query, item, bound in pairs:
        for shift in np.clip([bound - 1e-4, bound + 1e-4], -9, 9):
            shown = scores[query] + shift * cold
            assert (np.sum(shown >= shown[item]) <= 50) == ((shift > bound) == cold[item]), (query, item)


@pytest.mark.parametrize(("name", "key"), [("popularity", "popularity"), ("co-occurrence", "co_occurrence")])
def test_baselines_are_those_of_evaluate(workbench, evaluated, name, key):
    found = workbench.answer(BaselineRequest(baseline=name))
    expected = evaluated[1]["test"]["baselines"][key]
    for part in SLICES:
        assert found["test"]["metrics"][part] == pytest.approx(expected[part], abs=1e-6)


def test_without_test_its_pairs_are_not_ranked(workbench, evaluated, tmp_path, monkeypatch):
    _, _, model = evaluated

    def train_before(dataset, spec, *, output, overwrite):
        shutil.copytree(model, output)
        return [{"step": 4, "recall@50": 0.4}, {"step": 8, "recall@50": 0.3}]

    monkeypatch.setattr("model.comparison.worker.train", train_before)
    answer = workbench.answer(TrainRequest(train=KEYS, directory=str(tmp_path / "work"), test=False))
    assert answer.keys() == {"steps", "best_step", "validation", "cpu_seconds"}
    assert (answer["steps"], answer["best_step"]) == (8, 4)


def test_a_peer_s_best_epoch_is_that_of_validation(tiny_dataset, tmp_path, monkeypatch):
    """Of two epochs the first finds the pairs of validation alone, the second those of test."""
    settings = Evaluate(max_queries=20)
    splits = [read_split_to_rank(tiny_dataset, split, settings=settings).pairs for split in ("validation", "test")]

    training = read_pair_ids(tiny_dataset, "train", item_ids=read_corpus(tiny_dataset).ids)
    topics = tiny_dataset.entity_rows("queries", training.query_ids.to_pylist(), columns=["feature/topic"])
    asked = []

    def train_made_up(peers, model, settings, *, seed, spec, **_):
        asked.append((model, settings, seed, spec.train.epochs))
        with np.load(tmp_path / "work" / "examples.npz") as examples:
            # Of every query that is trained on, however few are ranked.
            assert len(examples["query/topic"]) == len(set(examples["query"])) == 60
            of_pairs = examples["query/topic"][examples["query"], 0]
            assert [f"topic {topic}" for topic in of_pairs] == topics["feature/topic"].to_pylist()
            assert examples["item/topic"].shape == (60, 1)
            queries = int(examples["queries"])
        for pairs in splits:
            rows = peers.places(pa.array(pairs.query_ids, pa.binary()))
            scores = np.zeros((queries, 60), np.float32)
            scores[rows[pairs.query_index], pairs.item_index] = 1
            yield PeerEmbeddings(scores, np.eye(60, dtype=np.float32))

    monkeypatch.setattr(Peers, "train", train_made_up)
    request = PeerRequest(
        peer="two_tower",
        settings={"two_tower.lr": 0.002},
        seed=7,
        python="",
        spec=["train.epochs=2"],
        directory=str(tmp_path / "work"),
        test=True,
    )
    workbench = Workbench(tiny_dataset, settings)
    answer = workbench.answer(request)
    assert asked == [("two_tower", {"two_tower.lr": 0.002}, 7, 2)]
    assert (answer["steps"], answer["best_step"]) == (16, 8)  # 500 examples in batches of 64 are 8 steps
    assert [answer[split]["metrics"]["overall"]["recall@10"] for split in ("validation", "test")] == [1.0, 0.0]
    assert "test" not in workbench.answer(request.model_copy(update={"test": False}))


def test_a_peer_sees_the_features_of_a_query_whose_one_training_pair_is_with_itself(make_dataset):
    """Though none ranks such a pair: without it the features of every query behind it would be another's."""
    dataset = make_dataset(new_queries=1, training_pairs_with_self=1)
    training = read_pair_ids(dataset, "train", item_ids=read_corpus(dataset).ids)
    queries = training.query_ids.unique().to_pylist()
    assert (len(queries), queries[0]) == (60, b"item-000")
    topics = dataset.entity_rows("queries", queries, columns=["feature/topic"])["feature/topic"].to_pylist()
    found = Workbench(dataset, dataset.spec.evaluate)._peer_features["query/topic"]
    assert [f"topic {topic}" for topic in found[:, 0]] == topics


def test_settings_that_diverge_are_an_answer(workbench, tmp_path, monkeypatch):
    def diverge(dataset, spec, *, output, overwrite):
        Path(output).mkdir()
        raise Diverged("the loss was not finite")

    monkeypatch.setattr("model.comparison.worker.train", diverge)
    answer = workbench.answer(TrainRequest(train=KEYS, directory=str(tmp_path / "work"), test=True))
    assert answer.keys() == {"failure", "cpu_seconds"}
    assert answer["failure"] == "the loss was not finite"
    assert not (tmp_path / "work").exists()


def test_pairs_of_queries_without_a_training_pair_are_told(make_dataset, workbench):
    dataset = make_dataset(new_queries=3)
    answers = [Workbench(dataset, dataset.spec.evaluate).answer(ShapesRequest()), workbench.answer(ShapesRequest())]
    few, none = (unpack_shape(PackedShape.model_validate(answer["test"]), source="test") for answer in answers)
    # Of the three the first is in test, twice.
    assert few.query_index[few.slices["new_queries"]].tolist() == [0, 0]
    assert not none.slices["new_queries"].any()


def test_a_pool_s_workers_answer_until_it_is_closed(tiny_dataset, tmp_path):
    settings = Evaluate(max_queries=4)
    with closing(WorkerPool(tiny_dataset.directory, settings, workers=1, threads=1, logs=str(tmp_path))) as pool:
        packed = PackedShape.model_validate(pool.ask(ShapesRequest())["test"])
    assert len(set(unpack_shape(packed, source="the worker").query_index)) == 4
    with pytest.raises(Interrupted):
        pool.ask(ShapesRequest())


@pytest.mark.parametrize(
    "request_line",
    [
        '{"shapes":true}',
        '{"baseline":"co-occurrence"}',
        '{"train":["train.epochs=2"],"directory":"work","test":true}',
        '{"peer":"als","settings":{"als.factors":64,"als.alpha":1.0,"two_tower.ssl_pattern":"cfm"},"seed":3,'
        '"python":"bin/python","spec":["train.epochs=2"],"directory":"work","test":false}',
    ],
)
def test_a_request_is_the_same_on_the_other_side(request_line):
    assert REQUEST.validate_json(request_line).model_dump_json() == request_line


SWALLOWS = """
from types import SimpleNamespace
from model.comparison import worker
from stage import interrupts

class Swallowing:
    def __init__(self, *_):
        pass

    def answer(self, _):
        interrupts._interrupted.set()
        return {}

worker.Workbench, worker.Dataset = Swallowing, SimpleNamespace(open=str)
worker.run_process(worker.main)
"""


def test_a_worker_that_was_told_to_stop_while_it_ranked_waits_for_no_other_request():
    command = [sys.executable, "-c", SWALLOWS, "--dataset", "d", "--evaluate", "{}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write('{"shapes": true}\n')
        process.stdin.flush()
        assert process.wait(timeout=300) == 75
        assert process.stdout.read() == "{}\n"
    finally:
        process.kill()
        process.wait()
