"""The times of a log, which may be numbers, texts or Parquet's own, as UTC microseconds."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.spec.sources import InteractionSource
from stage.instant import from_iso, to_microseconds

MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
EARLIEST = 0
LATEST = to_microseconds(datetime(2200, 1, 1, tzinfo=UTC))


def parse_times(raw: pa.Array, source: InteractionSource) -> pa.Array:
    """Times as UTC microseconds, timestamp[us] [n]; null where a value is none or out of range (1970 to 2200)."""
    if pa.types.is_timestamp(raw.type):
        micros = _in_microseconds(raw)
        if raw.type.tz is None and source.timezone is not None:
            micros = _from_wall_clock(micros, source.timezone)
    elif source.timestamp_unit == "iso":
        micros = _parse_iso(raw, source.timezone)
    else:
        micros = _scale(raw, MICROSECONDS[source.timestamp_unit])
    inside = pc.and_(pc.greater_equal(micros, EARLIEST), pc.less(micros, LATEST))
    return pc.if_else(inside, micros, pa.scalar(None, pa.int64())).cast(pa.timestamp("us"))


def _in_microseconds(times: pa.Array) -> pa.Array:
    """Times of any unit as int64, null where that could not hold them."""
    if times.type.unit not in MICROSECONDS:
        return times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())
    factor = MICROSECONDS[times.type.unit]
    counts, most = times.cast(pa.int64()), 2 * LATEST // factor
    sane = pc.and_(pc.greater(counts, -most), pc.less(counts, most))
    return pc.multiply(pc.if_else(sane, counts, pa.scalar(None, pa.int64())), factor)


def _from_wall_clock(micros: pa.Array, zone: str) -> pa.Array:
    """What a clock shows as UTC, as in ISO texts: of an hour shown twice the first, one that is skipped as before."""
    times = micros.cast(pa.timestamp("us"))
    utc = pc.assume_timezone(times, zone, ambiguous="earliest", nonexistent="earliest")
    offset = pc.subtract(pc.local_timestamp(utc).cast(pa.int64()), utc.cast(pa.int64()))
    return pc.subtract(micros, offset)


def _scale(raw: pa.Array, factor: int) -> pa.Array:
    if pa.types.is_integer(raw.type):
        sane = pc.and_(pc.greater_equal(raw, 0), pc.less(raw, LATEST // factor))
        return pc.multiply(pc.if_else(sane, raw.cast(pa.int64()), pa.scalar(None, pa.int64())), factor)
    numbers = raw.to_numpy(zero_copy_only=False).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.round(numbers * factor)
        sane = (scaled >= EARLIEST) & (scaled < LATEST)
    return pa.array(np.where(sane, scaled, 0).astype(np.int64), mask=~sane)


def _parse_iso(raw: pa.Array, timezone: str | None) -> pa.Array:
    zone = ZoneInfo(timezone) if timezone else None

    def parse(text: str | None) -> int | None:
        try:
            time = from_iso(text or "")
        except ValueError:
            return None
        if time.tzinfo is None:
            if zone is None:
                return None
            time = time.replace(tzinfo=zone)
        return to_microseconds(time)

    return pa.array([parse(text) for text in raw.to_pylist()], pa.int64())
