"""Rows whose values have types of their own, as Avro and BigQuery give them, to one Arrow batch."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa

from features.parsing.list_numbers import are_numbers, is_vector
from features.parsing.list_texts import as_texts
from features.parsing.parsed_lines import BadLine, ParsedLines, wrong_type
from features.parsing.truth_values import takes_truth_values, truth_as_text

Row: TypeAlias = Mapping[str, Any]


def parse_rows(rows: Sequence[Row], columns: pa.Schema, *, time: str | None) -> ParsedLines:
    """Takes the wanted columns of rows.

    Args:
        rows: Column -> value; None and an absent column are missing values.
        columns: The columns to take: string, float64, list<string> or list<float32>. A string column also takes
            integers, as their decimal digits, and truth values where it is marked so (`truth_values`); a list of texts
            may be of integers.
        time: The column that may hold times; it is then timestamp[us], in UTC if they have a zone.

    Returns:
        The rows, numbered from 0, and those of which a value is of another type, or a text has lone surrogates, as
        stand for bytes that are no UTF-8.
    """
    reasons: dict[int, str] = {}
    arrays = [_column(rows, field, is_time=field.name == time, reasons=reasons) for field in columns]
    bad = [BadLine(number, reason, _show(rows[number], columns)) for number, reason in sorted(reasons.items())]
    fits = np.ones(len(rows), bool)
    fits[list(reasons)] = False
    batch = pa.RecordBatch.from_arrays(arrays, names=columns.names)
    return ParsedLines(batch.filter(pa.array(fits)), np.flatnonzero(fits), bad, 0)


def _column(rows: Sequence[Row], field: pa.Field, *, is_time: bool, reasons: dict[int, str]) -> pa.Array:
    """One column of all rows, null where a value can't be taken; says in `reasons` why, unless one is there already."""
    values = [row.get(field.name) for row in rows]
    if takes_truth_values(field):
        values = [truth_as_text(value) if isinstance(value, bool) else value for value in values]
    times = [value for value in values if isinstance(value, datetime)] if is_time else []
    wanted = pa.timestamp("us", "UTC" if times[0].tzinfo else None) if times else field.type
    all_times = len(times) == len(values) - values.count(None)
    converted = values if all_times else [_convert(value, wanted) for value in values]
    for number, value in enumerate(converted):
        if value is _MISFIT:
            converted[number] = None
            reasons.setdefault(number, wrong_type(field.name))
    return _to_array(converted, wanted, reasons=reasons)


_MISFIT = object()


def _convert(value: Any, wanted: pa.DataType) -> Any:
    """The value as a column of this type takes it, or _MISFIT. A truth value is an int to isinstance, but no number."""
    kind = type(value)
    if value is None:
        return None
    if pa.types.is_string(wanted):
        return value if kind is str else str(value) if kind in (int, UUID) else _MISFIT
    if pa.types.is_timestamp(wanted):
        return value if isinstance(value, datetime) else _MISFIT
    try:
        if pa.types.is_floating(wanted):
            return float(value) if kind in (int, float, Decimal) else _MISFIT
        if is_vector(wanted):
            return _as_floats(value) if kind is list and are_numbers(value) else _MISFIT
    except OverflowError:
        return _MISFIT
    texts = as_texts([str(part) if type(part) is UUID else part for part in value]) if kind is list else None
    return _MISFIT if texts is None else texts


def _as_floats(values: list[Any]) -> list[float | None]:
    """Numbers as pyarrow takes them for floats, which knows no decimals there, nor integers that no float can hold."""
    if set(map(type, values)).isdisjoint((int, Decimal)):
        return values
    return [None if value is None else float(value) for value in values]


def _to_array(values: list[Any], wanted: pa.DataType, *, reasons: dict[int, str]) -> pa.Array:
    """The values as a column, null where a text isn't UTF-8."""
    try:
        return pa.array(values, wanted)
    except UnicodeEncodeError:
        odd = {number for number, value in enumerate(values) if not _is_utf8(value)}
        reasons |= {number: reasons.get(number, "invalid_utf8") for number in odd}
        return pa.array([None if number in odd else value for number, value in enumerate(values)], wanted)


def _is_utf8(value: str | list[str | None] | None) -> bool:
    text = value if isinstance(value, str) else "".join(part or "" for part in value or [])
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _show(row: Row, columns: pa.Schema) -> bytes:
    return json.dumps({name: row.get(name) for name in columns.names}, ensure_ascii=False, default=str).encode(
        errors="backslashreplace"
    )
