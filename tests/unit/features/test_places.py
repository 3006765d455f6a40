"""Where a line stands, in one integer."""

import pytest

from features.places import locate, place


@pytest.mark.parametrize(("file", "offset"), [(0, 0), (3, 7), (8_388_607, 2**40 - 1), (1, 2**40 - 1)])
def test_a_place_is_taken_apart_again(file, offset):
    packed = place(file, offset)
    assert locate(packed) == (file, offset)
    assert 0 <= packed < 2**63


def test_places_sort_by_file_then_offset():
    assert place(0, 2**40 - 1) < place(1, 0) < place(1, 1)
