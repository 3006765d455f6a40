"""When job options are the same."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage.job_options import differing_options

_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("found", "wanted", "differing"),
    [
        ({"data_start": "2026-03-28"}, {"data_start": "2026-03-28T00:00:00Z"}, []),
        ({"test_start": "2026-03-28T01:00:00+01:00"}, {"test_start": "2026-03-28 00:00"}, []),
        ({"data_end": "2026-03-28"}, {"data_end": "2026-03-28T00:00:00+01:00"}, ["data_end"]),
        ({"data_end": None}, {"test_start": None}, []),
        ({"test_start": None, "data_end": "2026-03-28"}, {"test_start": "2026-03-28"}, ["data_end", "test_start"]),
        ({"data_end": "soon"}, {"data_end": "soon"}, []),
        ({"data_end": "soon"}, {"data_end": "2026-03-28"}, ["data_end"]),
        # The directory of a model is no time, though it looks like one.
        ({"model": "2026-03-28"}, {"model": "2026-03-28T00:00:00Z"}, ["model"]),
    ],
)
def test_times_are_compared_as_instants_and_all_else_as_texts(found, wanted, differing):
    assert differing_options(found, wanted) == differing_options(wanted, found) == differing


@given(one=_INSTANTS, other=_INSTANTS, zones=st.tuples(_ZONES, _ZONES))
def test_the_zone_that_a_time_is_written_in_makes_no_difference(one, other, zones):
    def written(time, zone):
        return {"data_end": time.astimezone(zone).isoformat()}

    assert differing_options(written(one, zones[0]), written(one, zones[1])) == []
    assert bool(differing_options(written(one, zones[0]), written(other, zones[1]))) == (one != other)
