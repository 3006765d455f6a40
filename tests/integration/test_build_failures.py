"""What a build says when it can't be done: one line, an exit code, and no manifest."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from formats import parquet
from json_lines import json_lines
from waiting import wait_for

from pipelines import build_dataset
from pipelines.build_dataset import aggregate_checked
from stage.output import start_output

Json = dict[str, Any]
SPEC: Json = {
    "name": "tiny",
    "sources": {"interactions": {"path": "log/*"}, "items": {"path": "items/*"}, "max_reject_ratio": 0.6},
    "query": {"features": {"user": {"kind": "id"}}},
    "item": {"features": {"app": {"kind": "id"}}},
    "split": {"validation": 0.1, "test": 0.2},
}
LINES = [{"query_id": f"u{n % 7}", "item_id": f"a{n % 5}", "event": "get"} for n in range(60)]
ITEMS = [{"item_id": f"a{n}"} for n in range(5)]
GOOD = {"log/good.jsonl": json_lines(LINES), "items/items.jsonl": json_lines(ITEMS)}


@pytest.fixture
def fail(build: Any, write_raw: Any, tmp_path: Path) -> Callable[..., str]:
    """Builds, expects a failure, and gives its one line with the temporary directory as TMP."""

    def run(files: dict[str, bytes], *flags: str, spec: Json = SPEC, code: int = 1) -> str:
        raw = write_raw(tmp_path / "raw", files)
        built = build(tmp_path / "dataset", spec, *flags, raw=raw)
        assert built.code == code, built.stderr
        assert not (built.directory / "manifest.json").exists()
        said = [line for line in built.stderr.splitlines() if not line.startswith("build-dataset ")]
        assert len(said) == 1, said
        assert said[0].startswith("error: ")
        return said[0].removeprefix("error: ").replace(str(tmp_path), "TMP")

    return run


@pytest.fixture
def only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph ends where the input is read, checked and aggregated: the rest takes seconds to make."""
    monkeypatch.setattr("pipelines.build_dataset.build_graph", aggregate_checked)


def without(rows: list[Json], column: str) -> list[Json]:
    return [{key: value for key, value in row.items() if key != column} for row in rows]


def zcat(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def truncated_gzip() -> bytes:
    content = gzip.compress(os.urandom(9_000).hex().encode() + b"\n", mtime=0)
    return content[: len(content) // 2]


def test_too_many_rejects(fail: Callable[..., str], tmp_path: Path) -> None:
    unknown = {"query_id": "u1", "item_id": "gone", "event": "get"}
    bad = {"log/b.jsonl": b"no\n" * 99 + json_lines([unknown] * 2)}
    assert fail(GOOD | bad, "--set", "sources.rejects=place_only") == (
        "sources.max_reject_ratio: 101 of 161 lines of the log are bad, more than 0.6 of them: not_json 99, "
        "unknown_item 2; see TMP/dataset/rejects/, mend the input or raise the ratio; not_json: expected one JSON "
        "object on each line, neither an array nor an object over several lines, and no column twice in it"
    )
    files_left = (tmp_path / "dataset/rejects").iterdir()
    rejects = [json.loads(line) for file in files_left for line in zcat(file)]
    assert sum(row["lines"] for row in rejects) == 101
    assert not any("content" in row for row in rejects)


def test_a_file_that_ends_too_soon(fail: Callable[..., str]) -> None:
    said = fail(GOOD | {"log/cut.jsonl.gz": truncated_gzip()})
    assert said.startswith("TMP/raw/log/cut.jsonl.gz: cannot be read to its end")


@pytest.mark.usefixtures("only_read")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"log/no.parquet": parquet(LINES)[:-5]}, "TMP/raw/log/no.parquet: cannot be read to its end"),
        (
            {"log/x.csv": b"query_id,item_id,event\n" + b"u1,a1\n" * 100},
            "TMP/raw/log/x.csv: expected as many fields as columns, but none of its 100 lines has that; "
            "see TMP/dataset/rejects/",
        ),
        (
            {"log/x.parquet": parquet([row | {"query_id": 1.5} for row in LINES])},
            "TMP/raw/log/x.parquet: column query_id (sources.interactions.query_id): expected text or "
            "integers, found double; cast whole numbers to int64 where the file is written; "
            "pandas makes floats of those with missing values",
        ),
        (
            {"log/x.parquet": parquet([row | {"event": datetime(2024, 1, 1)} for row in LINES])},
            "TMP/raw/log/x.parquet: column event (sources.interactions.event): expected text, integers, true or "
            "false, found timestamp[us]; cast it to text where the file is written",
        ),
        (
            {"log/x.parquet": parquet(without(LINES, "item_id"))},
            "TMP/raw/log/x.parquet: expected a column item_id (sources.interactions.item_id), found query_id, event",
        ),
        (
            {"log/x.jsonl": json_lines(without(LINES[:50], "item_id") * 2)},
            "TMP/raw/log/x.jsonl: expected a column item_id (sources.interactions.item_id), but none of its 100 lines "
            "has that; see TMP/dataset/rejects/",
        ),
        (
            {"log/x.jsonl": b"\nnot json\n" + json_lines([row | {"event": 1.5} for row in LINES[:50]] * 2)},
            "TMP/raw/log/x.jsonl: expected text, integers, true or false in event (sources.interactions.event; other "
            "numbers in quotes, as positive_events has them), but none of its 100 lines has that; "
            "see TMP/dataset/rejects/",
        ),
        (
            {"items/x.jsonl": json_lines([{"id": "a9"}] * 100)},
            "TMP/raw/items/x.jsonl: expected ids in a column item_id (sources.items.id), but none of its 100 lines "
            "has that; see TMP/dataset/rejects/",
        ),
        (
            {"items/b.jsonl": json_lines([{"item_id": "b1"}, {"item_id": "a3"}])},
            "items: expected each id once, but 'a3' stands at items/b.jsonl, byte 18 and items/items.jsonl, byte 54; "
            "there may be more: remove all duplicates from the table",
        ),
    ],
    ids=[
        "parquet without footer", "csv of other columns", "column of doubles", "column of times", "missing column",
        "missing key", "retyped key", "table without ids", "duplicate ids",
    ],
)  # fmt: skip
def test_input_that_can_t_be_used(fail: Callable[..., str], files: dict[str, bytes], expected: str) -> None:
    said = fail(GOOD | files)
    assert said.startswith(expected) if "cannot be read" in expected else said == expected


