"""Counts of the item, query and pair tables, which add up in any order: what their statistics follow from.

Numbers are counted to 17 significant bits, so that their counts stay few in a table of any length: integers up to
131,072 are themselves, other numbers within 8e-6 of themselves. Minimum and maximum are exact.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.spec.features import IdFeature, Side, SideName, TextFeature, VectorFeature
from features.split import SPLITS
from features.sums import sum_counts, total
from features.tokens import ngrams, words
from features.vectors import vector_lengths

FEATURE_COUNTS = pa.schema(
    [
        ("feature", pa.string()),
        ("measure", pa.string()),
        ("text", pa.string()),
        ("number", pa.float64()),
        ("count", pa.int64()),
    ]
)
"""Measures: `text` and `number`, how often a value occurs; `valency`, how many rows have `number` values; `least` and
`greatest`, candidates for them; `bytes`, the length of all texts; `distinct`, how many texts there are."""

MOST_COMMON = 1_000
"""Texts of which the count is kept."""
_DROPPED_BITS = 36  # of the 52 of a float64's fraction


def count_entities(entities: pa.Table, side_name: SideName, *, side: Side) -> pa.Table:
    """Counts some queries or items.

    Args:
        entities: Schema `features.entities.entity_schema(side)`.
        side_name: query or item.
        side: Its features.

    Returns:
        Schema FEATURE_COUNTS; of a text, its n-grams are counted, as in its vocabulary, of a vector its length.
    """
    train_count = _count(f"{side_name}/train_count", entities.column("train_count"))
    return pa.concat_tables([train_count, *_count_features(entities, side_name, side=side)])


def _count_features(rows: pa.Table, side_name: SideName, *, side: Side) -> list[pa.Table]:
    parts = []
    for name, feature in side.features.items():
        if isinstance(feature, IdFeature):
            continue
        values = rows.column(f"feature/{name}")
        if isinstance(feature, TextFeature):
            values = ngrams(words(values.combine_chunks()), feature.ngrams)
        elif isinstance(feature, VectorFeature):
            values = vector_lengths(values.combine_chunks())
        parts.append(_count(f"{side_name}/{name}", values))
    return parts


def count_pairs(pairs: pa.Table, context: Side) -> pa.Table:
    """Counts those pairs that become examples, schema FEATURE_COUNTS.

    Args:
        pairs: Schema `features.sessions.pair_schema`.
        context: The features of pairs.
    """
    pairs = pairs.filter(pc.invert(pairs.column("thinned")))
    splits = pa.array(SPLITS, pa.string()).take(pairs.column("split").combine_chunks())
    parts = [_count(name, pairs.column(name)) for name in ("query_id", "item_id")]
    parts += [_count("pair/split", splits), _count("pair/count", pairs.column("count"))]
    parts += [_count(f"pair/{name}", pairs.column(name).cast(pa.int64())) for name in ("first", "last")]
    if "history" in pairs.column_names:
        parts.append(_count("pair/history_length", pc.list_value_length(pairs.column("history"))))
    return pa.concat_tables([*parts, *_count_features(pairs, "pair", side=context)])


def _count(feature: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_list(values.type):
        sizes, flat = pc.fill_null(pc.list_value_length(values), 0), pc.list_flatten(values)
    else:
        sizes, flat = values.is_valid().cast(pa.int32()), values.drop_null()
    valency = sizes.value_counts()
    parts = [_rows(feature, "valency", number=valency.field("values"), count=valency.field("counts"))]
    if pa.types.is_string(flat.type):
        found = flat.value_counts()
        size = total(pc.binary_length(flat))
        parts.append(_rows(feature, "bytes", count=pa.array([size])))
        return pa.concat_tables(
            [*parts, _rows(feature, "text", text=found.field("values"), count=found.field("counts"))]
        )
    numbers = flat.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0  # of -0.0 and 0.0 either may be the least
    rounded, counts = np.unique(round_numbers(numbers), return_counts=True)
    parts.append(_rows(feature, "number", number=pa.array(rounded), count=pa.array(counts)))
    for measure, extreme in (("least", np.min), ("greatest", np.max)):
        found = extreme(numbers, keepdims=True) if len(numbers) else numbers
        parts.append(_rows(feature, measure, number=pa.array(found), count=pa.array(np.ones(len(found), np.int64))))
    return pa.concat_tables(parts)


def _rows(
    feature: str, measure: str, *, count: pa.Array, text: pa.Array | None = None, number: pa.Array | None = None
) -> pa.Table:
    n = len(count)
    names = [pa.repeat(pa.scalar(name, pa.string()), n) for name in (feature, measure)]
    text = pa.nulls(n, pa.string()) if text is None else text
    number = pa.nulls(n, pa.float64()) if number is None else number.cast(pa.float64())
    return pa.table([*names, text, number, count.cast(pa.int64())], schema=FEATURE_COUNTS)


def round_numbers(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Numbers to 17 significant bits; rising ones stay so."""
    half = np.int64(1 << (_DROPPED_BITS - 1))
    return ((numbers.view(np.int64) + half) & np.int64(-1 << _DROPPED_BITS)).view(np.float64) + 0.0  # never -0.0


def merge_counts(counts: pa.Table) -> pa.Table:
    """Adds up the counts of parts, schema FEATURE_COUNTS."""
    return sum_counts(counts, "feature", "measure", "text", "number")


def count_distinct(counts: pa.Table) -> pa.Table:
    """How many texts each feature has, schema FEATURE_COUNTS.

    Args:
        counts: Merged: a text of which there are counts here has none elsewhere.
    """
    texts = counts.filter(pc.equal(counts.column("measure"), "text")).group_by("feature", use_threads=False)
    found = texts.aggregate([("text", "count")])
    n = found.num_rows
    measure = pa.repeat(pa.scalar("distinct", pa.string()), n)
    columns = [found["feature"], measure, pa.nulls(n, pa.string()), pa.nulls(n, pa.float64()), found["text_count"]]
    return pa.table(columns, schema=FEATURE_COUNTS)


def keep_most_common(counts: pa.Table, known: Mapping[str, frozenset[str]], *, most: int = MOST_COMMON) -> pa.Table:
    """Drops the counts of rare texts: of each feature, all but the most common and the known ones.

    Args:
        counts: Merged counts; all of a text's.
        known: Feature -> texts to keep anyway.
        most: Texts to keep; of equally common ones the first by name.
    """
    is_text = pc.equal(counts.column("measure"), "text")
    parts = [counts.filter(pc.invert(is_text))]
    texts = counts.filter(is_text)
    for name in pc.unique(texts.column("feature")).to_pylist():
        mine = texts.filter(pc.equal(texts.column("feature"), name))
        order = pc.sort_indices(mine, sort_keys=[("count", "descending"), ("text", "ascending")])
        parts.append(mine.take(order[:most]))  # a slice would keep them all in memory
        if name in known:
            rest = mine.take(order[most:])
            wanted = pa.array(sorted(known[name]), pa.string())
            parts.append(rest.filter(pc.is_in(rest.column("text"), value_set=wanted)))
    return pa.concat_tables(parts)
