"""Rows of a log: each rule that rejects or filters one."""

import json

import numpy as np
import pyarrow as pa
import pytest

from features.data_window import DataWindow
from features.interactions import raw_columns, reject_bad_lines, validate_lines
from features.parsing.parsed_lines import BadLine
from features.spec.features import Side
from features.spec.sources import InteractionSource


def source(**keys):
    return InteractionSource.model_validate({"path": "x", "timestamp": "timestamp", **keys})


def validate(rows, *, window=DataWindow(), needs_time=False, test_start=None, **keys):  # noqa: B008
    log = source(**keys)
    batch = pa.RecordBatch.from_pylist(rows, schema=raw_columns(log, Side()))
    places = np.arange(100, 100 + len(rows))
    flags = {"needs_time": needs_time, "test_start": test_start}
    return validate_lines(batch, places, source=log, window=window, context=Side(), **flags)


def row(query_id="q", item_id="i", event="e", timestamp=1.0):
    return {"query_id": query_id, "item_id": item_id, "event": event, "timestamp": timestamp}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(query_id=None), "missing_query_id"),
        (row(query_id=""), "missing_query_id"),
        (row(query_id="a\nb"), "bad_query_id"),
        (row(query_id="a\x7f"), "bad_query_id"),
        (row(query_id="é" * 513), "bad_query_id"),
        (row(item_id=None), "missing_item_id"),
        (row(item_id=""), "missing_item_id"),
        (row(item_id="\x00"), "bad_item_id"),
        (row(event=None), "missing_event"),
        (row(event=""), "missing_event"),
        (row(timestamp=-1.0), "bad_timestamp"),
        (row(timestamp=float("nan")), "bad_timestamp"),
        (row(timestamp=float("inf")), "bad_timestamp"),
        (row(timestamp=7258118400.0), "bad_timestamp"),  # 2200-01-01
        (row(timestamp=None), "missing_timestamp"),
        # The first broken rule is the reason.
        (row(query_id=None, item_id=None, event=None, timestamp=-1.0), "missing_query_id"),
        (row(query_id="\t", item_id=None), "bad_query_id"),
        (row(item_id="\t", event=None), "bad_item_id"),
        (row(event=None, timestamp=-1.0), "missing_event"),
    ],
)
def test_a_line_is_rejected_for_the_first_rule_it_breaks(bad, reason):
    outcome = validate([row(), bad, row()], needs_time=True)
    assert outcome.rejected.column("reason").to_pylist() == [reason]
    assert outcome.rejected.column("place").to_pylist() == [101]
    assert outcome.rejected.column("lines").to_pylist() == [1]
    assert outcome.kept.column("place").to_pylist() == [100, 102]
    assert outcome.filtered.total() == 0


@pytest.mark.parametrize(
    "good", [row(query_id="é" * 512), row(item_id=" "), row(timestamp=0.0), row(timestamp=7258118399.0)]
)
def test_a_line_at_the_edge_of_a_rule_is_kept(good):
    outcome = validate([good], needs_time=True)
    assert (outcome.kept.num_rows, outcome.rejected.num_rows) == (1, 0)


def test_a_line_without_a_time_is_kept_where_none_is_needed():
    outcome = validate([row(timestamp=None)])
    assert outcome.kept.column("timestamp").to_pylist() == [None]


def test_the_content_of_a_rejected_line_names_its_values():
    content = validate([row(query_id="bad\x00", item_id="good")]).rejected.column("content")[0].as_py()
    found = json.loads(content)
    assert (found["query_id"], found["item_id"]) == ("bad\x00", "good")
    long = validate([row(query_id="x" * 9000)]).rejected.column("content")[0].as_py()
    assert (len(long), long[:15]) == (4096, b'{"query_id": "x')


def test_only_positive_events_are_kept_and_a_rejected_line_is_not_filtered_too():
    rows = [row(event="install"), row(event="view"), row(event="view", query_id=""), row(event="buy")]
    outcome = validate(rows, positive_events=["install", "buy"])
    assert outcome.kept.column("event").to_pylist() == ["install", "buy"]
    assert dict(outcome.filtered) == {"not_positive": 1}
    assert outcome.rejected.num_rows == 1


def test_lines_are_counted_by_positive_event_whatever_becomes_of_them():
    rows = [row(event="buy"), row(event="buy", query_id=""), row(event="view"), row(event=None), row(event="Buy")]
    assert validate(rows, positive_events=["install", "buy", "buy"]).positive == {"install": 0, "buy": 2}
    assert validate([], positive_events=["install"]).positive == {"install": 0}
    assert validate(rows, positive_events=[]).positive == {}


def test_other_events_are_counted_where_no_good_line_has_a_positive_one():
    rows = [row(event=event) for event in ("view", "a", "view", "c", "b", "c")]
    bad = row(event="buy", query_id="")
    assert validate([*rows, bad, bad], positive_events=["buy"]).others == {"c": 2, "view": 2, "a": 1}
    assert validate([*rows, row(event="buy")], positive_events=["buy"]).others == {}
    assert validate(rows, positive_events=[]).others == {}


