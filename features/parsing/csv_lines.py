"""A block of CSV to one Arrow batch, and the lines that give no row.

`csv_records` says where records are and refuses those that aren't quoted by the rules; what is left pyarrow can't
misread. It counts fields, and names the records that have too few or too many.
"""

import csv
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from features.flags import flags_of
from features.parsing.csv_records import Records, find_records
from features.parsing.list_numbers import is_vector
from features.parsing.parsed_lines import BadLine, ParsedLines, no_rows, wrong_type
from features.parsing.utf8 import BOM, is_utf8

_NUMBER = r"^[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan(?:\([a-z0-9_]*\))?))$"
"""What pyarrow reads as a number."""


@dataclass(frozen=True)
class Dialect:
    """How CSV is written."""

    delimiter: str = ","
    names: tuple[str, ...] | None = None
    """The columns; None: a file's first line names them."""
    list_separator: str | None = None
    """Between the values of a multivalued column, or of a vector."""
    null_values: tuple[str, ...] = ()
    """Fields that are null, besides empty ones."""
    quoted_newlines: bool = True
    """Whether a quoted field may hold newlines; if not, every line is a record."""


def parse_header(line: bytes, dialect: Dialect) -> tuple[str, ...]:
    """The columns that a file's first line names.

    Raises:
        ValueError: If it isn't CSV in UTF-8, on one line.
    """
    text = line.removeprefix(BOM).decode("utf-8").rstrip("\r\n")
    try:
        return tuple(next(csv.reader([text], delimiter=dialect.delimiter, strict=True), []))
    except csv.Error as error:
        told = "lines end in a carriage return alone, not in a newline" if "\r" in text else str(error)
        raise ValueError(told) from None


def parse_csv(
    block: bytes, columns: pa.Schema, *, names: tuple[str, ...], dialect: Dialect, last: bool = True
) -> tuple[ParsedLines, int]:
    """Parses records of CSV. A field that is empty, or one of the dialect's null values, is null, in quotes too.

    Args:
        block: Records, the first one whole.
        columns: The columns to take: string, float64, list<string> or list<float32>; those that `names` lacks are null.
        names: The columns that the records have.
        dialect: How they are written; with a list separator if a list is to be taken.
        last: Whether the file ends with the block; if not, its last record may be incomplete.

    Returns:
        The rows and every line that gave none, and how many bytes of the block they are.
    """
    records = find_records(block, dialect.delimiter, quoted_newlines=dialect.quoted_newlines, last=last)
    _mark_invalid_utf8(block, records)
    good = _good(records)
    if len(good):
        kept = _bytes_of(block, records, good=good)
        texts, wrong_count = _read_fields(kept, columns, names=names, dialect=dialect)
        for number in wrong_count:
            records.bad[int(good[number])] = "field_count"
        good = np.delete(good, wrong_count)
        arrays, misfits = _convert(texts, columns, list_separator=dialect.list_separator)
        fits = np.ones(len(good), bool)
        for row in _named_as_columns(texts, names):
            number = int(good[row])
            with suppress(ValueError):
                if parse_header(block[records.starts[number] : records.ends[number]], dialect) == names:
                    records.bad[number], fits[row] = "repeated_header", False
        for name, misfit in misfits.items():
            records.bad.update(dict.fromkeys(good[misfit & fits].tolist(), wrong_type(name)))
            fits &= ~misfit
        good = good[fits]
        rows = pa.RecordBatch.from_arrays(arrays, schema=columns).filter(pa.array(fits))
    else:
        rows = no_rows(columns)
    starts, ends = records.starts.tolist(), records.ends.tolist()
    bad = [BadLine(starts[n], reason, block[starts[n] : ends[n]]) for n, reason in sorted(records.bad.items())]
    return ParsedLines(rows, records.starts[good], bad, records.blank), records.taken


def _good(records: Records) -> npt.NDArray[np.int64]:
    """Numbers of the records that aren't bad."""
    good = np.ones(len(records.starts), bool)
    good[list(records.bad)] = False
    return np.flatnonzero(good)


def _mark_invalid_utf8(block: bytes, records: Records) -> None:
    if is_utf8(block[: records.taken]):
        return
    beyond_ascii = np.flatnonzero(np.frombuffer(block, np.uint8) >= 0x80)
    for number in records.holding(beyond_ascii):
        if not is_utf8(block[records.starts[number] : records.ends[number]]):
            records.bad.setdefault(number, "invalid_utf8")


def _bytes_of(block: bytes, records: Records, *, good: npt.NDArray[np.int64]) -> bytes:
    """The good records, one after another. pyarrow drops blank lines, and a mark of byte order where it begins."""
    if records.bad:
        found = zip(records.starts[good].tolist(), records.ends[good].tolist(), strict=True)
        return b"\n" + b"\n".join([block[start:end] for start, end in found])
    return (b"\n" if block.startswith(BOM) else b"") + block[: records.taken]


