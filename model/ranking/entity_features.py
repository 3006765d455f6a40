"""Entities through a model's own transform graph: so yesterday's model, with its vocabularies, reads today's dataset.

Shapes: E entities.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from features.dataset import Dataset, Entities
from features.entities import entity_schema
from features.known_ids import KnownIds
from features.spec.features import SideName, VectorFeature
from features.spec.spec import Spec
from features.transform_graph import DTYPES, TransformGraph
from features.transform_inputs import to_transform_batch, transform_inputs
from model.network.finished_model import FinishedModel
from model.network.input import Features
from model.ranking.split_pairs import Ids
from stage.errors import StageError

ENTITIES_AT_ONCE = 1 << 14
SIDES: dict[Entities, SideName] = {"queries": "query", "items": "item"}


def encode_entities(dataset: Dataset, kind: Entities, *, ids: Ids, model: FinishedModel) -> Features:
    """Encodes raw entities of a dataset with a model's transform, which need not be the dataset's.

    Args:
        dataset: Where the entities lie.
        kind: Queries or items.
        ids: [E] Which of them, in which order.
        model: The model.

    Returns:
        The encoded features of E entities, in the order of ids.

    Raises:
        StageError: If an entity isn't there, or one of its features isn't or is of another type.
    """
    spec, transform = model.spec, TransformGraph(model.transform_directory, model.spec)
    wanted = pa.array([i.decode() for i in ids], pa.string())
    found: list[str] = []
    parts: list[Features] = []
    for block in entity_blocks(dataset, kind, spec=spec, ids=wanted):
        found += block["id"].to_pylist()
        parts.append(transform.encode(transform_tensors(block, SIDES[kind], spec=spec)))
    index = pc.index_in(wanted, value_set=pa.array(found, pa.string()))
    if index.null_count:
        first = wanted.filter(index.is_null())[0].as_py()
        raise StageError(
            f"{dataset.directory}/entities: expected all {kind} of the examples, found {index.null_count} missing, "
            f"first '{first}'; build the dataset again"
        )
    return {key: tf.gather(tf.concat([part[key] for part in parts], axis=0), index.to_numpy()) for key in parts[0]}


def entity_blocks(dataset: Dataset, kind: Entities, *, spec: Spec, ids: pa.Array | None) -> Iterator[pa.Table]:
    """The raw entities of a dataset, so many at a time that a transform handles them well.

    Args:
        dataset: Where they lie.
        kind: Queries or items.
        spec: Of the transform that is to read them.
        ids: Which of them; None: all.

    Raises:
        StageError: If one of the spec's features isn't there or is of another type.
    """
    expected = entity_schema(spec.sides[SIDES[kind]])
    wanted = None if ids is None else KnownIds(ids)
    for table in dataset.entities(kind):
        check_columns(table.schema, expected, where=f"{dataset.directory}/entities")
        check_vector_sizes(dataset, SIDES[kind], spec=spec)
        rows = table if wanted is None else table.filter(pa.array(wanted.index(table["id"]) >= 0))
        for start in range(0, rows.num_rows, ENTITIES_AT_ONCE):
            yield rows.slice(start, ENTITIES_AT_ONCE)


def transform_tensors(entities: pa.Table, side_name: SideName, *, spec: Spec) -> Features:
    """What the graph of a transform takes of E entities: SIDE/NAME -> string or float32 [E, (values)].

    Args:
        entities: As `entity_blocks` gives them.
        side_name: Their side.
        spec: Of the transform.
    """
    batch = to_transform_batch(entities, side_name, spec=spec)
    kinds = transform_inputs(spec).items()
    return {key: _ragged(batch[key], DTYPES[kind]) for key, kind in kinds if key.startswith(f"{side_name}/")}


def check_columns(schema: pa.Schema, expected: pa.Schema, *, where: str) -> None:
    """Checks that entities have the features that a model reads.

    Raises:
        StageError: If one isn't there or is of another type.
    """
    for field in expected:
        if not field.name.startswith("feature/"):
            continue
        if field.name not in schema.names:
            raise StageError(
                f"{where}: the model reads {field.name}, which these entities lack: use a dataset whose "
                "spec declares this feature, or a model of this dataset's spec"
            )
        if schema.field(field.name).type != field.type:
            raise StageError(
                f"{where}: the model reads {field.name} as {field.type}, these entities hold it as "
                f"{schema.field(field.name).type}: use a dataset whose spec declares the same kind"
            )


def check_vector_sizes(dataset: Dataset, side_name: SideName, *, spec: Spec) -> None:
    """Checks that a dataset's vectors are as long as those that a model reads.

    Raises:
        StageError: If one isn't.
    """
    for name, feature in spec.sides[side_name].features.items():
        if not isinstance(feature, VectorFeature):
            continue
        theirs = dataset.spec.sides[side_name].features[name]
        if isinstance(theirs, VectorFeature) and theirs.size != feature.size:
            raise StageError(
                f"{dataset.directory}/entities: the model reads {side_name}/{name} as vectors of {feature.size}, these "
                f"entities hold vectors of {theirs.size}: use a dataset whose spec declares the same size"
            )


def _ragged(lists: pa.LargeListArray, dtype: tf.DType) -> tf.RaggedTensor:
    values = pc.list_flatten(lists)
    flat = tf.constant(values.to_numpy(zero_copy_only=False), dtype, [len(values)])
    return tf.RaggedTensor.from_row_lengths(flat, pc.list_value_length(lists).to_numpy(), validate=False)
