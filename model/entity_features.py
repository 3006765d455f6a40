"""Entities through a model's own transform graph: so yesterday's model, with its vocabularies, reads today's dataset.

Shapes: `E` entities.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft

from features.dataset import Dataset, Entities
from features.entities import entity_schema, to_transform_batch, transform_inputs
from features.spec import SideName, Spec
from model.input import Features
from model.split_pairs import Ids
from stage.errors import StageError

ENTITIES_AT_ONCE = 1 << 14
DTYPES = {pa.float32(): tf.float32, pa.int64(): tf.int64, pa.large_binary(): tf.string}
SIDES: dict[Entities, SideName] = {"queries": "query", "items": "item"}


def encode_entities(
    dataset: Dataset, kind: Entities, *, ids: Ids, spec: Spec, transform: tft.TFTransformOutput
) -> Features:
    """Encodes raw entities of a dataset with a transform that need not be the dataset's.

    Args:
        dataset: Where the entities lie.
        kind: Queries or items.
        ids: [E] Which of them, in which order.
        spec: The spec that the transform was made under.
        transform: The transform.

    Returns:
        The encoded features of E entities, in the order of ids.

    Raises:
        StageError: If an entity isn't there, or one of its features isn't or is of another type.
    """
    side_name = SIDES[kind]
    expected = entity_schema(spec.sides[side_name])
    wanted = pa.array([i.decode() for i in ids], pa.string())
    found: list[str] = []
    parts: list[Features] = []
    for table in dataset.entities(kind):
        _check_columns(table.schema, expected, where=f"{dataset.directory}/entities")
        rows = table.filter(pc.is_in(table["id"], value_set=wanted))
        for start in range(0, rows.num_rows, ENTITIES_AT_ONCE):
            block = rows.slice(start, ENTITIES_AT_ONCE)
            found += block["id"].to_pylist()
            parts.append(_encode(to_transform_batch(block, side_name, spec), side_name, spec=spec, transform=transform))
    place = pc.index_in(wanted, value_set=pa.array(found, pa.string()))
    if place.null_count:
        first = wanted.filter(place.is_null())[0].as_py()
        raise StageError(
            f"{dataset.directory}/entities: expected all {kind} of the examples, found {place.null_count} missing, "
            f"first '{first}'; build the dataset again"
        )
    return {key: tf.gather(tf.concat([part[key] for part in parts], axis=0), place.to_numpy()) for key in parts[0]}


def _encode(batch: pa.RecordBatch, side_name: SideName, *, spec: Spec, transform: tft.TFTransformOutput) -> Features:
    """Runs the graph over entities of one side; the other side's columns of the batch are empty."""
    inputs = {key: _sparse(batch[key], DTYPES[kind]) for key, kind in transform_inputs(spec).items()}
    outputs = transform.transform_raw_features(inputs)
    return {
        key: tf.RaggedTensor.from_value_rowids(encoded.values, encoded.indices[:, 0], nrows=batch.num_rows)
        for key, encoded in outputs.items()
        if key.startswith(f"{side_name}/")
    }


def _check_columns(schema: pa.Schema, expected: pa.Schema, *, where: str) -> None:
    for field in expected:
        if not field.name.startswith("feature/"):
            continue
        if field.name not in schema.names:
            raise StageError(
                f"{where}: the model reads {field.name}, which these entities lack: evaluate it on a dataset whose "
                "spec declares this feature"
            )
        if schema.field(field.name).type != field.type:
            raise StageError(
                f"{where}: the model reads {field.name} as {field.type}, these entities hold it as "
                f"{schema.field(field.name).type}: evaluate it on a dataset whose spec declares the same kind"
            )


def _sparse(lists: pa.LargeListArray, dtype: tf.DType) -> tf.SparseTensor:
    """Lists of E entities as [E, longest]."""
    rows = pc.list_parent_indices(lists).to_numpy()
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    values = tf.constant(pc.list_flatten(lists).to_numpy(zero_copy_only=False), dtype, [len(rows)])
    return tf.SparseTensor(np.stack([rows, place], axis=1), values, [len(lists), int(place.max(initial=-1)) + 1])
