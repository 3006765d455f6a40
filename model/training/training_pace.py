"""How fast a training goes, since its last validation, and how long one of its steps takes."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class TrainingPace:
    """Counts the time of steps alone, without what is done between them."""

    def __init__(self, batch_size: int) -> None:
        """Begins with none.

        Args:
            batch_size: Examples a step.
        """
        self._batch_size = batch_size
        self.seconds_a_step = math.inf
        """Of the latest ones; infinite before the first."""
        self.restart()

    def restart(self) -> None:
        """What comes is counted anew."""
        self._seconds, self._steps = 0.0, 0

    @contextmanager
    def timing(self, steps: int) -> Iterator[None]:
        """Times so many steps, which the context takes."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.seconds_a_step = seconds / steps
        self._seconds += seconds
        self._steps += steps

    @property
    def examples_a_second(self) -> float:
        """Of the steps that were timed; 0 of none."""
        return self._steps * self._batch_size / self._seconds if self._seconds else 0.0
