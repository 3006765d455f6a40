"""Which partition of a table by date is read."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from small_specs import small_spec

from features.data_window import DataWindow
from features.spec.sources import Sources
from pipelines.aggregation.inputs import find_inputs
from pipelines.aggregation.table_day import TableDay, table_day, tell_table_days
from stage.errors import StageError


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def raw(tmp_path):
    for day in ("2024-01-01", "2024-01-05", "2024-01-09", "latest"):
        (tmp_path / f"date={day}").mkdir()
        (tmp_path / f"date={day}" / "items-0.jsonl").write_text("{}\n")
    (tmp_path / "date=2024-01-07").mkdir()  # without the table
    return str(tmp_path)


def test_a_day_that_stands_twice_in_a_table_s_path_is_one(tmp_path):
    for of_directory, of_file in (("2024-01-09", "2024-01-08"), ("2024-01-08", "2024-01-08")):
        (tmp_path / of_directory).mkdir()
        (tmp_path / of_directory / f"items-{of_file}.jsonl").write_text("{}")
    found = table_day(f"{tmp_path}/{{date}}/items-{{date}}.jsonl", end=None, key="k")
    assert found == TableDay("2024-01-08")


@pytest.mark.parametrize(
    ("end", "day"),
    [
        (None, "2024-01-09"),
        (at(2024, 1, 9) + 1, "2024-01-09"),
        (at(2024, 1, 9), "2024-01-05"),  # whether or not that of 9 January has come
        (at(2024, 1, 4, 23), "2024-01-01"),
    ],
)
def test_a_table_is_its_last_partition_up_to_the_window_s_last_day(raw, end, day):
    assert table_day(f"{raw}/date={{date}}/items-*.jsonl", end=end, key="k") == TableDay(day)


@pytest.mark.parametrize("pattern", ["date={date}/items-?.jsonl", "date={date}/items-[0-9].*", "date={date}/**"])
def test_a_partition_is_found_by_every_kind_of_glob(raw, pattern):
    assert table_day(f"{raw}/{pattern}", end=None, key="k") == TableDay("2024-01-09")


@pytest.mark.parametrize("pattern", ["**/{date}.parquet", "*/*/{date}.parquet"])
def test_a_later_day_that_is_a_directory_is_found_at_any_depth(tmp_path, pattern):
    for name in ("x/y/2024-01-01.parquet", "x/y/2024-01-02.parquet/part-0.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert table_day(f"{tmp_path}/{pattern}", end=None, key="k") == TableDay("2024-01-02")


@pytest.mark.parametrize(("name", "content"), [("items-0.jsonl", ""), ("_temporary/items-0.jsonl", "{}\n")])
def test_a_later_partition_of_empty_or_hidden_files_is_passed_over_and_told(raw, name, content):
    for day in ("2023-12-30", "2024-01-06", "2024-01-08", "2024-01-09"):
        (Path(raw) / f"date={day}" / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(raw) / f"date={day}" / name).write_text(content)
    full = f"{raw}/date={{date}}/**"
    taken = table_day(full, end=at(2024, 1, 9), key="k")
    assert taken == TableDay("2024-01-05", f"{raw}/date=2024-01-08/{name}")
    (Path(raw) / "date=2024-01-08" / "items-1.jsonl").write_text("{}\n")
    assert table_day(full, end=at(2024, 1, 9), key="k") == TableDay("2024-01-08")
    with pytest.raises(StageError) as caught:
        table_day(full, end=at(2024, 1, 1), key="k")
    assert str(caught.value) == (
        f"k: expected a partition of {full} not after 2023-12-31, found none but empty or hidden files, such as "
        f"{raw}/date=2023-12-30/{name}"
    )


def test_the_last_partition_is_that_of_the_latest_day_whatever_stands_before_it(tmp_path):
    def add(directory, content):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "items").write_text(content)

    for directory in ("a/date=2024-01-09", "b/date=2024-01-05"):
        add(directory, "{}")
    full = f"{tmp_path}/*/date={{date}}/*"
    assert table_day(full, end=None, key="k") == TableDay("2024-01-09")
    for directory in ("a/date=2024-01-11", "b/date=2024-01-06"):
        add(directory, "")
    assert table_day(full, end=None, key="k") == TableDay("2024-01-09", f"{tmp_path}/a/date=2024-01-11/items")


@pytest.mark.parametrize(
    ("of_files", "said"),
    [
        ("{date}.parquet", "expected a file or a glob, found a directory; write 2024-01-02.parquet/*.parquet"),
        ("{date}.p*t", "2024-01-02.p*t matches a directory too, that of RAW/2024-01-02.parquet/0.parquet, "),
    ],
)
def test_a_later_day_that_is_a_directory_is_refused_rather_than_passed_over(tmp_path, of_files, said):
    (tmp_path / "log.jsonl").write_text("{}")
    (tmp_path / "2024-01-01.parquet").write_text("rows")
    (tmp_path / "2024-01-02.parquet").mkdir()
    spec = small_spec(log={"path": "log.jsonl"}, sources={"items": {"path": of_files}})
    (tmp_path / "2024-01-02.parquet/_SUCCESS").write_text("x")
    found = find_inputs(spec, str(tmp_path), window=DataWindow())
    assert found.table_days == {"items": TableDay("2024-01-01", f"{tmp_path}/2024-01-02.parquet/_SUCCESS")}
    (tmp_path / "2024-01-02.parquet/0.parquet").write_text("rows")
    with pytest.raises(StageError) as caught:
        find_inputs(spec, str(tmp_path), window=DataWindow())
    assert said in str(caught.value).replace(str(tmp_path), "RAW")
    before = find_inputs(spec, str(tmp_path), window=DataWindow(None, at(2024, 1, 2)))
    assert before.table_days == {"items": TableDay("2024-01-01")}


def test_what_lies_below_a_day_beside_its_files_is_not_looked_at(tmp_path):
    for day in ("2024-01-01", "2024-01-02"):
        (tmp_path / day / "notes").mkdir(parents=True)
        (tmp_path / day / "items.csv").write_text("rows")
        (tmp_path / day / "notes/link").symlink_to("/gone")  # which is refused where it may be read
    assert table_day(f"{tmp_path}/{{date}}/*", end=None, key="k") == TableDay("2024-01-02")
    assert table_day(f"{tmp_path}/{{date}}/*.csv", end=None, key="k") == TableDay("2024-01-02")


def test_no_partition_up_to_the_last_day_is_an_error_that_says_so(raw):
    pattern = "date={date}/items-*.jsonl"
    with pytest.raises(StageError) as caught:
        table_day(f"{raw}/{pattern}", end=at(2024, 1, 1), key="sources.items.path")
    assert str(caught.value) == (
        f"sources.items.path: expected a partition of {raw}/{pattern} not after 2023-12-31, found none"
    )


STALE = (
    "warning: sources.items.path: expected a partition of 2024-01-09, the window's last day, but the latest that has "
    "files is of 2024-01-08, and is taken; if a later one is still to come, build again then; if none is, "
    "sources.items.max_age_days allows for it\n"
)
STALE_OF_A_WEEK = STALE.replace("the window's last day", "max_age_days (6) before the window's last day, or later")


def table(**keys):
    return Sources(interactions={"path": "log"}, items={"path": "date={date}/items", **keys})


@pytest.mark.parametrize(
    ("day", "end", "max_age", "said"),
    [
        ("2024-01-08", at(2024, 1, 10), 0, STALE),
        ("2024-01-08", at(2024, 1, 9) + 1, 0, STALE),
        ("2024-01-08", at(2024, 1, 9), 0, "sources.items.path: takes the partition of 2024-01-08\n"),
        ("2024-01-08", None, 0, "sources.items.path: takes the partition of 2024-01-08\n"),
        ("2024-01-08", at(2024, 1, 15), 6, "sources.items.path: takes the partition of 2024-01-08\n"),
        ("2024-01-08", at(2024, 1, 16), 6, STALE_OF_A_WEEK),
    ],
)
def test_of_a_table_it_is_told_which_day_is_read_and_whether_it_is_too_old(capsys, day, end, max_age, said):
    tell_table_days({"items": TableDay(day)}, table(max_age_days=max_age), end=end)
    assert capsys.readouterr().err == said


def test_a_later_partition_that_is_passed_over_is_named(capsys):
    found = {"items": TableDay("2024-01-08", "gs://b/2024-01-09/_tmp/0.parquet")}
    later = "; of a later one all files are empty or hidden, such as gs://b/2024-01-09/_tmp/0.parquet"
    tell_table_days(found, table(), end=at(2024, 1, 9))
    assert capsys.readouterr().err == f"sources.items.path: takes the partition of 2024-01-08{later}\n"
    tell_table_days(found, table(), end=at(2024, 1, 10))
    assert capsys.readouterr().err == STALE.replace("; if a", f"{later}; if a")
