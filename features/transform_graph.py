"""The graph that tensorflow-transform saved: the types of its inputs, and what it makes of numbers."""

from collections.abc import Mapping

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from features.spec.spec import Spec
from features.transform_inputs import transform_inputs

DTYPES = {pa.float32(): tf.float32, pa.large_binary(): tf.string}
"""Type of an input, as `features.transform_inputs` has it -> that of its tensor."""


def transform_numbers(
    numbers: Mapping[str, tuple[float, float]], spec: Spec, *, transform_directory: str
) -> dict[str, tuple[float, float]]:
    """What the graph makes of two numbers of each numeric feature.

    Args:
        numbers: query/NAME, item/NAME or pair/NAME -> the two.
        spec: The one that the graph was made under.
        transform_directory: Where it lies.
    """
    if not numbers:
        return {}
    inputs = {}
    for key, kind in transform_inputs(spec).items():
        values = tf.constant(numbers.get(key, ()), DTYPES[kind])
        rows = tf.range(tf.size(values, tf.int64))
        inputs[key] = tf.SparseTensor(tf.stack([rows, tf.zeros_like(rows)], 1), values, [2, 1])
    outputs = tft.TFTransformOutput(transform_directory).transform_raw_features(inputs)
    return {key: tuple(outputs[key].values.numpy().astype(float).tolist()) for key in numbers}
