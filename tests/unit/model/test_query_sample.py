"""Which queries an index is measured with."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from features.dataset import Dataset
from features.split import SplitName
from model.api import read_examples
from model.network.finished_model import FinishedModel
from model.network.two_tower import TwoTower
from model.serving.query_sample import sample_queries
from stage.errors import StageError


def sample(dataset: Dataset, two_tower: TwoTower) -> np.ndarray:
    model = FinishedModel("a model", dataset.manifest)
    return sample_queries(two_tower, model, dataset=dataset, settings=dataset.spec.evaluate, most=7)


def test_they_are_the_first_ones_of_test_else_validation_else_training(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(files=1)
    two_tower = TwoTower(dataset.spec, dataset.manifest.vocabularies)
    splits: tuple[SplitName, ...] = ("test", "validation", "train")
    for split in splits:
        first = next(iter(read_examples(dataset, split, batch_size=7)))
        asked = {key: first[key] for key in ("query/page", "query/topic")}
        np.testing.assert_allclose(sample(dataset, two_tower), two_tower.encode_queries(asked), atol=1e-6)
        for path in dataset.example_files(split):
            tf.io.TFRecordWriter(path, "GZIP").close()
    with pytest.raises(StageError, match="dataset: expected examples to measure the index with, found none"):
        sample(dataset, two_tower)
