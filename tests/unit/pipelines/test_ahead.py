"""The next value is made while one is used; otherwise nothing differs from the generator itself."""

import threading

import pytest

from pipelines.aggregation.ahead import one_ahead


def test_the_next_value_is_made_while_one_is_used():
    second_is_made = threading.Event()

    def values():
        yield 1
        second_is_made.set()
        yield 2

    found = one_ahead(values())
    assert next(found) == 1
    assert second_is_made.wait(10)
    assert list(found) == [2]


def test_only_one_is_made_ahead():
    made = []

    def values():
        for number in range(5):
            made.append(number)
            yield number

    for number in one_ahead(values()):
        assert len(made) <= number + 2
    assert made == [0, 1, 2, 3, 4]


def test_an_error_comes_where_its_value_would_have_come():
    def values():
        yield 1
        yield None
        raise ValueError("third")

    found = one_ahead(values())
    assert [next(found), next(found)] == [1, None]
    with pytest.raises(ValueError, match="third"):
        next(found)


def test_whoever_stops_early_closes_what_was_open():
    closed = []

    def values():
        try:
            yield from range(5)
        finally:
            closed.append(True)

    found = one_ahead(values())
    assert next(found) == 0
    found.close()
    assert closed == [True]


def test_nothing_is_made_before_it_is_asked_for():
    made = []
    found = one_ahead(made.append(number) for number in range(3))
    assert made == []
    assert list(found) == [None, None, None]
    assert made == [0, 1, 2]
