"""Statistics of the item, query and pair tables: all follow from counts (`features.statistics.counts`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.spec.features import (
    CategoricalFeature,
    IdFeature,
    MultivaluedFeature,
    NumericFeature,
    Side,
    SideName,
    TextFeature,
    VectorFeature,
)
from features.spec.spec import Spec
from features.statistics.counts import MOST_COMMON, keep_most_common, merge_counts
from features.sums import total

TableName: TypeAlias = Literal["items", "queries", "pairs"]
TABLES: tuple[TableName, ...] = get_args(TableName)


@dataclass(frozen=True)
class Column:
    """What is described, and how it may be judged."""

    name: str
    """As the example's key."""
    table: TableName
    kind: Literal["text", "int", "float"]
    multivalued: bool = False
    has_domain: bool = False
    """Its values are a set that may be closed."""
    has_range: bool = False
    """Its least and greatest value are the feature's own, not the size of the log."""
    is_id: bool = False
    """Its values are ids, of which new ones are usual."""
    drifts: bool = True
    """False for a time, which always moves on, and for the split, which is the window's doing."""


@dataclass(frozen=True)
class FeatureStatistics:
    """What is known of one column."""

    column: Column
    valency: dict[int, int]
    """Values in a row -> rows, rising; 0: missing."""
    texts: dict[str, int]
    """The most common ones, by count, then by text, and those that are counted however rare they are."""
    distinct: int
    """Of texts."""
    bytes: int
    """Of texts, in UTF-8."""
    numbers: npt.NDArray[np.float64]
    """Rising."""
    number_counts: npt.NDArray[np.int64]
    minimum: float
    maximum: float

    @property
    def rows(self) -> int:
        """Of the table."""
        return sum(self.valency.values())

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.valency.get(0, 0)

    @property
    def values(self) -> int:
        """In all rows together."""
        return sum(size * rows for size, rows in self.valency.items())

    @property
    def top_texts(self) -> dict[str, int]:
        """At most MOST_COMMON of them."""
        return dict(list(self.texts.items())[:MOST_COMMON])


def described_columns(spec: Spec) -> list[Column]:
    """What is described of a dataset: item and query features, training counts and pairs.

    Entities' ids are left out, since each stands there once; pairs have them.
    """
    columns = [*_entity_columns("item", "items", side=spec.item), *_entity_columns("query", "queries", side=spec.query)]
    columns += [Column(name, "pairs", "text", is_id=True) for name in ("query_id", "item_id")]
    columns += [Column("pair/split", "pairs", "text", drifts=False), Column("pair/count", "pairs", "int")]
    if spec.sources.interactions.timestamp is not None:
        columns += [Column(f"pair/{name}", "pairs", "int", drifts=False) for name in ("first", "last")]
    if spec.session is not None:
        columns.append(Column("pair/history_length", "pairs", "int"))
    return columns + _feature_columns("pair", "pairs", side=spec.sides["pair"])


def _entity_columns(side_name: SideName, table: TableName, *, side: Side) -> list[Column]:
    return [Column(f"{side_name}/train_count", table, "int"), *_feature_columns(side_name, table, side=side)]


def _feature_columns(side_name: SideName, table: TableName, *, side: Side) -> list[Column]:
    columns = []
    for name, feature in side.features.items():
        key = f"{side_name}/{name}"
        if isinstance(feature, NumericFeature | VectorFeature):
            columns.append(Column(key, table, "float", has_range=True))
        elif not isinstance(feature, IdFeature):
            several = isinstance(feature, MultivaluedFeature | TextFeature)
            closed = isinstance(feature, CategoricalFeature | MultivaluedFeature)
            columns.append(Column(key, table, "text", multivalued=several, has_domain=closed))
    return columns


def describe(
    counts: pa.Table, columns: list[Column], *, known: Mapping[str, frozenset[str]]
) -> dict[str, FeatureStatistics]:
    """The statistics of a whole dataset.

    Args:
        counts: Of all parts, schema FEATURE_COUNTS; of texts at least the most common ones and the known ones.
        columns: As `described_columns` has them.
        known: As `keep_most_common` takes them.

    Returns:
        Name of the column -> its statistics, in the order of the columns.
    """
    merged = keep_most_common(merge_counts(counts), known)
    return {column.name: _describe(merged, column) for column in columns}


def _describe(counts: pa.Table, column: Column) -> FeatureStatistics:
    mine = counts.filter(pc.equal(counts.column("feature"), column.name))
    measured = {
        measure: mine.filter(pc.equal(mine.column("measure"), measure)).sort_by("number")
        for measure in ("valency", "number", "least", "greatest", "bytes", "distinct")
    }
    texts = mine.filter(pc.equal(mine.column("measure"), "text"))
    numbers = {measure: found.column("number").to_numpy() for measure, found in measured.items()}
    valency = measured["valency"]
    return FeatureStatistics(
        column,
        valency={int(n): c for n, c in zip(numbers["valency"], valency["count"].to_pylist(), strict=True)},
        texts=dict(zip(texts["text"].to_pylist(), texts["count"].to_pylist(), strict=True)),
        distinct=total(measured["distinct"]["count"]),
        bytes=total(measured["bytes"]["count"]),
        numbers=numbers["number"],
        number_counts=measured["number"]["count"].to_numpy(),
        minimum=float(numbers["least"][0]) if len(numbers["least"]) else 0.0,
        maximum=float(numbers["greatest"][-1]) if len(numbers["greatest"]) else 0.0,
    )
