"""Where the records of a block of CSV begin and end, by RFC 4180: quoted fields may hold delimiters, newlines and `""`.

Nothing is guessed: a record is quoted as the RFC says, or it is bad. A quote inside a field that doesn't begin with one
is text. Of a record that runs over several lines and turns out bad, its first line alone is refused, and reading goes
on at the next line: a stray quote costs a line, not the rest of the file.
"""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from features.parsing.parsed_lines import filled_lines

Positions = npt.NDArray[np.int64]

MAX_RECORD_BYTES = 1 << 20
"""A record that runs over several lines may be so long; so much of a file waits for a quote that closes."""


@dataclass
class Records:
    """The records of a block, blank lines left out."""

    starts: Positions
    ends: Positions
    """Before the newline, and the carriage return before that."""
    bad: dict[int, str]
    """Number of a record -> why it gives no row: unbalanced_quote, bare_return or nul_byte."""
    blank: int
    taken: int
    """Bytes that these records are; those behind need what follows the block."""

    def holding(self, positions: Positions) -> list[int]:
        """Numbers of the records that hold any of these bytes."""
        if not len(self.starts):
            return []
        numbers = np.searchsorted(self.starts, positions, "right") - 1
        held = (numbers >= 0) & (positions < self.ends[numbers])
        return np.unique(numbers[held]).tolist()


def find_records(block: bytes, delimiter: str, *, quoted_newlines: bool, last: bool) -> Records:
    """Finds the records of a block, which begins with one.

    Args:
        block: Of CSV.
        delimiter: One ASCII character.
        quoted_newlines: Whether a quoted field may hold newlines; if not, every line is a record.
        last: Whether the file ends with the block; if not, the last record may be incomplete.
    """
    as_bytes = np.frombuffer(block, np.uint8)
    newlines = _positions(as_bytes, b"\n")
    if last and block and not block.endswith(b"\n"):
        newlines = np.append(newlines, len(block))
    quotes = _positions(as_bytes, b'"') if b'"' in block else np.zeros(0, np.int64)
    ends, bad_starts = newlines, set[int]()
    if len(quotes) and len(newlines):
        odd = _odd_lines(as_bytes, newlines, quotes=quotes, delimiter=delimiter)
        ends, bad_starts = _walk(
            block, newlines, odd_lines=odd, delimiter=delimiter, quoted_newlines=quoted_newlines, last=last
        )
    taken = min(int(ends[-1]) + 1, len(block)) if len(ends) else 0
    starts, ends, blank = filled_lines(as_bytes, ends)
    records = Records(starts, ends, {}, blank, taken)
    if bad_starts:
        numbers = np.flatnonzero(np.isin(records.starts, np.array(sorted(bad_starts))))
        records.bad = dict.fromkeys(numbers.tolist(), "unbalanced_quote")
    _mark_control_bytes(block, as_bytes, records=records, delimiter=delimiter)
    return records


def _positions(as_bytes: npt.NDArray[np.uint8], character: bytes) -> Positions:
    return np.flatnonzero(as_bytes == character[0]).astype(np.int64)


def _odd_lines(
    as_bytes: npt.NDArray[np.uint8], newlines: Positions, *, quotes: Positions, delimiter: str
) -> npt.NDArray[np.int64]:
    """Numbers of the lines that are no well quoted record by themselves.

    In one that is, every other quote opens and every other one closes, and the number is even. Of a doubled quote the
    first closes and the second opens again.
    """
    quotes = quotes[quotes < newlines[-1]]
    line = np.searchsorted(newlines, quotes)
    starts = np.concatenate([[0], newlines[:-1] + 1])
    opens = (np.arange(len(quotes)) - np.searchsorted(quotes, starts)[line]) % 2 == 0
    # What stands before the first byte is, by numpy's negative index, the padding.
    padded = np.concatenate([as_bytes, np.frombuffer(b"\n\n", np.uint8)])
    before, after, next_but_one = padded[quotes - 1], padded[quotes + 1], padded[quotes + 2]
    after = np.where((after == ord("\r")) & (next_but_one == ord("\n")), ord("\n"), after)
    beside = np.where(opens, before, after)
    misplaced = (beside != ord(delimiter)) & (beside != ord("\n")) & (beside != ord('"'))
    odd = np.bincount(line[misplaced], minlength=len(newlines)) > 0
    odd |= np.bincount(line, minlength=len(newlines)) % 2 == 1
    return np.flatnonzero(odd)


