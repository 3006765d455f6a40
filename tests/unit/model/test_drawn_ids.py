"""Of ids that come by, those of the lowest hashes."""

import pyarrow as pa
import pytest
import xxhash

from model.drawn_ids import DrawnIds

BATCHES = [[b"%d" % (n * n % 101 + n % 7) for n in range(start, start + 50)] for start in range(0, 1000, 50)]
DISTINCT = {one for batch in BATCHES for one in batch}


@pytest.mark.parametrize("most", [1, 2, 30, len(DISTINCT) - 1])
def test_draws_the_lowest_hashes_whatever_comes_again(most: int) -> None:
    drawn = DrawnIds(most, seed=5)
    for batch in BATCHES:
        drawn.add(pa.array(batch, pa.binary()))
    assert drawn.unless_all() == set(sorted(DISTINCT, key=lambda one: xxhash.xxh3_64_intdigest(one, 5))[:most])


@pytest.mark.parametrize("batches", [BATCHES, [[]], []])
def test_where_no_more_came_than_are_drawn_nothing_is_left_out(batches: list[list[bytes]]) -> None:
    drawn = DrawnIds(len(DISTINCT), seed=5)
    for batch in batches:
        drawn.add(pa.array(batch, pa.binary()))
    assert drawn.unless_all() is None


def test_what_is_not_drawn_is_not_kept() -> None:
    before, drawn = pa.total_allocated_bytes(), DrawnIds(100, seed=5)
    for start in range(0, 200_000, 1000):
        drawn.add(pa.array([b"%0100d" % n for n in range(start, start + 1000)], pa.binary()))
    assert pa.total_allocated_bytes() - before < 1 << 20  # all of them take 20 MB
    found = drawn.unless_all()
    assert found is not None
    assert len(found) == 100
