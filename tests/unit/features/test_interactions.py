"""Rows of a log: each rule that rejects or filters one, and times in every unit."""

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from features.interactions import Window, raw_columns, reject_bad_lines, to_microseconds, validate_lines
from features.parsed_lines import BadLine
from features.spec_features import Side
from features.spec_sources import InteractionSource


def source(**keys):
    return InteractionSource.model_validate({"path": "x", "timestamp": "timestamp", **keys})


def validate(rows, *, window=Window(), needs_time=False, **keys):  # noqa: B008
    log = source(**keys)
    batch = pa.RecordBatch.from_pylist(rows, schema=raw_columns(log))
    places = np.arange(100, 100 + len(rows))
    return validate_lines(batch, places, source=log, window=window, needs_time=needs_time)


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


def test_a_log_without_events_and_times_is_all_positive():
    outcome = validate([{"query_id": "q", "item_id": "i"}], event=None, timestamp=None)
    assert outcome.kept.to_pylist() == [
        {"query_id": "q", "item_id": "i", "event": None, "timestamp": None, "place": 100}
    ]


def test_the_window_is_half_open_and_lets_lines_without_a_time_pass():
    rows = [row(timestamp=t) for t in (9.999999, 10.0, 19.999999, 20.0, None)]
    outcome = validate(rows, window=Window(10_000_000, 20_000_000))
    assert outcome.kept.column("place").to_pylist() == [101, 102, 104]
    assert dict(outcome.filtered) == {"outside_window": 2}


def test_a_line_that_is_not_positive_is_not_counted_as_outside_the_window_too():
    rows = [row(event="view", timestamp=5.0), row(event="buy", timestamp=5.0)]
    outcome = validate(rows, window=Window(10_000_000, None), positive_events=["buy"])
    assert dict(outcome.filtered) == {"not_positive": 1, "outside_window": 1}


def test_good_lines_in_and_outside_of_the_window_are_counted_whatever_their_event():
    rows = [row(timestamp=9.0), row(timestamp=11.0), row(event="see", timestamp=12.0), row(event="see", timestamp=8.0)]
    rows += [row(event="see", timestamp=30.0), row(query_id=None, timestamp=11.0), row(item_id=None, timestamp=9.0)]
    outcome = validate(rows, window=Window(10_000_000, 20_000_000), positive_events=["e"])
    assert (outcome.inside, outcome.outside) == (2, 3)


@pytest.mark.parametrize(("unit", "raw"), [("s", 1248739200.25), ("ms", 1248739200250.0), ("us", 1248739200250000.0)])
@pytest.mark.parametrize("kind", [pa.float64(), pa.int64()])
def test_times_count_from_1970_in_their_unit(unit, raw, kind):
    if kind == pa.int64():
        raw = int(raw)
    fraction = 0 if unit == "s" and kind == pa.int64() else 250_000
    found = to_microseconds(pa.array([raw, None], kind), source(timestamp_unit=unit))
    assert found.to_pylist() == [datetime(2009, 7, 28, 0, 0, 0, fraction), None]


