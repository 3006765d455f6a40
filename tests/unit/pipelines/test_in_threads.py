"""Parts are done at the same time, but never too many; what comes of them is in order, errors too."""

import threading

import pytest

from pipelines.aggregation.in_threads import InThreads


def test_two_parts_are_worked_on_at_a_time():
    met = threading.Barrier(2, timeout=10)
    parts = InThreads[int]()
    found = [*parts.begin(met.wait), *parts.begin(met.wait), *parts.end()]
    assert sorted(found) == [0, 1]


def test_a_third_waits_for_the_first():
    first_may_end = threading.Event()
    parts = InThreads[object]()
    assert [*parts.begin(lambda: first_may_end.wait(10) and "first"), *parts.begin(lambda: "second")] == []
    threading.Timer(0.1, first_may_end.set).start()
    assert next(parts.begin(lambda: "third")) == "first"


def test_results_come_in_the_order_of_the_parts():
    parts, found = InThreads[int](), []
    for number in range(50):
        found += parts.begin(lambda number=number: number)
    assert [*found, *parts.end()] == list(range(50))


def test_an_error_comes_where_the_result_would_have_come():
    parts = InThreads[float]()
    assert [*parts.begin(lambda: 1 / 1), *parts.begin(lambda: 1 / 0)] in ([], [1.0])
    with pytest.raises(ZeroDivisionError):
        [*parts.end()]


def test_no_thread_is_left():
    before = {*threading.enumerate()}
    parts = InThreads[int]()
    assert [*parts.begin(lambda: 1), *parts.end()] == [1]
    for thread in {*threading.enumerate()} - before:
        thread.join(10)
    assert {*threading.enumerate()} <= before
