"""Raw features: the columns that hold them in a log or a table, and their values as they are kept until encoding."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.flags import flags_of
from features.ids import CONTROLS
from features.parsing.parsed_lines import in_reason
from features.parsing.truth_values import with_truth_values
from features.ranges import offsets
from features.spec.features import Feature, IdFeature, MultivaluedFeature, NumericFeature, Side, VectorFeature


def raw_type(feature: Feature) -> pa.DataType:
    """The type in which a raw feature is read and kept."""
    if isinstance(feature, NumericFeature):
        return pa.float64()
    if isinstance(feature, VectorFeature):
        return pa.list_(pa.float32())
    return pa.list_(pa.string()) if isinstance(feature, MultivaluedFeature) else pa.string()


def feature_columns(side: Side) -> dict[str, tuple[str, pa.DataType]]:
    """Feature -> its column in the raw table, and its type; ids are left out, their column is the table's."""
    return {
        name: (feature.column or name, raw_type(feature))
        for name, feature in side.features.items()
        if not isinstance(feature, IdFeature)
    }


def with_feature_columns(schema: pa.Schema, *sides: Side) -> pa.Schema:
    """The columns of a raw table that aren't features', and those that are; a column of both stays as it is."""
    columns = {field.name: field for field in schema}
    for side in sides:
        # Several features may read one column, which is read once.
        for name, kind in feature_columns(side).values():
            columns.setdefault(name, with_truth_values(pa.field(name, kind)))
    return pa.schema(columns.values())


def with_features(schema: pa.Schema, side: Side) -> pa.Schema:
    """A schema with a column more for each raw feature of a side, feature/NAME."""
    fields = [pa.field(f"feature/{name}", kind) for name, (_, kind) in feature_columns(side).items()]
    return pa.schema([*schema, *fields])


def raw_features(rows: pa.RecordBatch, side: Side) -> dict[str, pa.Array]:
    """The raw features of some rows.

    Numbers that are none (NaN, infinite, beyond float32), empty texts and empty vectors count as missing; nulls among
    the values of a multivalued feature are left out.

    Args:
        rows: With the columns of `feature_columns`, and no vector that `bad_vectors` finds.
        side: Whose features are taken.

    Returns:
        feature/NAME -> values, of the type that `with_features` gives it.
    """
    return {
        f"feature/{name}": _clean(rows.column(column), kind) for name, (column, kind) in feature_columns(side).items()
    }


def vector_sizes(side: Side) -> dict[str, int]:
    """Column of each vector -> how many numbers it has."""
    return {f.column or name: f.size for name, f in side.features.items() if isinstance(f, VectorFeature)}


def bad_vectors(rows: pa.RecordBatch, side: Side) -> dict[str, npt.NDArray[np.bool_]]:
    """Where a vector has another number of numbers than its feature says, or one that is none.

    Args:
        rows: With the columns of `feature_columns`.
        side: Whose features are read.

    Returns:
        Column of each vector -> bool [n]; a missing or an empty one is none of these.
    """
    found = {}
    for column, size in vector_sizes(side).items():
        vectors = rows.column(column)
        sizes = pc.fill_null(pc.list_value_length(vectors), 0).to_numpy()
        numbers = flags_of(pc.fill_null(pc.is_finite(pc.list_flatten(vectors)), False))
        found[column] = (sizes > 0) & (sizes != size)
        if len(numbers):
            found[column][sizes > 0] |= ~np.logical_and.reduceat(numbers, offsets(sizes)[:-1][sizes > 0])
    return found


def bad_vector(column: str) -> str:
    """The reason to reject a row for what isn't a vector of its feature's size."""
    return f"bad_vector ({in_reason(column)})"


def _clean(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_floating(kind):
        values = values.cast(kind, safe=False)  # integers beyond 2 ** 53 to the nearest
        values = pc.add(values, 0.0)  # -0 as 0: of JSON it depends on a line's neighbours which of them is read
        # As float32, which is what the graph takes.
        return pc.if_else(pc.is_finite(values.cast(pa.float32())), values, pa.scalar(None, kind))
    if pa.types.is_string(kind):
        one_line = pc.replace_substring_regex(values, f"{CONTROLS}+", " ")
        return pc.if_else(pc.equal(one_line, ""), pa.scalar(None, kind), one_line)
    if pa.types.is_floating(kind.value_type):
        flat = pc.add(pc.list_flatten(values), pa.scalar(0.0, kind.value_type))
        sizes = pc.fill_null(pc.list_value_length(values), 0).to_numpy()
        lists = pa.ListArray.from_arrays(pa.array(offsets(sizes).astype(np.int32)), flat)
        return pc.if_else(pa.array(sizes > 0), lists, pa.scalar(None, kind))
    parents, flat = pc.list_parent_indices(values), pc.list_flatten(values)
    flat = pc.replace_substring_regex(flat, f"{CONTROLS}+", " ")
    kept = pc.greater(pc.binary_length(flat), 0)
    counts = np.bincount(parents.filter(kept).to_numpy(), minlength=len(values))
    return pa.ListArray.from_arrays(pa.array(offsets(counts).astype(np.int32)), flat.filter(kept))