@pytest.mark.usefixtures("only_read")
@pytest.mark.parametrize(
    ("key", "column", "what"),
    [("interactions.item_id", "item", "a column"), ("interactions.query_id", "query", "a column"),
     ("items.id", "item", "ids in a column")],
)  # fmt: skip
def test_the_error_of_an_id_column_that_no_json_line_has_says_what_they_have(
    build: Any, write_raw: Any, tmp_path: Path, key: str, column: str, what: str
) -> None:
    raw = write_raw(tmp_path / "raw", GOOD)
    built = build(tmp_path / "dataset", SPEC, "--set", f"sources.{key}={column}", raw=raw)
    file, lines = ("items/items.jsonl", 5) if key == "items.id" else ("log/good.jsonl", 60)
    assert (built.code, built.error) == (
        1,
        f"error: {raw}/{file}: expected {what} {column} (sources.{key}; did you mean '{column}_id'?), but none of its "
        f"{lines} lines has that; see {tmp_path}/dataset/rejects/",
    )


@pytest.mark.usefixtures("only_read")
def test_a_partition_of_empty_files_is_an_empty_partition(fail: Callable[..., str]) -> None:
    lines = [row | {"at": "2024-01-01T12:00:00Z"} for row in LINES]
    files = {
        "log/2024-01-01/a.jsonl.gz": json_lines(lines),
        "log/2024-01-02/a.jsonl.gz": b"",
        "log/2024-01-02/b.csv": b"query_id,item_id,event,at\n",
        "items/items.jsonl": json_lines(ITEMS),
    }
    said = fail(
        files,
        "--set=sources.interactions.path=log/{date}/*",
        "--set=sources.interactions.timestamp=at",
        "--set=sources.interactions.timestamp_unit=iso",
        *("--data-start=2024-01-01", "--data-end=2024-01-03"),
    )
    assert said.startswith("log/2024-01-02/*: expected rows in this partition, but its files are empty; mend them, or")