def test_seconds_with_a_fraction_are_rounded_to_the_microsecond():
    # As doubles 1.001 * 1000000 is 1000999.9999999999.
    assert to_microseconds(pa.array([1.001]), source()).to_pylist() == [datetime(1970, 1, 1, 0, 0, 1, 1000)]


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2009-07-28T01:02:03Z", None, "2009-07-28T01:02:03"),
        ("2009-07-28T01:02:03.000004+02:00", None, "2009-07-27T23:02:03.000004"),
        ("2009-07-28 01:02:03-0330", "Asia/Tokyo", "2009-07-28T04:32:03"),
        ("2009-07-28T01:02:03", "Asia/Tokyo", "2009-07-27T16:02:03"),
        ("2009-07-28", "America/New_York", "2009-07-28T04:00:00"),
        ("2009-12-28", "America/New_York", "2009-12-28T05:00:00"),
        ("2024-11-03T01:30:00", "America/New_York", "2024-11-03T05:30:00"),  # of two the first
        ("2009-07-28T01:02:03", None, None),  # no zone named anywhere
        ("0001-01-01T00:00:00+23:59", None, None),
        ("9999-12-31T23:59:59-23:59", None, None),
        ("1969-12-31T23:59:59Z", None, None),
        ("2009-02-30T00:00:00Z", None, None),
        ("yesterday", "Asia/Tokyo", None),
        ("", "Asia/Tokyo", None),
        (None, "Asia/Tokyo", None),
    ],
)
def test_times_as_text_need_a_zone(text, zone, expected):
    found = to_microseconds(pa.array([text], pa.string()), source(timestamp_unit="iso", timezone=zone))
    assert found.to_pylist() == [None if expected is None else datetime.fromisoformat(expected)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_parquet_keep_their_instant_whatever_the_spec_says_of_units(unit):
    instant = datetime(2024, 3, 10, 2, 30, tzinfo=UTC)
    utc = pa.array([instant, None], pa.timestamp(unit, "Europe/Berlin"))
    assert to_microseconds(utc, source(timezone="Asia/Tokyo")).to_pylist() == [instant.replace(tzinfo=None), None]


def test_times_of_parquet_without_a_zone_are_in_the_specs_or_utc():
    naive = pa.array([datetime(2024, 7, 1, 12)], pa.timestamp("ms"))
    assert to_microseconds(naive, source()).to_pylist() == [datetime(2024, 7, 1, 12)]
    assert to_microseconds(naive, source(timezone="Asia/Tokyo")).to_pylist() == [datetime(2024, 7, 1, 3)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_hour_that_a_clock_shows_twice_or_never_is_the_same_instant_in_every_format(unit):
    times = [datetime(2024, 10, 27, 2, 30), datetime(2024, 3, 31, 2, 30), datetime(2024, 3, 31, 2, 45), None]
    naive = pa.array(times, pa.timestamp(unit))
    found = to_microseconds(naive, source(timezone="Europe/Berlin"))
    assert found.to_pylist() == [
        datetime(2024, 10, 27, 0, 30),
        datetime(2024, 3, 31, 1, 30),
        datetime(2024, 3, 31, 1, 45),
        None,
    ]
    texts = pa.array([time and time.isoformat() for time in times])
    assert to_microseconds(texts, source(timezone="Europe/Berlin", timestamp_unit="iso")) == found


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint8()])
def test_whole_numbers_of_any_width_are_times(kind):
    found = to_microseconds(pa.array([0, 100, None], kind), source())
    assert found.to_pylist() == [datetime(1970, 1, 1), datetime(1970, 1, 1, 0, 1, 40), None]


def test_numbers_far_out_of_range_are_no_times():
    # In microseconds the second and the third are 2**62 * 10**6, 0 in 64 bits, and 551616 there.
    whole = pa.array([-1, 2**62, -18446744073709, 7258118400, 7258118399], pa.int64())
    assert [t is None for t in to_microseconds(whole, source()).to_pylist()] == [True, True, True, True, False]
    assert to_microseconds(pa.array([1e300, -1e300]), source(timestamp_unit="us")).to_pylist() == [None, None]


@pytest.mark.parametrize(("unit", "count"), [("s", 18448444073709), ("ms", 18448444073709552), ("us", 2**62)])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_beyond_microseconds_do_not_wrap_into_the_range(unit, count, zone):
    times = pa.array([count, -count, 5, None], pa.int64()).cast(pa.timestamp(unit, zone))
    for named in (None, "Europe/Berlin"):
        found = to_microseconds(times, source(timezone=named)).is_null().to_pylist()
        assert found == [True, True, named is not None and zone is None, True]


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
    found = validate_lines(batch, np.arange(1), source=source(), window=Window(), needs_time=True, context=context)
    (line,) = found.kept.to_pylist()
    assert (line["feature/words"], line["feature/search"]) == ("red shoes", "red shoes")


@pytest.mark.parametrize(("zone", "mark"), [(None, ""), ("UTC", "Z"), ("Mars/Olympus", "Z")])
def test_a_time_beyond_what_python_holds_costs_its_line_alone(zone, mark):
    times = pa.array([0, 2**62], pa.int64()).cast(pa.timestamp("us", zone))
    rows = pa.RecordBatch.from_pydict(
        {"query_id": ["q", "r"], "item_id": ["i", "j"], "event": ["e", "f"], "timestamp": times}
    )
    log = source(timestamp_unit="us")
    outcome = validate_lines(rows, np.arange(2), source=log, window=Window(), needs_time=True)
    assert outcome.rejected.column("reason").to_pylist() == ["bad_timestamp"]
    assert json.loads(outcome.rejected.column("content")[0].as_py()) == {
        "query_id": "r",
        "item_id": "j",
        "event": "f",
        "timestamp": f"<value out of range: 4611686018427387904>{mark}",
    }