@dataclass(frozen=True)
class _Grammar:
    """Regular expressions for records of one delimiter."""

    bare: re.Pattern[bytes]
    """Without what ends it."""
    record: re.Pattern[bytes]
    """With its newline."""
    last_record: re.Pattern[bytes]
    """With its newline, or where the text ends."""
    unfinished: re.Pattern[bytes]
    """The beginning of a record, where the text ends."""


@cache
def _grammar(delimiter: str) -> _Grammar:
    d = re.escape(delimiter).encode()
    # (?>(...)*) and not (...)*+, which before Python 3.11.5 stays where a last try of the group has failed.
    open_field = rb'"(?>(?:[^"]++|"")*)'
    field = rb'(?:%b"|(?!")[^%b\r\n]*+)' % (open_field, d)
    record = rb"%b(?>(?:%b%b)*)" % (field, d, field)
    return _Grammar(
        re.compile(record),
        re.compile(record + rb"\r?\n"),
        re.compile(record + rb"\r?(?:\n|\Z)"),
        re.compile(rb"(?>(?:%b%b)*)(?:%b|%b)\r?\Z" % (field, d, field, open_field)),
    )


def _walk(
    block: bytes,
    newlines: Positions,
    *,
    odd_lines: npt.NDArray[np.int64],
    delimiter: str,
    quoted_newlines: bool,
    last: bool,
) -> tuple[Positions, set[int]]:
    """The newlines that end records, and where bad ones begin: every line that isn't odd is a record by itself."""
    grammar = _grammar(delimiter)
    record = grammar.last_record if last else grammar.record
    ends_record = np.ones(len(newlines), bool)
    lines, bad, upto = len(newlines), set[int](), 0
    for line in odd_lines.tolist():
        start, end = int(newlines[line - 1]) + 1 if line else 0, int(newlines[line])
        if start < upto:
            continue
        longest = max(end + 1, start + MAX_RECORD_BYTES)
        found = (
            # A byte further, so that what is too long doesn't look like the end of the text.
            record.match(block, start, longest + 1) if quoted_newlines else grammar.last_record.match(block, start, end)
        )
        if found is not None and found.end() <= longest:
            upto = max(found.end(), end + 1)
            ends_record[line : np.searchsorted(newlines, upto - 1)] = False
        elif quoted_newlines and not last and _may_go_on(grammar, block, start=start):
            lines = line
            break
        else:
            bad.add(start)
    return newlines[:lines][ends_record[:lines]], bad


def _may_go_on(grammar: _Grammar, block: bytes, *, start: int) -> bool:
    return len(block) - start <= MAX_RECORD_BYTES and grammar.unfinished.match(block, start) is not None


def _mark_control_bytes(block: bytes, as_bytes: npt.NDArray[np.uint8], *, records: Records, delimiter: str) -> None:
    """Marks records with NUL bytes, and with carriage returns that neither end them nor are quoted."""
    if b"\r" in block:
        returns = _positions(as_bytes, b"\r")
        for number in records.holding(returns):
            start, end = int(records.starts[number]), int(records.ends[number])
            if number not in records.bad and _grammar(delimiter).bare.fullmatch(block, start, end) is None:
                records.bad[number] = "bare_return"
    if b"\0" in block:
        for number in records.holding(_positions(as_bytes, b"\0")):
            records.bad.setdefault(number, "nul_byte")