def corrupt(content: bytes, at: int) -> bytes:
    """The content with one bit of the byte there flipped."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at:][1:]


@pytest.mark.usefixtures("only_read")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"log/good.jsonl": b""},
            "sources.interactions.path: expected files that match TMP/raw/log/*, found only empty ones, such as ",
        ),
        (
            {"log/good.jsonl": b"\n \n"},
            "sources.interactions.path: expected rows in log/*, found none in all of it; check the path",
        ),
        (
            {"items/items.jsonl": b"\n"},
            "sources.items.path: expected rows in items/*, found none in all of it; check the path",
        ),
        (
            {"log/bit.jsonl.gz": corrupt(gzip.compress(json_lines(LINES)), -5)},
            "TMP/raw/log/bit.jsonl.gz: cannot be read to its end",
        ),
        (
            {"items/bit.parquet": parquet(ITEMS)[:20] + b"\xff" * 40 + parquet(ITEMS)[60:]},
            "TMP/raw/items/bit.parquet: cannot be read to its end",
        ),
    ],
    ids=["empty log", "blank log", "blank table", "gzip with a flipped bit", "damaged parquet"],
)
def test_files_that_hold_nothing_or_are_damaged(
    fail: Callable[..., str], files: dict[str, bytes], expected: str
) -> None:
    assert fail(GOOD | files).startswith(expected)


def test_a_feature_whose_column_is_nowhere(fail: Callable[..., str]) -> None:
    said = fail(GOOD, "--set", 'item.features.price={"kind": "numeric", "column": "prize"}')
    assert said == (
        "item.features.price: expected a column 'prize' in the items, but none of its lines has a value there; "
        "correct the name, or leave it out of the spec"
    )


@pytest.mark.usefixtures("only_read")
def test_a_file_that_vanishes_before_it_is_read(
    fail: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_and_delete(*arguments: Any, **options: Any) -> None:
        start_output(*arguments, **options)
        (tmp_path / "raw/log/good.jsonl").unlink()

    monkeypatch.setattr("pipelines.build_dataset.start_output", start_and_delete)
    said = fail(GOOD)
    assert said.startswith("TMP/raw/log/good.jsonl: cannot be read")
    assert "No such file or directory" in said


def test_a_directory_in_the_place_of_a_file(fail: Callable[..., str]) -> None:
    said = fail(GOOD, "--set", "sources.items.path=items")
    assert said == (
        "sources.items.path: TMP/raw/items: expected a file or a glob, found a directory; write items/*.jsonl"
    )


@pytest.mark.parametrize("name", ["out[1]", "out*", "o?t"])
def test_an_output_that_would_be_a_pattern(fail: Callable[..., str], tmp_path: Path, name: str) -> None:
    assert fail(GOOD, "--output", str(tmp_path / name), code=2) == (
        f"--output: expected a path without *, ? and [, which TensorFlow and Beam take for a pattern, got TMP/{name}"
    )
    assert not (tmp_path / name).exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small_disk(kilobytes)`: a directory on a disk of that size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(kilobytes: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only a user who may mount can have a full disk")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


# The first of the transform's own files, and the last files of all.
@pytest.mark.parametrize("kilobytes", [16, 260])
def test_a_full_disk(fail: Callable[..., str], small_disk: Callable[[int], Path], kilobytes: int) -> None:
    disk = small_disk(kilobytes)
    said = fail(GOOD, "--output", str(disk / "dataset"))
    assert re.fullmatch(r"TMP/disk/dataset/\S+: cannot be written: No space left on device", said)
    assert not (disk / "dataset/manifest.json").exists()


def test_no_training_pair_left(fail: Callable[..., str]) -> None:
    said = fail(GOOD, "--set", "sources.interactions.positive_events=[buy]")
    assert said == (
        "no training pair is left of 60 lines (rejected: none; filtered: not_positive 60); "
        "expected events of sources.interactions.positive_events, but the good lines have others alone, most often "
        "'get'; name those that count, upper and lower case as they are"
    )


@pytest.mark.usefixtures("only_read")
def test_an_event_that_has_another_name_from_the_test_s_start_on(fail: Callable[..., str]) -> None:
    lines = [row | {"timestamp": n, "event": "fetch" if n >= 50 else "get"} for n, row in enumerate(LINES)]
    interactions = {"path": "log/*", "timestamp": "timestamp", "positive_events": ["get"]}
    spec = SPEC | {"sources": SPEC["sources"] | {"interactions": interactions}}
    spec["split"] = {"method": "time", "test_start": "1970-01-01T00:00:50Z", "validation_seconds": 5}
    said = fail(GOOD | {"log/good.jsonl": json_lines(lines)}, spec=spec)
    assert (
        "positive_events from the test's start on, but the good lines there have others alone, most often 'fe" in said
    )


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        (
            ["--set", "train.epochs=2"], 2,
            "--set train.epochs: build-dataset doesn't read the section train; give it to train",
        ),
        (
            ["--shards", "0"], 2,
            "argument --shards: expected a whole number of at least 1, got '0' "
            "(see ssl-two-tower build-dataset --help)",
        ),
        (
            ["--data-start", "tomorrow"], 2,
            "--data-start: expected an ISO 8601 time such as 2009-07-28T00:00:00Z, got 'tomorrow'",
        ),
        (["--test-start", "2020-01-01"], 2, "--test-start: goes with split.method time; this spec splits by pair_hash"),
        (
            ["--set", "sources.interactions.path=lgo/*"], 1,
            "sources.interactions.path: expected files that match TMP/raw/lgo/*, found none (or only names "
            "that begin with . or _)",
        ),
        (
            ["--set", "sources.interactions.path=log/{date}/*"], 2,
            "sources.interactions.path: log/{date}/* needs --data-start and --data-end",
        ),
        (
            [
                "--set=sources.interactions.path=log/{date}/*", "--set=sources.interactions.timestamp=at",
                "--data-start=2024-01-01", "--data-end=2024-01-02",
            ], 1,
            "sources.interactions.path: expected files that match TMP/raw/log/2024-01-01/*, found none (or only names "
            "that begin with . or _); it is a day of --data-start to --data-end without rows: if it is still to come, "
            "run the same command then; if it is lost, or rightly has none, name it in sources.interactions.days_off; "
            "a glob in place of {date} reads all days and lets any be missing",
        ),
        (["--output", "/proc/none"], 1, "/proc/none/"),
    ],
)  # fmt: skip
def test_commands_that_can_t_be_done(fail: Callable[..., str], flags: list[str], code: int, expected: str) -> None:
    said = fail(GOOD, *flags, code=code)
    assert said.startswith(expected) if expected.startswith("/") else said == expected


def start_build(raw: Path, output: Path) -> "subprocess.Popen[str]":
    """A build in a process of its own, which has begun to write when this returns."""
    spec = raw.parent / "spec.yaml"
    spec.write_text(yaml.safe_dump(SPEC))
    command = [sys.executable, "-m", "pipelines.cli", "build-dataset", "--spec", spec, "--raw", raw, "--output", output]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(output.glob("*/*")), "a file of the dataset", by=[process])
    return process


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_build_leaves_nothing_that_a_reader_takes(
    build: Any, write_raw: Any, tmp_path: Path, stop: signal.Signals
) -> None:
    raw, output = write_raw(tmp_path / "raw", GOOD), tmp_path / "dataset"
    process = start_build(raw, output)
    process.send_signal(stop)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75
    assert said.splitlines()[-1] == "error: interrupted; the same command starts again where that is possible"
    assert not (output / "manifest.json").exists()

    again = build(output, SPEC, raw=raw)
    assert again.code == 0, again.error
    left = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert left == {"manifest.json"} | {file["name"] for file in again.manifest["files"]}


@pytest.mark.parametrize("taken_over", [True, False])
def test_what_another_build_broke_is_told_as_its_doing_unless_the_directory_is_gone(
    fail: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_over: bool
) -> None:
    def run_pipeline(*_: Any, **__: Any) -> None:
        run_id = json.loads((tmp_path / "dataset/.unfinished").read_bytes())["run_id"]
        shutil.rmtree(tmp_path / "dataset")
        if taken_over:
            start_output(str(tmp_path / "dataset"), "dataset", run_id="20240101T000000-another", overwrite=False)
            (tmp_path / f"dataset/.{run_id}-tft/transform").mkdir(parents=True)
        raise RuntimeError("Graph execution error:\n\ntransform/assets/app; No such file or directory\n")

    monkeypatch.setattr(build_dataset, "run_pipeline", run_pipeline)
    another = "another run was started into it meanwhile and has taken it over; let that one end, or give each its own"
    broken = "the job failed: transform/assets/app; No such file or directory"
    assert fail(GOOD) == (f"TMP/dataset: {another} --output" if taken_over else broken)
    assert {path.name for path in tmp_path.glob("dataset/*")} == ({".unfinished"} if taken_over else set())
