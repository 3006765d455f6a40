"""A dataset's spec with other settings of a training."""

from features.dataset import Dataset
from features.spec.file import build_spec
from features.spec.spec import Spec


def training_spec(dataset: Dataset, *overrides: str) -> Spec:
    return build_spec(dataset.manifest.spec, overrides, verb="train", source="test")
