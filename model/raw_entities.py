"""Queries and items as a program writes them, checked and padded: what the signatures of an export take.

An entity is a mapping from a feature's name to its value: a text, a number, a list of texts for a multivalued feature,
or None. What is left out is missing. A query of session mode has its context's features beside its own, and `history`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from features.spec import Spec
from features.spec_features import Feature, IdFeature, MultivaluedFeature, NumericFeature, SideName
from model.raw_inputs import input_name, raw_keys
from stage.errors import UsageError, did_you_mean

Entity: TypeAlias = Mapping[str, Any]

_LARGEST = float(np.finfo(np.float32).max)


def to_tensors(entities: Sequence[Entity], side_name: SideName, *, spec: Spec) -> dict[str, tf.Tensor]:
    """Entities of one side as plain tensors, by input name (`model.raw_inputs.tensor_specs`).

    Raises:
        UsageError: If one has a feature that the spec doesn't, or a value of another kind.
    """
    keys = raw_keys(spec, side_name)
    for entity in entities:
        _check(entity, side_name, keys=keys)
    return {
        input_name(key): _column([entity.get(_name(key)) for entity in entities], feature)
        for key, feature in keys.items()
    }


def own_id(entity: Entity, side_name: SideName, *, spec: Spec) -> str | None:
    """The id that an entity's features tell, if one of them is its id."""
    side = spec.sides[side_name]
    ids = (entity.get(name) for name, feature in side.features.items() if isinstance(feature, IdFeature))
    return next((one for one in ids if one), None)


def padded(lists: Sequence[Sequence[str]]) -> tf.Tensor:
    """Texts [B, M], filled up with ""; of width 1 if all are empty, as TensorFlow Serving's clients do it."""
    width = max([1, *map(len, lists)])
    return tf.constant([[*texts, *[""] * (width - len(texts))] for texts in lists], tf.string, [len(lists), width])


def is_text(value: object) -> bool:
    """Whether a value is a text of whole characters: not a shell's stray byte, nor half of a pair in JSON."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _check(entity: Entity, side_name: SideName, *, keys: Mapping[str, Feature | None]) -> None:
    known = {_name(key): feature for key, feature in keys.items()}
    for name, value in entity.items():
        if name not in known:
            raise UsageError(f"{side_name}: no feature '{name}'{did_you_mean(name, known)}")
        feature = known[name]
        if value is None:
            continue
        if isinstance(feature, NumericFeature):
            fits, wanted = isinstance(value, int | float) and not isinstance(value, bool), "a number"
        elif feature is None or isinstance(feature, MultivaluedFeature):
            fits = isinstance(value, Sequence) and not isinstance(value, str) and all(map(is_text, value))
            wanted = "a list of texts"
        else:
            fits, wanted = is_text(value), "a text"
        if not fits:
            raise UsageError(f"{side_name}: {name}: expected {wanted}, got {value!r}")


def _column(values: list[Any], feature: Feature | None) -> tf.Tensor:
    if isinstance(feature, NumericFeature):
        return tf.constant([np.nan if v is None or abs(v) > _LARGEST else v for v in values], tf.float32)
    if feature is None or isinstance(feature, MultivaluedFeature):
        return padded([list(v or []) for v in values])
    return tf.constant([v or "" for v in values], tf.string)
