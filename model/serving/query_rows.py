"""The queries that `recommend-all` asks with: those that an export carries, or those of Parquet files."""

from collections.abc import Iterator, Mapping
from itertools import compress
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from features.spec.features import IdFeature
from model.ranking.id_column import read_ids
from model.serving.asked_histories import have_histories
from model.serving.raw_entities import Entity, as_text, to_tensors
from model.serving.raw_inputs import feature_name, raw_keys
from model.serving.retriever import Retriever
from stage.errors import StageError, UsageError, did_you_mean
from stage.parquet import read_parquet, read_schema

ROWS_AT_ONCE = 1024
QUERY_ID = "query_id"


class QueryRows(NamedTuple):
    """Some queries."""

    ids: list[str]
    tensors: Mapping[str, tf.Tensor]
    """Their raw features, as `to_tensors` makes them."""
    without_history: int = 0
    """How many more there were, of session mode, that can't be asked with."""


def stored_queries(retriever: Retriever, rows: pa.Table) -> Iterator[QueryRows]:
    """Rows of an export's files of queries, some at a time."""
    for batch in rows.to_batches(ROWS_AT_ONCE):
        found = batch.to_pylist()
        features = [retriever.features_of(row) for row in found]
        yield QueryRows([row["id"] for row in found], to_tensors(features, "query", spec=retriever.spec))


def read_queries(retriever: Retriever, path: str) -> Iterator[QueryRows]:
    """The queries of a file, some at a time.

    Its columns are `query_id` and features by name, in session mode `history` and context too. A query that is asked
    for without a history where training had none is counted instead: it would get the same items as any other such.

    Args:
        retriever: The export to ask.
        path: Parquet, local or on gs://, which `check_file` took.

    Raises:
        StageError: If the file can't be read; or a row has no id or a value of another kind than its feature.
    """
    table = read_parquet(path, bytes_are_texts=True)
    ids = [name for name, feature in retriever.spec.query.features.items() if isinstance(feature, IdFeature)]
    first = 1
    for batch in table.to_batches(ROWS_AT_ONCE):
        asked = [_as_asked(row, ids, where=f"{path}: row {first + n}") for n, row in enumerate(batch.to_pylist())]
        tensors = _converted([features for _, features in asked], retriever, path=path, first=first)
        first += batch.num_rows
        has = have_histories([features for _, features in asked], spec=retriever.spec, are_read=retriever.are_read)
        if not all(has):
            tensors = {name: tf.boolean_mask(tensor, has) for name, tensor in tensors.items()}
        yield QueryRows([own for own, _ in compress(asked, has)], tensors, has.count(False))


def check_file(retriever: Retriever, path: str) -> None:
    """Checks what can be known of a file of queries before any is asked with.

    Raises:
        StageError: If it can't be read, lacks `query_id` or has it in another type, has an id twice, or a column that
            is no feature.
    """
    _check_columns(read_schema(path).names, retriever, path=path)
    ids = read_ids(path, QUERY_ID)
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values").drop_null()
    if len(repeated):
        first, second = pc.indices_nonzero(pc.equal(ids, repeated[0]))[:2].to_pylist()
        raise StageError(
            f"{path}: row {second + 1}: {QUERY_ID}: expected each id once, got {repeated[0].as_py()!r} as in row "
            f"{first + 1}"
        )


def _check_columns(names: list[str], retriever: Retriever, *, path: str) -> None:
    keys = raw_keys(retriever.spec, "query").items()
    known = [QUERY_ID, *(feature_name(key) for key, feature in keys if not isinstance(feature, IdFeature))]
    if QUERY_ID not in names:
        raise StageError(f"{path}: expected a column {QUERY_ID}, got {', '.join(names) or 'none'}")
    for name in names:
        if name not in known:
            raise StageError(f"{path}: column {name}: no feature of this export's queries{did_you_mean(name, known)}")


def _as_asked(row: Mapping[str, object], ids: list[str], *, where: str) -> tuple[str, Entity]:
    own = as_text(row[QUERY_ID])
    if not own:
        raise StageError(f"{where}: {QUERY_ID}: expected a text or an integer, got {row[QUERY_ID]!r}")
    given = {name: value for name, value in row.items() if name != QUERY_ID and value is not None}
    return own, given | dict.fromkeys(ids, own)


def _converted(rows: list[Entity], retriever: Retriever, *, path: str, first: int) -> dict[str, tf.Tensor]:
    """All rows at once, since mostly none has a value of another kind than its feature; an error names the first."""
    try:
        return to_tensors(rows, "query", spec=retriever.spec)
    except UsageError:
        for number, features in enumerate(rows, first):
            try:
                to_tensors([features], "query", spec=retriever.spec)
            except UsageError as error:
                raise StageError(f"{path}: row {number}: {error}") from None
        raise
