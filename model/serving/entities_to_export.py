"""The raw entities that an export carries, shard by shard: queries; of an export of candidates all items too."""

import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import Dataset, entity_files
from features.entities import COUNT_COLUMNS, entity_schema, without_counts
from features.raw_features import feature_columns
from features.spec.spec import Spec
from model.ranking.candidates import DATASET_ITEMS
from stage import storage
from stage.parquet import read_parquet, write_parquet


def write_queries(dataset: Dataset, output: str) -> None:
    """Writes ids, titles, counts and raw features of the queries.

    Where queries are items every item is among them, new ones too, unless queries have a feature that items don't.

    Raises:
        StageError: If a file can't be read or written.
    """
    queries = {file.name for file in entity_files(dataset.manifest, "queries")}
    columns = _as_items_have_them(dataset.spec)
    # The tables are sharded alike, so those of a shard of items are in the shard of queries with its number.
    as_queries = entity_files(dataset.manifest, "items") if columns else []
    items = {file.name.replace("/items-", "/queries-"): file.name for file in as_queries}
    for name in queries - items.keys():
        storage.copy(storage.join(dataset.directory, name), storage.join(output, name))
    for name, of_items in items.items():
        found = without_counts(read_parquet(storage.join(dataset.directory, of_items))).select(columns)
        found = found.rename_columns(entity_schema(dataset.spec.query).names)
        if name in queries:
            asked = read_parquet(storage.join(dataset.directory, name))
            others = found.filter(pc.invert(pc.is_in(found["id"], asked["id"])))
            found = pa.concat_tables([asked, others.select(asked.column_names)])
        write_parquet(storage.join(output, name), found)


def write_dataset_items(dataset: Dataset, output: str) -> None:
    """Copies the dataset's table of items, for an export of some alone: histories and searches name the others too.

    Raises:
        StageError: If a file can't be read or written.
    """
    for file in entity_files(dataset.manifest, "items"):
        target = file.name.replace("entities", DATASET_ITEMS, 1)
        storage.copy(storage.join(dataset.directory, file.name), storage.join(output, target))


def _as_items_have_them(spec: Spec) -> list[str] | None:
    """The columns of the item table that a query's are, in order; None if queries are no items, or have others too."""
    if spec.sources.queries != "items":
        return None
    of_content = {content: f"feature/{name}" for name, content in feature_columns(spec.item).items()}
    found = [of_content.get(content) for content in feature_columns(spec.query).values()]
    known = [name for name in found if name is not None]
    return ["id", "title", *COUNT_COLUMNS, *known] if len(known) == len(found) else None
