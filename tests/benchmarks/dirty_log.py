"""A log with a hundredth of its lines broken, against the same one whole."""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import Row, Turns
from raw_logs import COLUMNS, clean_log

from features.data_window import DataWindow
from features.parsing.json_lines import parse_lines
from features.pseudonyms import Pseudonyms
from features.spec.file import load_spec
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import FileRange, InputFile
from pipelines.aggregation.log import validate_batch
from pipelines.aggregation.reading import read_batches

LINES = 1_000_000
BROKEN = 100
"""One line in so many."""


def _at(line: bytes, key: bytes, *, put: bytes) -> bytes:
    """The line with bytes put behind a key's colon."""
    place = line.index(b'"%b":' % key) + len(key) + 3
    return line[:place] + put + line[place:]


SORTS: list[Callable[[bytes], bytes]] = [
    lambda line: line[: len(line) // 2],
    lambda line: line[: len(line) // 2] + b"\n" + line[len(line) // 2 :],
    lambda line: line[: len(line) // 2] + line,
    lambda line: _at(line, b"item_id", put=b"[").replace(b',"event"', b'],"event"'),
    lambda line: _at(line, b"timestamp", put=b'"').replace(b"}", b'"}'),
    lambda line: _at(line, b"query_id", put=b'"\xff').replace(b'\xff"', b"\xff"),
    lambda line: _at(line, b"query_id", put=b'"\x00').replace(b'\x00"', b"\x00"),
    lambda line: _at(line, b"timestamp", put=b"NaN}"),
    lambda _: b"Traceback (most recent call last):",
    lambda _: b"",
]
"""Cut, cut in two, run into the next, wrong types, no UTF-8, NUL, NaN, junk, blank."""


def measure(work: Path, turns: Turns) -> list[Row]:
    clean = clean_log(work, LINES).read_bytes()
    dirty = spoil(clean)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        files = {name: Path(directory) / f"{name}.jsonl" for name in ("clean", "dirty")}
        files["clean"].write_bytes(clean)
        files["dirty"].write_bytes(dirty)
        runs = {
            "parse, clean": lambda: parse(clean),
            "parse, dirty": lambda: parse(dirty),
            "read and validate, clean": lambda: validate(files["clean"]),
            "read and validate, dirty": lambda: validate(files["dirty"]),
        }
        seconds = turns(runs)
    lines = clean.count(b"\n")
    # One sort of ten is a blank line, which is no bad one.
    assert parse(dirty) > 0.8 * lines / BROKEN > 0 == parse(clean)
    return [
        Row(
            f"{what}, 1% broken lines, rate against none",
            seconds[f"{what}, clean"] / seconds[f"{what}, dirty"],
            "x",
            f"{lines / seconds[f'{what}, clean']:,.0f} lines/s clean, {lines / seconds[f'{what}, dirty']:,.0f} dirty",
            at_least=0.5,
        )
        for what in ("parse", "read and validate")
    ]


def spoil(log: bytes) -> bytes:
    lines = log.splitlines()
    draw = random.Random(1)
    for number, place in enumerate(draw.sample(range(len(lines)), len(lines) // BROKEN)):
        lines[place] = SORTS[number % len(SORTS)](lines[place])
    return b"\n".join(lines) + b"\n"


def parse(log: bytes) -> int:
    """How many lines are bad."""
    start = bad = 0
    while start < len(log):
        end = log.rfind(b"\n", start, start + (4 << 20)) + 1
        bad += len(parse_lines(log[start:end], COLUMNS).bad)
        start = end
    return bad


def validate(log: Path) -> None:
    spec, pseudonyms = load_spec("synthetic"), Pseudonyms()
    file = InputFile(path=str(log), name=log.name, size=log.stat().st_size, number=0, format="jsonl")
    batches = read_batches(FileRange(file, 0, None), Columns(COLUMNS, {}))
    for batch in batches:
        validate_batch(batch, spec, window=DataWindow(), pseudonyms=pseudonyms, bounds=None)
