"""Days of a log in the window, and what is read of each."""

from datetime import UTC, datetime

import pytest
from small_specs import small_spec

from features.data_window import DataWindow
from pipelines.aggregation.inputs import find_inputs
from pipelines.aggregation.partitions import Partition, WindowDay, log_patterns
from stage.errors import UsageError


def at(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000


def test_a_path_without_a_date_is_taken_as_it_is():
    assert log_patterns("log-*.jsonl", DataWindow()) == {"log-*.jsonl": None}


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (at(2024, 2, 28), at(2024, 3, 1), {"2024-02-28": (True, True), "2024-02-29": (True, True)}),
        (
            at(2024, 2, 28) + 1,
            at(2024, 3, 1) + 1,
            {"2024-02-28": (False, True), "2024-02-29": (True, False), "2024-03-01": (False, True)},
        ),
        (at(2024, 1, 1), at(2024, 1, 1) + 1, {"2024-01-01": (False, False)}),
        (at(2024, 1, 1), at(2024, 1, 2), {"2024-01-01": (True, False)}),
        (at(9999, 12, 31), at(9999, 12, 31) + 1, {"9999-12-31": (False, False)}),
    ],
)
def test_a_log_is_read_day_by_day_of_the_half_open_window(start, end, days):
    found = log_patterns("date={date}/log-*.gz", DataWindow(start, end))
    assert found == {
        f"date={day}/log-*.gz": WindowDay(is_whole=is_whole, is_outer=is_outer)
        for day, (is_whole, is_outer) in days.items()
    }


@pytest.mark.parametrize(
    ("days_off", "off"),
    [
        ([], []),
        (["sunday"], ["2024-02-25"]),
        (["2024-02-26", "2023-02-25", "wednesday"], ["2024-02-26", "2024-02-28"]),
    ],
)
def test_days_off_are_weekdays_and_days(days_off: list[str], off: list[str]) -> None:
    window = DataWindow(at(2024, 2, 25), at(2024, 2, 29))  # Sunday to Wednesday
    found = log_patterns("{date}", window, days_off=days_off)
    assert [day for day, known in found.items() if known is not None and known.is_off] == off


@pytest.mark.parametrize(("start", "end"), [(None, None), (0, None), (None, 0)])
def test_a_log_by_date_needs_a_window(start, end):
    with pytest.raises(UsageError) as caught:
        log_patterns("{date}/log", DataWindow(start, end))
    assert str(caught.value) == "sources.interactions.path: {date}/log needs --data-start and --data-end"


def test_a_log_and_a_table_of_one_path_have_a_partition_each(tmp_path):
    (tmp_path / "2024-01-01.jsonl").write_text("{}")
    spec = small_spec(log={"path": "{date}.jsonl", "timestamp": "at"}, sources={"items": {"path": "{date}.jsonl"}})
    found = find_inputs(spec, str(tmp_path), window=DataWindow(at(2024, 1, 1), at(2024, 1, 2)))
    name, files = "2024-01-01.jsonl", (f"{tmp_path}/2024-01-01.jsonl",)
    assert found.partitions == [
        Partition("log", name, files, WindowDay(is_whole=True, is_outer=False)),
        Partition("items", name, files),
    ]
