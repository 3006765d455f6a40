"""Files of examples, read without any of the code that wrote them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf


def read_examples(files: Iterable[Path | str]) -> list[dict[str, Any]]:
    """Every record: key -> its list."""
    return [_decode(record.numpy()) for record in tf.data.TFRecordDataset(list(map(str, files)), "GZIP")]


def _decode(record: bytes) -> dict[str, Any]:
    features = tf.train.Example.FromString(record).features.feature
    return {key: list(getattr(value, value.WhichOneof("kind")).value) for key, value in features.items()}
