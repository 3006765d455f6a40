"""A comparison's worker in session mode, held to what evaluate says of the same dataset."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.dataset import Dataset
from model.comparison.requests import BaselineRequest, ShapesRequest, TrainRequest
from model.comparison.split_shape import PackedShape, unpack_shape
from model.comparison.worker import Workbench
from model.evaluate import evaluate
from model.network.finished_model import FinishedModel
from model.ranking.split_pairs import SplitPairs, read_split_pairs


def test_a_comparison_ranks_as_evaluate_does_and_knows_whose_the_pairs_are(
    listening_dataset: Any, listening_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset.open(str(listening_dataset.directory))
    settings = dataset.spec.evaluate
    expected = evaluate(FinishedModel.open(str(listening_model)), dataset=dataset, split="test", settings=settings)
    requests = [BaselineRequest(baseline="popularity"), BaselineRequest(baseline="co-occurrence")]
    requests += [TrainRequest(train=[], directory=str(tmp_path / "work"), test=True), ShapesRequest()]
    answers = list(map(Workbench(dataset, settings).answer, requests))
    *rankings, shapes = answers
    baselines = expected["baselines"]
    for answer, metrics in zip(rankings, (baselines["popularity"], baselines["co_occurrence"], expected), strict=True):
        for name in ("overall", "head", "tail", "cold"):
            assert answer["test"]["metrics"][name] == pytest.approx(metrics[name], abs=1e-6)

    shape = unpack_shape(PackedShape.model_validate(shapes["test"]), source="test")
    of_users = Counter(example["query_id"][0] for example in listening_dataset.examples("test"))
    assert np.bincount(shape.user_index()).tolist() == [of_users[user] for user in sorted(of_users)]
    assert max(of_users.values()) > 1

    # What is stored is the same however the examples lie in files, also those of one user and item.
    def read_backwards(*arguments: Any, **options: Any) -> SplitPairs:
        pairs = read_split_pairs(*arguments, **options)
        back = np.arange(len(pairs.query_ids))[::-1]
        return replace(
            pairs,
            query_ids=pairs.query_ids[::-1],
            queries={key: tf.gather(values, back) for key, values in pairs.queries.items()},
            query_index=back[pairs.query_index][::-1],
            item_index=pairs.item_index[::-1],
            excluded=pairs.excluded[back],
        )

    monkeypatch.setattr("model.comparison.worker.read_split_pairs", read_backwards)
    turned = Workbench(dataset, settings)
    found = [turned.answer(request) for request in (*requests[:2], requests[3])]
    for answer, before in zip(found, (*answers[:2], answers[3]), strict=True):
        assert answer | {"cpu_seconds": 0} == before | {"cpu_seconds": 0}
