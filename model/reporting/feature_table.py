"""What the features of a dataset's entities hold: how many values, in how many entities, how much each tells."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import Dataset, EncodedFeature
from features.sums import total
from features.tokens import words


@dataclass(frozen=True)
class FeatureRow:
    """One feature of one side."""

    side: str
    name: str
    kind: str
    cardinality: int | None
    """Distinct values in the entities; of a text, distinct words. None for a vector: nearly every one is distinct."""
    codes: int
    """Codes that the model has for them, 0 for a number or a vector."""
    coverage: float
    """The share of the entities that have a value."""
    entropy: float | None
    """In nats; None where no mutual information was counted."""


def read_feature_table(dataset: Dataset, entropies: Mapping[str, float]) -> list[FeatureRow]:
    """Looks through the entities, a file at a time.

    Args:
        dataset: Whose.
        entropies: Item feature -> nats, as mutual_information.json has them.

    Raises:
        StageError: If a file of entities/ can't be read.
    """
    items = _rows("item", dataset.features("item"), tables=dataset.entities("items"), entropies=entropies)
    return items + _rows("query", dataset.features("query"), tables=dataset.entities("queries"), entropies={})


def _rows(
    side: str, features: list[EncodedFeature], *, tables: Iterable[pa.Table], entropies: Mapping[str, float]
) -> list[FeatureRow]:
    distinct: dict[str, list[pa.Array]] = {feature.name: [] for feature in features}
    present = dict.fromkeys(distinct, 0)
    entities = 0
    for table in tables:
        entities += table.num_rows
        for feature in features:
            found, rows = _values(table, feature)
            parts = distinct[feature.name]
            # What is known so far as one array, so that memory grows with distinct values alone.
            distinct[feature.name] = [pa.chunked_array([*parts, found.unique()]).unique()]
            present[feature.name] += rows
    return [
        FeatureRow(
            side,
            feature.name,
            feature.kind,
            cardinality=None if feature.kind == "vector" else sum(map(len, distinct[feature.name])),
            codes=feature.codes,
            coverage=present[feature.name] / max(entities, 1),
            entropy=entropies.get(feature.name),
        )
        for feature in features
    ]


def _values(table: pa.Table, feature: EncodedFeature) -> tuple[pa.Array, int]:
    """All values in a table, of vectors none, and how many rows have one."""
    key = "id" if feature.kind == "id" else f"feature/{feature.name}"
    column = table[key].combine_chunks()
    if feature.kind == "text":
        column = words(column)
    if not pa.types.is_list(column.type):
        return column.drop_null(), len(column) - column.null_count
    present = total(pc.greater(pc.list_value_length(column), 0))
    return pc.list_flatten(column[:0] if feature.kind == "vector" else column).drop_null(), present