def _read_fields(
    block: bytes, columns: pa.Schema, *, names: tuple[str, ...], dialect: Dialect
) -> tuple[pa.Table, list[int]]:
    """The fields as text, of the records that have the right number of them; and the others, by their place."""
    wrong_count: list[int] = []

    def skip(row: pv.InvalidRow) -> str:
        wrong_count.append(row.number - 1)
        return "skip"

    # By number, since names that nobody asks for may stand twice.
    taken = {name: f"{names.index(name)}" if name in names else f"no {name}" for name in columns.names}
    table = pv.read_csv(
        pa.BufferReader(block),
        read_options=pv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=[f"{number}" for number in range(len(names))]
        ),
        parse_options=pv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=skip),
        convert_options=pv.ConvertOptions(
            column_types=dict.fromkeys(taken.values(), pa.string()),
            include_columns=list(taken.values()),
            include_missing_columns=True,
            null_values=["", *dialect.null_values],
            strings_can_be_null=True,
        ),
    )
    return table.rename_columns(columns.names), wrong_count


def _named_as_columns(texts: pa.Table, names: tuple[str, ...]) -> list[int]:
    """Rows that may be the header once more, as where files were put one behind the other."""
    read = [name for name in texts.column_names if name in names]
    if not read or len(names) == 1:  # an id may be called as its column
        return []
    # Before the first column's a mark of byte order may stand.
    same = [pc.is_in(texts.column(name), pa.array([name, f"\ufeff{name}"])) for name in read]
    return np.flatnonzero(reduce(pc.and_, same)).tolist()


def _convert(
    texts: pa.Table, columns: pa.Schema, *, list_separator: str | None
) -> tuple[list[pa.Array], dict[str, npt.NDArray[np.bool_]]]:
    """The columns as they are wanted; and of those that hold what can't be read so, in which rows."""
    misfits: dict[str, npt.NDArray[np.bool_]] = {}
    arrays = []
    for field in columns:
        column = texts.column(field.name).combine_chunks()
        misfit = None
        if pa.types.is_list(field.type) and column.null_count == len(column):
            column = pa.nulls(len(column), field.type)
        elif is_vector(field.type):
            column, misfit = _to_vectors(column, list_separator)
        elif pa.types.is_list(field.type):
            column = pc.split_pattern(column, list_separator)
        elif pa.types.is_floating(field.type):
            column, misfit = _to_numbers(column)
        if misfit is not None:
            misfits[field.name] = misfit
        arrays.append(column)
    return arrays, misfits


def _to_vectors(texts: pa.Array, separator: str | None) -> tuple[pa.Array, npt.NDArray[np.bool_] | None]:
    """Lists of numbers, null where a part is none; and in which rows one is, or None if in none."""
    parts = _split_vectors(_trimmed(texts), separator)
    numbers, _ = _to_numbers(parts.values)
    lists = pa.ListArray.from_arrays(parts.offsets, numbers.cast(pa.float32()), mask=parts.is_null())
    if not numbers.null_count:
        return lists, None
    misfit = np.zeros(len(texts), bool)
    misfit[pc.list_parent_indices(parts).filter(numbers.is_null()).to_numpy()] = True
    return lists, misfit


def _split_vectors(texts: pa.Array, separator: str | None) -> pa.Array:
    """The texts of their numbers, list<string>; in brackets they stand as in JSON, or as NumPy prints an array."""
    parts = pc.split_pattern(texts, separator)
    is_bracketed = pc.fill_null(pc.and_(pc.starts_with(texts, "["), pc.ends_with(texts, "]")), False)
    if not pc.any(is_bracketed).as_py():
        return parts
    within = _trimmed(pc.utf8_slice_codeunits(texts, 1, -1), " \t\r\n")
    return pc.if_else(is_bracketed, pc.split_pattern_regex(within, r"\s*,\s*|\s+"), parts)


def _to_numbers(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_] | None]:
    """Numbers, null where a text is none; and where that is, or None if nowhere."""
    trimmed = _trimmed(texts)
    try:
        return trimmed.cast(pa.float64()), None
    except pa.ArrowInvalid:
        fits = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), True)
        only = pc.if_else(fits, trimmed, pa.scalar(None, pa.string()))
        return only.cast(pa.float64()), ~flags_of(fits)


def _trimmed(texts: pa.Array, space: str = " \t") -> pa.Array:
    """The texts without white space around them, null where nothing else is there."""
    trimmed = pc.ascii_trim(texts, space)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