def test_events_of_the_test_s_time_are_counted_the_commonest_of_those_that_are_not_positive():
    late = [(event, 9.0) for event in ("view", "a", "view", "c", "b", "c", "buy")]
    rows = [row(event=event, timestamp=at) for event, at in [*late, ("b", 8.9), ("buy", 8.9), ("b", 20.0)]]
    bad = row(event="b", timestamp=9.0, query_id="")
    events, window = {"positive_events": ["buy"], "needs_time": True}, DataWindow(None, 20_000_000)
    outcome = validate([*rows, bad, bad], window=window, test_start=9_000_000, **events)
    assert outcome.positive_in_test == 1
    assert outcome.others_in_test == {"c": 2, "view": 2, "a": 1}
    for found in (validate(rows, **events), validate(rows, test_start=9_000_000)):
        assert (found.positive_in_test, found.others_in_test) == (0, {})


@pytest.mark.parametrize("absent", [None, ""])
def test_an_empty_text_is_no_time_rather_than_a_bad_one(absent):
    rows = [row(timestamp=absent), row(timestamp="1970-01-01T00:00:01Z"), row(timestamp=" ")]
    outcome = validate(rows, timestamp_unit="iso")
    assert outcome.kept.column("place").to_pylist() == [100, 101]
    assert outcome.rejected.column("reason").to_pylist() == ["bad_timestamp"]
    outcome = validate(rows, timestamp_unit="iso", needs_time=True)
    assert outcome.rejected.column("reason").to_pylist() == ["missing_timestamp", "bad_timestamp"]


def test_a_log_without_events_and_times_is_all_positive():
    outcome = validate([{"query_id": "q", "item_id": "i"}], event=None, timestamp=None)
    assert outcome.kept.to_pylist() == [
        {"query_id": "q", "item_id": "i", "event": None, "timestamp": None, "place": 100}
    ]


def test_the_window_is_half_open_and_lets_lines_without_a_time_pass():
    rows = [row(timestamp=t) for t in (9.999999, 10.0, 19.999999, 20.0, None)]
    outcome = validate(rows, window=DataWindow(10_000_000, 20_000_000))
    assert outcome.kept.column("place").to_pylist() == [101, 102, 104]
    assert dict(outcome.filtered) == {"outside_window": 2}


def test_a_line_that_is_not_positive_is_not_counted_as_outside_the_window_too():
    rows = [row(event="view", timestamp=5.0), row(event="buy", timestamp=5.0)]
    outcome = validate(rows, window=DataWindow(10_000_000, None), positive_events=["buy"])
    assert dict(outcome.filtered) == {"not_positive": 1, "outside_window": 1}


def test_good_lines_in_and_outside_of_the_window_are_counted_whatever_their_event():
    rows = [row(timestamp=9.0), row(timestamp=11.0), row(event="see", timestamp=12.0), row(event="see", timestamp=8.0)]
    rows += [row(event="see", timestamp=30.0), row(query_id=None, timestamp=11.0), row(item_id=None, timestamp=9.0)]
    outcome = validate(rows, window=DataWindow(10_000_000, 20_000_000), positive_events=["e"])
    assert (outcome.inside, outcome.outside) == (2, 3)


def test_lines_that_gave_no_row_stand_at_their_place_with_so_much_of_what_they_said():
    found = reject_bad_lines([BadLine(7, "not_json", b"{"), BadLine(90, "invalid_utf8", b"\xff" * 9000)], 1 << 40)
    assert found.to_pylist() == [
        {"reason": "not_json", "place": (1 << 40) + 7, "lines": 1, "content": b"{"},
        {"reason": "invalid_utf8", "place": (1 << 40) + 90, "lines": 1, "content": b"\xff" * 4096},
    ]


def test_no_rows_give_no_lines():
    outcome = validate([])
    assert (outcome.kept.num_rows, outcome.rejected.num_rows, outcome.filtered.total()) == (0, 0, 0)


def test_two_features_of_the_context_may_read_one_column():
    kinds = {"words": {"kind": "text", "column": "search"}, "search": {"kind": "categorical"}}
    context = Side.model_validate({"features": kinds})
    columns = raw_columns(source(), context)
    assert columns.names == ["query_id", "item_id", "event", "timestamp", "search"]
    batch = pa.RecordBatch.from_pylist([row() | {"search": "red shoes"}], schema=columns)
    found = validate_lines(
        batch, np.arange(1), source=source(), window=DataWindow(), needs_time=True, context=context, test_start=None
    )
    (line,) = found.kept.to_pylist()
    assert (line["feature/words"], line["feature/search"]) == ("red shoes", "red shoes")


@pytest.mark.parametrize(("zone", "mark"), [(None, ""), ("UTC", "Z"), ("Mars/Olympus", "Z")])
def test_a_time_beyond_what_python_holds_costs_its_line_alone(zone, mark):
    times = pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("us", zone))
    rows = pa.RecordBatch.from_pydict(
        {"query_id": ["q", "r"], "item_id": ["i", "j"], "event": ["e", "f"], "timestamp": times}
    )
    log = source(timestamp_unit="us")
    outcome = validate_lines(
        rows, np.arange(2), source=log, window=DataWindow(), needs_time=True, context=Side(), test_start=None
    )
    assert outcome.rejected.column("reason").to_pylist() == ["bad_timestamp"]
    assert json.loads(outcome.rejected.column("content")[0].as_py()) == {
        "query_id": "r",
        "item_id": "j",
        "event": "f",
        "timestamp": f"<value out of range: 4611686018427387904>{mark}",
    }
