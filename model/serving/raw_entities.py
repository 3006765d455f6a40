"""Queries and items as a program writes them, checked and padded: what the signatures of an export take.

An entity is a mapping from a feature's name to its value: a text, a number, a list of texts for a multivalued feature,
one of numbers for a vector, or None. What is left out is missing. A query of session mode has its context's features
beside its own, and `history`. As in a raw table, an integer may stand for a text, and a truth value too, but for an
id's; a list of texts may be of integers. Scalars and arrays may be NumPy's.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from features.parsing.list_texts import as_texts
from features.parsing.truth_values import truth_as_text
from features.spec.features import Feature, IdFeature, NumericFeature, SideName, VectorFeature
from features.spec.spec import Spec
from model.serving.raw_inputs import feature_name, input_name, is_list, raw_keys
from model.serving.raw_vectors import LARGEST, Vector, as_vector, found_instead
from stage.errors import UsageError, did_you_mean

Entity: TypeAlias = Mapping[str, Any]


def to_tensors(entities: Sequence[Entity], side_name: SideName, *, spec: Spec) -> dict[str, tf.Tensor]:
    """Entities of one side as plain tensors, by input name (`model.serving.raw_inputs.tensor_specs`).

    Raises:
        UsageError: If one has a feature that the spec doesn't, or a value of another kind.
    """
    keys = raw_keys(spec, side_name)
    taken = [
        _taken(entity, keys=keys, where=one_of(side_name, place, of=len(entities)))
        for place, entity in enumerate(entities)
    ]
    return {
        input_name(key): _column([entity.get(feature_name(key)) for entity in taken], feature)
        for key, feature in keys.items()
    }


def one_of(side_name: SideName, place: int, *, of: int) -> str:
    """What an error calls the entity at a place, from 0, of so many that are asked with."""
    return side_name if of == 1 else f"{side_name} {place + 1} of {of}"


def own_id(asked: str | Entity, side_name: SideName, *, spec: Spec) -> str | None:
    """The id that is asked with, or that features tell, if one of them is the id."""
    if isinstance(asked, str):
        return asked
    features = spec.sides[side_name].features.items()
    ids = (as_text(asked.get(name)) for name, feature in features if isinstance(feature, IdFeature))
    return next((one for one in ids if one), None)


def as_text(value: object) -> str | None:
    """A text as it is, an integer as its digits; None for anything else, as a truth value."""
    own = _as_python(value)
    if type(own) is int:  # to isinstance a truth value is an integer
        return str(own)
    return own if isinstance(own, str) else None


def as_list_of_texts(values: object) -> list[str] | None:
    """A list of texts, or of integers throughout, as texts, without None among them; None for anything else."""
    values = _as_python(values)
    if not isinstance(values, Sequence) or isinstance(values, str | bytes | bytearray):
        return None
    given = [_as_python(value) for value in values if value is not None]
    if all(isinstance(value, str) for value in given):
        return given
    texts = as_texts(given)
    return None if texts is None else [text for text in texts if text is not None]


def padded(lists: Sequence[Sequence[str]]) -> tf.Tensor:
    """Texts, a row a list, filled up with ""; of width 1 if all are empty, as TensorFlow Serving's clients do it."""
    width = max([1, *map(len, lists)])
    return tf.constant([[*texts, *[""] * (width - len(texts))] for texts in lists], tf.string, [len(lists), width])


def is_text(value: object) -> bool:
    """Whether a value is a text of whole characters: not a shell's stray byte, nor half of a pair in JSON."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _as_python(value: Any) -> Any:
    """A scalar or an array of NumPy's as Python's, an array as a list; anything else as it is."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _taken(entity: Entity, *, keys: Mapping[str, Feature | None], where: str) -> Entity:
    """The entity as the graph takes it: texts for what may stand for them."""
    known = {feature_name(key): feature for key, feature in keys.items()}
    taken: dict[str, Any] = {}
    for name, value in entity.items():
        if name not in known:
            raise UsageError(f"{where}: no feature '{name}'{did_you_mean(str(name), known)}")
        if value is None:
            continue
        own, feature = _as_python(value), known[name]
        found, wanted = _converted(own, feature)
        texts = found if isinstance(found, list) else [found]
        if found is None or not all(is_text(text) for text in texts if isinstance(text, str)):
            got = found_instead(own, feature.size) if isinstance(feature, VectorFeature) else repr(value)
            raise UsageError(f"{where}: {name}: expected {wanted}, got {got}")
        taken[name] = found
    return taken


def _converted(value: Any, feature: Feature | None) -> tuple[float | str | list[str] | Vector | None, str]:
    """The value as the feature takes it, None if it doesn't, and what it takes in words."""
    if isinstance(feature, VectorFeature):
        return as_vector(value, feature.size), f"a list of {feature.size} numbers"
    if isinstance(feature, NumericFeature):
        if isinstance(value, Decimal) and not value.is_snan():  # as Parquet has it, which a build takes too
            value = float(value)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None, "a number"
    if is_list(feature):
        return as_list_of_texts(value), "a list of texts, or of integers"
    if isinstance(feature, IdFeature):
        return as_text(value), "a text or an integer"
    return truth_as_text(value) if isinstance(value, bool) else as_text(value), "a text, an integer, true or false"


def _column(values: list[Any], feature: Feature | None) -> tf.Tensor:
    if isinstance(feature, NumericFeature):
        return tf.constant([np.nan if v is None or abs(v) > LARGEST else v for v in values], tf.float32)
    if isinstance(feature, VectorFeature):
        none = np.full(feature.size, np.nan, np.float32)
        rows = [none if v is None or not len(v) else v for v in values]
        return tf.constant(rows, tf.float32, [len(rows), feature.size])
    if is_list(feature):
        return padded([v or [] for v in values])
    return tf.constant([v or "" for v in values], tf.string)
