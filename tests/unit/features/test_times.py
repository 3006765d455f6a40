"""Times of a log in every unit and format."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from features.spec.sources import InteractionSource
from features.times import parse_times


def source(**keys):
    return InteractionSource.model_validate({"path": "x", "timestamp": "timestamp", **keys})


@pytest.mark.parametrize(("unit", "raw"), [("s", 1248739200.25), ("ms", 1248739200250.0), ("us", 1248739200250000.0)])
@pytest.mark.parametrize("kind", [pa.float64(), pa.int64()])
def test_times_count_from_1970_in_their_unit(unit, raw, kind):
    if kind == pa.int64():
        raw = int(raw)
    fraction = 0 if unit == "s" and kind == pa.int64() else 250_000
    found = parse_times(pa.array([raw, None], kind), source(timestamp_unit=unit))
    assert found.to_pylist() == [datetime(2009, 7, 28, 0, 0, 0, fraction), None]


def test_seconds_with_a_fraction_are_rounded_to_the_microsecond():
    # As doubles 1.001 * 1000000 is 1000999.9999999999.
    assert parse_times(pa.array([1.001]), source()).to_pylist() == [datetime(1970, 1, 1, 0, 0, 1, 1000)]


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
        ("20240501T195330.5Z", None, "2024-05-01T19:53:30.500000"),
        # Of an hour or a minute, which Python takes for parts of a second.
        ("2024-05-01T19.5Z", None, None),
        ("2024-05-01T19:53.5Z", None, None),
        ("20240501T1953,5Z", None, None),
        ("2024-05-01t19:53.5+00:00", None, None),
        # Python takes it for three hours.
        ("2009-07-28T01:02:03+02:60", None, None),
        ("20090728T010203-0275", None, None),
        ("2009-07-28T01:02:03+05:45", None, "2009-07-27T19:17:03"),
        ("2024-05-01T24:00:00Z", None, None),
        ("2024-06-30T23:59:60Z", None, None),
        ("2024-05-01 19:53:47 UTC", "UTC", None),
        ("2024-05-01T19:53:47z", None, None),
        ("2024-5-01T19:53:47Z", None, None),
        ("yesterday", "Asia/Tokyo", None),
        ("", "Asia/Tokyo", None),
        (None, "Asia/Tokyo", None),
    ],
)
def test_times_as_text_need_a_zone(text, zone, expected):
    found = parse_times(pa.array([text], pa.string()), source(timestamp_unit="iso", timezone=zone))
    assert found.to_pylist() == [None if expected is None else datetime.fromisoformat(expected)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_parquet_keep_their_instant_whatever_the_spec_says_of_units(unit):
    instant = datetime(2024, 3, 10, 2, 30, tzinfo=UTC)
    utc = pa.array([instant, None], pa.timestamp(unit, "Europe/Berlin"))
    assert parse_times(utc, source(timezone="Asia/Tokyo")).to_pylist() == [instant.replace(tzinfo=None), None]


def test_times_of_parquet_without_a_zone_are_in_the_specs_or_utc():
    naive = pa.array([datetime(2024, 7, 1, 12)], pa.timestamp("ms"))
    assert parse_times(naive, source()).to_pylist() == [datetime(2024, 7, 1, 12)]
    assert parse_times(naive, source(timezone="Asia/Tokyo")).to_pylist() == [datetime(2024, 7, 1, 3)]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_an_hour_that_a_clock_shows_twice_or_never_is_the_same_instant_in_every_format(unit):
    times = [datetime(2024, 10, 27, 2, 30), datetime(2024, 3, 31, 2, 30), datetime(2024, 3, 31, 2, 45), None]
    naive = pa.array(times, pa.timestamp(unit))
    found = parse_times(naive, source(timezone="Europe/Berlin"))
    assert found.to_pylist() == [
        datetime(2024, 10, 27, 0, 30),
        datetime(2024, 3, 31, 1, 30),
        datetime(2024, 3, 31, 1, 45),
        None,
    ]
    texts = pa.array([time and time.isoformat() for time in times])
    assert parse_times(texts, source(timezone="Europe/Berlin", timestamp_unit="iso")) == found


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint8()])
def test_whole_numbers_of_any_width_are_times(kind):
    found = parse_times(pa.array([0, 100, None], kind), source())
    assert found.to_pylist() == [datetime(1970, 1, 1), datetime(1970, 1, 1, 0, 1, 40), None]


def test_numbers_far_out_of_range_are_no_times():
    # In microseconds the second and the third are 2**62 * 10**6, 0 in 64 bits, and 551616 there.
    whole = pa.array([-1, 2**62, -18446744073709, 7258118400, 7258118399], pa.int64())
    assert [t is None for t in parse_times(whole, source()).to_pylist()] == [True, True, True, True, False]
    assert parse_times(pa.array([1e300, -1e300]), source(timestamp_unit="us")).to_pylist() == [None, None]


@pytest.mark.parametrize(("unit", "count"), [("s", 18448444073709), ("ms", 18448444073709552), ("us", 2**62)])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_beyond_microseconds_do_not_wrap_into_the_range(unit, count, zone):
    times = pa.array([count, -count, 5, None], pa.int64()).cast(pa.timestamp(unit, zone))
    for named in (None, "Europe/Berlin"):
        found = parse_times(times, source(timezone=named)).is_null().to_pylist()
        assert found == [True, True, named is not None and zone is None, True]
