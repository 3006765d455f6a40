"""Work on one part after another in a few threads: Arrow's kernels let go of Python's lock, so each takes a core."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

THREADS = 2
"""Parts that are worked on at a time, and so in memory."""


class InThreads(Generic[T]):
    """Parts that are begun by the thread which goes on, and done by others; what comes of them, in order."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "part")
        self._begun: deque[Future[T]] = deque()

    def begin(self, work: Callable[[], T]) -> Iterator[T]:
        """Begins a part, once fewer than `THREADS` are unfinished; gives what those before came to.

        The part is begun when the iterator is used up. An error of an earlier part is raised here or by `end`.
        """
        while self._begun and (len(self._begun) == THREADS or self._begun[0].done()):
            yield self._begun.popleft().result()
        self._begun.append(self._threads.submit(work))

    def end(self) -> Iterator[T]:
        """Waits for all that was begun, and lets the threads go."""
        self._threads.shutdown(wait=False)
        while self._begun:
            yield self._begun.popleft().result()
