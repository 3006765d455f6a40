"""Making the next value while the last one is used: Arrow's kernels let go of Python's lock, so both take a core."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(values: Generator[T]) -> Iterator[T]:
    """The same values, in the same order, each made in another thread while the one before is used.

    An error comes where its value would have come. Whoever stops early waits for the value that is being made, and then
    the generator is closed.

    Args:
        values: Runs in that thread.
    """
    end = object()
    try:
        with ThreadPoolExecutor(1, "ahead") as thread:
            coming = thread.submit(next, values, end)
            while (value := coming.result()) is not end:
                coming = thread.submit(next, values, end)
                yield value  # type: ignore[misc]
    finally:
        values.close()
