"""A dataset's spec with other settings of a training, and what trains under them."""

from collections.abc import Mapping
from functools import partial

import tensorflow as tf

from features.dataset import Dataset
from features.spec.file import build_spec
from features.spec.spec import Spec
from features.spec.training import Train
from model.network.corpus import read_corpus
from model.network.two_tower import TwoTower
from model.training.batch_streams import training_batches
from model.training.prepared_batches import prepared_batches
from model.training.training_examples import training_examples
from model.training.training_step import TrainingStep

Groups = Mapping[str, list[str]]


def training_spec(dataset: Dataset, *overrides: str) -> Spec:
    return build_spec(dataset.manifest.spec, overrides, verb="train", source="test")


def batches_of(
    dataset: Dataset, train: Train, *, keep: bool = True, start_step: int = 0, replica: int = 0, replicas: int = 1
) -> tf.data.Dataset:
    examples = training_examples(dataset, train, keep=keep, replica=replica, replicas=replicas)
    return training_batches(examples, train, start_step=start_step)


class Rig:
    """A training before its first step."""

    def __init__(self, dataset: Dataset, *overrides: str) -> None:
        self.dataset, self.spec, self.corpus = dataset, training_spec(dataset, *overrides), read_corpus(dataset)
        vocabularies, directory = dataset.manifest.vocabularies, dataset.transform_directory
        self.two_tower = TwoTower(self.spec, vocabularies, transform_directory=directory)
        self.training = TrainingStep(self.two_tower, self.corpus, spec=self.spec)

    def batches(self, groups: Groups | None = None, *, keep: bool = True) -> tf.data.Dataset:
        examples = training_examples(self.dataset, self.spec.train, keep=keep)
        return prepared_batches([examples], self.corpus, two_tower=self.two_tower, spec=self.spec, groups=groups)

    def steps(self, groups: Groups | None = None) -> partial[tf.Tensor]:
        """A function that takes so many next steps."""
        return self.training.over(self.batches(groups))
