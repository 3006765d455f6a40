"""The context of examples as a model reads it whose own transform did not encode them.

A dataset keeps the raw features of queries and items, but of pairs what its examples hold: so a term that its own
vocabularies lack stays unknown.

Shapes: B examples.
"""

from collections.abc import Mapping

import tensorflow as tf

from features.dataset import Dataset
from features.spec.features import Feature, NumericFeature, VocabularyFeature, vocabulary_of
from features.statistics.protos import by_feature
from features.statistics.schema import STATISTICS
from features.transform_graph import transform_numbers
from features.vocabularies import read_terms
from model.network.feature_values import Features
from model.network.finished_model import FinishedModel
from model.ranking.session_history import translate
from stage import storage
from stage.errors import StageError


def check_context(dataset: Dataset, model: FinishedModel) -> None:
    """Checks that a dataset has the context that a model reads.

    Raises:
        StageError: If it lacks a feature of the model's, or has it of another kind.
    """
    for key, feature in _context_of(model).items():
        theirs = dataset.spec.features.get(key)
        if theirs is None or _meaning(theirs) != _meaning(feature):
            has = "lacks it" if theirs is None else f"has {_meaning(theirs)}"
            raise StageError(
                f"{dataset.directory}: the model reads {key} as {_meaning(feature)}, this dataset {has}: use a "
                "dataset whose spec declares the same"
            )


def translate_context(features: Features, *, dataset: Dataset, model: FinishedModel) -> Features:
    """The context of examples as a model's own transform would encode it.

    Args:
        features: As the dataset encoded them, ragged [B, (values)] each.
        dataset: Theirs.
        model: The model.

    Returns:
        Each pair/NAME of the model's spec.

    Raises:
        StageError: As `check_context`.
    """
    check_context(dataset, model)
    wanted = _context_of(model)
    found = _translate_numbers(features, wanted, dataset=dataset, model=model)
    for key, feature in wanted.items():
        if isinstance(feature, VocabularyFeature):
            source = read_terms(dataset.transform_directory, vocabulary_of(key, dataset.spec.features[key]) or "")
            target = read_terms(model.transform_directory, vocabulary_of(key, feature))
            codes = translate(features[key], source=source, target=target)
            found[key] = codes[:, : getattr(feature, "max_values", 1)]
    return found


def _context_of(model: FinishedModel) -> dict[str, Feature]:
    return {key: feature for key, feature in model.spec.features.items() if key.startswith("pair/")}


def _meaning(feature: Feature) -> dict[str, object]:
    """What two encodings of a feature must agree in, beside its vocabulary and constants."""
    rules = {rule: getattr(feature, rule, None) for rule in ("kind", "ngrams", "log1p")}
    return {rule: value for rule, value in rules.items() if value}


def _translate_numbers(
    features: Features, wanted: Mapping[str, Feature], *, dataset: Dataset, model: FinishedModel
) -> Features:
    """Numbers by a straight line through what both transforms make of the least and the greatest of the dataset."""
    keys = [key for key, feature in wanted.items() if isinstance(feature, NumericFeature)]
    if not keys:
        return {}
    statistics = by_feature(storage.read_bytes(storage.join(dataset.directory, STATISTICS)))
    ends = {key: (statistics[key].num_stats.min, statistics[key].num_stats.max) for key in keys}
    before, after = (
        transform_numbers(ends, of.spec, transform_directory=of.transform_directory) for of in (dataset, model)
    )
    found = {}
    for key in keys:
        (low, high), (new_low, new_high) = before[key], after[key]
        numbers = features[key]
        if ends[key][0] == ends[key][1]:
            found[key] = numbers.with_values(tf.fill(tf.shape(numbers.values), tf.cast(new_low, tf.float32)))
        elif low == high:
            # One number in all of the dataset's training, to which others were made equal.
            found[key] = numbers[:, :0]
        else:
            share = (tf.cast(numbers.values, tf.float64) - low) / (high - low)
            found[key] = numbers.with_values(tf.cast(new_low + share * (new_high - new_low), tf.float32))
    return found
