"""What a build finds out about its input before it starts."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from places import SAMPLE

from features.data_window import DataWindow, window_of
from features.spec.file import load_spec
from pipelines.aggregation.input_files import Format, InputFile
from pipelines.aggregation.inputs import Inputs, find_inputs
from pipelines.aggregation.local_memory import check_memory
from pipelines.aggregation.raw_directory import check_raw
from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.errors import StageError, UsageError


def test_a_local_build_that_will_not_fit_says_so_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for items in SAMPLE.glob("items-*"):
        shutil.copy(items, tmp_path)
    log, output = tmp_path / "log.jsonl", tmp_path / "dataset"
    with log.open("wb") as file:
        file.truncate(1 << 40)  # a hole: a TiB to read, no block on disk
    where = ["--set", f"sources.interactions.path={log}", "--raw", str(tmp_path)]
    assert run_command(dispatch, ["build-dataset", "--spec", "debian", *where, "--output", str(output)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: this input needs about 2050 GiB of memory for a build on one machine, which has ")
    assert "--runner=DataflowRunner" in said
    assert said.endswith(" or FlinkRunner; build-dataset and run take it\n")
    assert said.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize("raw", ["http://host/raw", "hdfs://host/raw", "s3://bucket"])
def test_a_file_system_that_is_not_known_is_named(raw: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build-dataset", "--spec", "debian", "--raw", raw, "--output", "/never"]
    assert run_command(dispatch, arguments) == 1
    assert capsys.readouterr().err == f"error: {raw}: expected a local path or gs://BUCKET/PATH\n"


def test_a_relative_path_needs_a_raw_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build-dataset", "--spec", "debian", "--output", str(tmp_path / "dataset")]
    assert run_command(dispatch, arguments) == 2
    assert capsys.readouterr().err == (
        "error: sources.interactions.path: 'interactions-*.jsonl.gz' is relative, so --raw must say to which "
        "directory\n"
    )
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize("verb", ["build-dataset", "run"])
@pytest.mark.parametrize(("raw", "found", "code"), [("none", "is not there", 1), ("file", "is a file", 2)])
def test_a_raw_directory_that_is_a_file_is_wrong_use_and_one_that_is_not_there_may_come(
    verb: str, raw: str, found: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    arguments = [verb, "--spec", "debian", "--raw", f"{tmp_path}/{raw}", "--output", str(tmp_path / "output")]
    assert run_command(dispatch, arguments) == code
    assert capsys.readouterr().err == f"error: --raw: expected a directory, {tmp_path}/{raw} {found}\n"
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("name", ["raw[1]", "raw*", "r?w"])
def test_a_raw_directory_is_no_glob(name: str, tmp_path: Path) -> None:
    for directory in (name, "raw1"):
        (tmp_path / directory).mkdir()
    with pytest.raises(
        UsageError, match=r"^--raw: expected a path without \*, \? and \[, which stand for a glob, got "
    ):
        check_raw(f"{tmp_path}/{name}", load_spec("debian").sources)


def test_a_raw_directory_that_no_path_needs_may_be_nowhere() -> None:
    absolute = [f"sources.{name}.path=/{name}.jsonl" for name in ("interactions", "items")]
    check_raw("none", load_spec("debian", absolute).sources)
    check_raw("gs://bucket/none", load_spec("debian").sources)


@pytest.mark.parametrize("verb", ["build-dataset", "aggregate-spark"])
def test_a_raw_directory_that_generate_has_not_finished_is_refused(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    flags = ["--interactions", "300", "--queries", "30", "--items", "20", "--seed", "1"]
    assert run_command(dispatch, ["generate", *flags, "--output", str(raw)]) == 0
    (raw / "manifest.json").rename(raw / ".unfinished")
    capsys.readouterr()
    arguments = [verb, "--spec", "synthetic", "--raw", str(raw), "--output", str(tmp_path / "output")]
    assert run_command(dispatch, arguments) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: --raw: expected finished raw logs, but {raw} has no manifest.json: convert or generate has left it "
        "unfinished or still writes it; make it again, or wait until it is made"
    )
    assert not (tmp_path / "output").exists()


def test_a_raw_directory_whose_mark_alone_was_left_is_finished(tmp_path: Path) -> None:
    for name in ("interactions-0.jsonl.gz", "items-0.jsonl.gz", ".unfinished", "manifest.json"):
        (tmp_path / name).write_bytes(b"x")
    assert len(find_inputs(load_spec("debian"), str(tmp_path), window=DataWindow()).files) == 2
    (tmp_path / "manifest.json").unlink()
    absolute = [f"sources.{name}.path={tmp_path}/{name}-*" for name in ("interactions", "items")]
    assert len(find_inputs(load_spec("debian", absolute), str(tmp_path), window=DataWindow()).files) == 2
    for one in absolute:  # the other path needs it
        with pytest.raises(StageError, match=r"^--raw: expected finished raw logs, but "):
            find_inputs(load_spec("debian", [one]), str(tmp_path), window=DataWindow())


def test_sources_in_bigquery_have_numbers_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "items-0.jsonl.gz").write_bytes(b"x")
    log = ["sources.interactions={path: null, query: select 1}"]
    names = find_inputs(load_spec("debian", log), str(tmp_path), window=DataWindow()).names
    assert {number: file.name for number, file in names.items()} == {
        0: "sources.interactions.query",
        1: "items-0.jsonl.gz",
    }


MIB = 1 << 20


def log_of(*files: tuple[str, int]) -> Inputs:
    log = [
        InputFile(path=n, name=n, size=size, number=i, format=FORMATS[n.split(".")[1]])
        for i, (n, size) in enumerate(files)
    ]
    return Inputs(log, {}, [])


FORMATS: dict[str, Format] = {"jsonl": "jsonl", "csv": "csv", "parquet": "parquet", "avro": "avro"}


@pytest.mark.parametrize(
    ("files", "shards"),
    [
        ([("a.jsonl", 1)], 8),
        ([("a.jsonl", 512 * MIB)], 8),
        ([("a.jsonl", 256 * MIB), ("b.jsonl", 256 * MIB + 1)], 16),
        ([("a.jsonl.gz", 85 * MIB)], 8),  # of JSON lines six times as much, 510 MiB
        ([("a.jsonl.gz", 86 * MIB)], 16),
        ([("a.parquet", 51 * MIB)], 8),  # ten times as much
        ([("a.parquet", 52 * MIB)], 16),
        ([("a.csv", 256 * MIB)], 8),  # twice as much
        ([("a.csv", 257 * MIB)], 16),
        ([("a.avro", 85 * MIB)], 8),  # as of a compressed file
        ([("a.avro", 86 * MIB)], 16),
        ([("a.jsonl", 512 * MIB), ("b.jsonl.gz", 512 * MIB), ("c.parquet", 512 * MIB)], 136),
    ],
)
def test_shards_of_64_mib_of_json_lines_in_multiples_of_the_streams(files: list[tuple[str, int]], shards: int) -> None:
    assert log_of(*files).shards(None) == shards


def test_a_table_larger_than_the_log_makes_as_many_shards_as_a_log_of_its_size() -> None:
    inputs = log_of(("a.jsonl", 1))
    inputs.tables["queries"] = log_of(("q.jsonl", 512 * MIB)).log
    inputs.tables["items"] = log_of(("i.parquet", 100 * MIB), ("j.parquet", 100 * MIB)).log
    assert inputs.shards(None) == 32
    assert inputs.shards(3) == 3


def test_the_wanted_number_of_shards_goes_before_the_size() -> None:
    assert log_of(("a.jsonl", 1 << 40)).shards(3) == 3


def test_the_size_of_items_in_bigquery_is_not_known() -> None:
    inputs = log_of(("a.jsonl", 1))
    inputs.tables["items"] = log_of(("i.csv", 3)).log
    assert inputs.item_bytes == 6
    inputs.tables["items"] = [
        InputFile(path="bq://p.d.items", name="bq://p.d.items", size=0, number=1, format="bigquery")
    ]
    assert inputs.item_bytes is None


def test_files_that_have_another_name_or_size_are_another_input() -> None:
    files = [("a.jsonl", 1), ("b.jsonl", 2)]
    assert log_of(*files).digest == log_of(*files).digest
    others = {log_of(("a.jsonl", 1), other).digest for other in (("b.jsonl", 3), ("c.jsonl", 2))}
    for number in (1, 2):  # those of a table, and what BigQuery is asked, too
        with_table, asked = log_of(*files), f"select {number}"
        with_table.tables["items"] = log_of(("i.csv", number)).log
        others.add(with_table.digest)
        file = InputFile(path="k.query", name="k.query", size=0, number=0, format="bigquery", query=asked)
        others.add(Inputs([file], {}, []).digest)
    assert len({log_of(*files).digest, *others}) == 7


def test_files_are_numbered_through_all_sources(tmp_path: Path) -> None:
    names = [f"{table}-{part}.jsonl.gz" for table in ("interactions", "items") for part in (0, 1)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    found = find_inputs(load_spec("debian"), str(tmp_path), window=DataWindow())
    assert [(file.number, file.name) for file in found.files] == list(enumerate(names))


def test_a_day_may_be_missing_by_a_glob_in_place_of_date(tmp_path: Path) -> None:
    for name in ("interactions-2024-01-01.jsonl.gz", "items-0.jsonl.gz"):
        (tmp_path / name).write_bytes(b"x")
    window = window_of({"data_start": "2024-01-01", "data_end": "2024-01-03"})

    def find(day: str) -> list[str]:
        path = f"sources.interactions.path=interactions-{day}.jsonl.gz"
        spec = load_spec("debian", ["sources.interactions.timestamp=time", path])
        return [file.name for file in find_inputs(spec, str(tmp_path), window=window).log]

    with pytest.raises(
        StageError,
        match=r"2024-01-02\.jsonl\.gz, found none .* still to come, .*\.days_off; .* place of {date} reads all days",
    ):
        find("{date}")  # the first day's file is no name that was meant
    assert find("*") == ["interactions-2024-01-01.jsonl.gz"]


def test_days_off_may_have_no_file_but_not_all_days_of_a_window(tmp_path: Path) -> None:
    (tmp_path / "items-0.jsonl.gz").write_bytes(b"x")
    (tmp_path / "2024-01-01").mkdir()
    log = tmp_path / "2024-01-01/a.jsonl"
    log.write_bytes(b"x")

    def find(*days_off: str) -> list[str]:
        keys = ("timestamp=time", "path='{date}/*'", f"days_off={[*days_off]}")
        spec = load_spec("debian", [f"sources.interactions.{key}" for key in keys])
        window = window_of({"data_start": "2024-01-01", "data_end": "2024-01-04"})  # Monday to Wednesday
        return [file.name for file in find_inputs(spec, str(tmp_path), window=window).log]

    assert find("tuesday", "2024-01-03") == ["2024-01-01/a.jsonl"]
    with pytest.raises(StageError, match=r"2024-01-03/\*, found none .*\.days_off;"):
        find("tuesday")
    log.unlink()
    with pytest.raises(StageError) as caught:
        find("monday", "tuesday", "wednesday")
    assert str(caught.value) == (
        "sources.interactions.path: expected files of some day of the window, found none, and all are days_off"
    )
    (tmp_path / "2024-01-02/hour=7").mkdir(parents=True)
    (tmp_path / "2024-01-02/hour=7/a.jsonl").write_bytes(b"x")
    with pytest.raises(StageError, match=r"2024-01-02/\*, found none .* further down: write /\*\* in place of /\*"):
        find("monday", "tuesday", "wednesday")


def test_a_file_of_two_days_is_refused_since_its_lines_would_be_read_twice(tmp_path: Path) -> None:
    names = ["interactions-2024-01-01.jsonl.gz", "interactions-2024-01-01-to-2024-01-02.jsonl.gz", "items-0.jsonl.gz"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    path = "interactions-*{date}*.jsonl.gz"
    spec = load_spec("debian", ["sources.interactions.timestamp=time", f"sources.interactions.path={path}"])
    day = 86_400_000_000
    first = 19_723 * day  # 2024-01-01 UTC
    for start, files in ((first, names[:2]), (first + day, names[1:2])):
        found = find_inputs(spec, str(tmp_path), window=DataWindow(start, start + day))
        assert sorted(file.name for file in found.log) == sorted(files)
    with pytest.raises(StageError) as caught:
        find_inputs(spec, str(tmp_path), window=DataWindow(first, first + 2 * day))
    assert str(caught.value) == (
        "sources.interactions.path: expected each file in one partition of interactions-*{date}*.jsonl.gz, but "
        f"{tmp_path}/interactions-2024-01-01-to-2024-01-02.jsonl.gz is of two, so that its lines would be read "
        "twice; write a path whose {date} stands in one place of a name, as date={date}/*"
    )


@pytest.mark.parametrize(
    ("path", "links", "second", "first"),
    [
        ("date=*/*", {"date=latest": "date=2024-01-02"}, "date=latest/a.jsonl", "date=2024-01-02/a.jsonl"),
        ("date={date}/*", {"date=2024-01-03": "date=2024-01-02"}, "date=2024-01-03/a.jsonl", "date=2024-01-02/a.jsonl"),
        (
            "date=2024-01-02/*",
            {"date=2024-01-02/b.jsonl": "a.jsonl"},
            "date=2024-01-02/b.jsonl",
            "date=2024-01-02/a.jsonl",
        ),
    ],
)
def test_a_file_of_two_names_is_refused_where_both_are_read(
    tmp_path: Path, path: str, links: dict[str, str], second: str, first: str
) -> None:
    (tmp_path / "date=2024-01-02").mkdir()
    for name in ("date=2024-01-02/a.jsonl", "items-0.jsonl.gz"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "date=2024-01-02/empty.jsonl").touch()
    (tmp_path / "date=2024-01-02/empty-too.jsonl").symlink_to("empty.jsonl")
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    (tmp_path / "_kept").symlink_to("date=2024-01-02")
    spec = load_spec("debian", ["sources.interactions.timestamp=time", f"sources.interactions.path={path}"])
    window = DataWindow(19_724 * 86_400_000_000, 19_726 * 86_400_000_000)  # 2024-01-02 and 03 UTC
    with pytest.raises(StageError) as caught:
        find_inputs(spec, str(tmp_path), window=window)
    assert str(caught.value) == (
        f"sources.interactions.path: {tmp_path}/{second}: expected another file than {tmp_path}/{first}, but links "
        f"lead from both to the same one, which would be read twice; remove a link, or write {path} so that it matches "
        "one of them"
    )


def test_of_a_table_by_date_links_between_days_that_are_not_read_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "date=2024-01-02").mkdir()
    for name in ("interactions-0.jsonl.gz", "date=2024-01-02/a.jsonl"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("date=latest", "date=2024-01-03"):  # the second is a snapshot carried over
        (tmp_path / name).symlink_to("date=2024-01-02")
    spec = load_spec("debian", ["sources.items.path=date={date}/*"])
    inputs = find_inputs(spec, str(tmp_path), window=DataWindow())
    assert [file.name for file in inputs.tables["items"]] == ["date=2024-01-03/a.jsonl"]


def test_a_local_build_has_to_have_room_for_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = log_of(("a.jsonl", 10**9))
    inputs.tables["items"] = log_of(("i.csv", 10**9)).log
    for free in (None, 7_900_000_000):  # 1.9 GB, and twice the 3 GB that it all has as JSON lines
        monkeypatch.setattr("pipelines.aggregation.local_memory.available", lambda free=free: free)
        check_memory(inputs.needed_bytes)
    monkeypatch.setattr("pipelines.aggregation.local_memory.available", lambda: 7_899_999_999)
    with pytest.raises(StageError, match=r"^this input needs about 7 GiB of memory"):
        check_memory(inputs.needed_bytes)


def test_splits_that_have_no_line_are_wrong_use_before_the_input_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--raw", str(tmp_path / "none"), "--output", str(tmp_path / "dataset")]
    options = ["--data-start", "2009-07-01", "--data-end", "2009-07-03", "--test-start", "2009-07-05"]
    assert run_command(dispatch, ["build-dataset", "--spec", "wikispeedia-daily", *where, *options]) == 2
    assert capsys.readouterr().err == (
        "error: --data-end: expected a time after 2009-07-05T00:00:00+00:00, where the test split begins (--test-start "
        "or split.test_start), got 2009-07-03T00:00:00+00:00\n"
    )


def test_vectors_in_parquet_are_reckoned_by_their_numbers_and_in_json_lines_twice(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).random((1000, 100))
    (tmp_path / "log.jsonl").write_text('{"query": "q1", "item": "i1"}\n')
    flags = ["item.features={item: {kind: id}, of_text: {kind: vector, size: 100}}", "query.features={q: {kind: id}}"]
    flags += ["sources={interactions: {path: log.jsonl, timestamp: t}, items: {path: items*, id: item}}"]
    spec = load_spec("synthetic", flags)
    for kind in (pa.float32(), pa.float64()):
        lists = pa.array(list(numbers), pa.list_(kind))
        pq.write_table(pa.table({"item": [f"i{n}" for n in range(1000)], "of_text": lists}), tmp_path / "items.parquet")
        # 40 bytes for each of 100,000 numbers; what else the file holds, less than 40 kB, stands for 20 bytes a byte.
        of_table = find_inputs(spec, str(tmp_path), window=DataWindow()).needed_bytes - 1_900_000_000
        assert 4_000_000 < of_table < 4_800_000
    (tmp_path / "items.parquet").write_bytes(b"damaged")  # seven bytes, of ten bytes of JSON lines each, twice
    assert find_inputs(spec, str(tmp_path), window=DataWindow()).needed_bytes == 1_900_000_000 + 2 * (30 + 70)
    (tmp_path / "items.parquet").rename(tmp_path / "items.jsonl")
    assert find_inputs(spec, str(tmp_path), window=DataWindow()).needed_bytes == 1_900_000_000 + 2 * (30 + 14)
