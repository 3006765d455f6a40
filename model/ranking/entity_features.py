"""Entities through a model's own transform graph: so yesterday's model, with its vocabularies, reads today's dataset.

Shapes: E entities.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from features.dataset import Dataset, Entities
from features.known_ids import KnownIds
from features.spec.features import SideName, columns_read
from features.spec.spec import Spec
from features.transform_graph import DTYPES, TransformGraph
from features.transform_inputs import to_transform_batch, transform_inputs
from model.network.feature_values import Features
from model.network.finished_model import FinishedModel
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
        StageError: If an entity isn't there; or as `check_entities`.
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
        StageError: As `check_entities`.
    """
    check_entities(dataset, SIDES[kind], spec=spec)
    wanted = None if ids is None else KnownIds(ids)
    for table in dataset.entities(kind):
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


def check_entities(dataset: Dataset, side_name: SideName, *, spec: Spec) -> None:
    """Checks that a dataset's queries, or items, have the features that a model reads.

    Args:
        dataset: Where they lie.
        side_name: Their side.
        spec: The model's.

    Raises:
        StageError: If they lack one, or have it of another type, or as vectors of another size.
    """
    theirs, expected = (columns_read(f"{side_name}.features", one.sides[side_name]) for one in (dataset.spec, spec))
    for key, (_, kind) in expected.items():
        _, found = theirs.get(key, (None, None))
        if found != kind:
            has = "lacks it" if found is None else f"has {found}"
            raise StageError(
                f"{dataset.directory}: the model reads {key} as {kind}, this dataset {has}: use a dataset whose spec "
                "declares the same, or a model of this dataset's spec"
            )


def _ragged(lists: pa.LargeListArray, dtype: tf.DType) -> tf.RaggedTensor:
    values = pc.list_flatten(lists)
    flat = tf.constant(values.to_numpy(zero_copy_only=False), dtype, [len(values)])
    return tf.RaggedTensor.from_row_lengths(flat, pc.list_value_length(lists).to_numpy(), validate=False)
