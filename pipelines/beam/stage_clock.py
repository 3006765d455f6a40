"""The clock of Beam 2.77 that samples which step a stage is in: made to wake more often, and not to outlive the job.

A stage ends when the clock wakes next, and in a stage of a second or more it sleeps 200 ms: a build of 2 M lines waited
1.3 and 1.6 of 24 s for that, and 0.2 s where it slept 10 ms. 2 ms are set here: docs/design/build_speed.md has
what whole builds took so.
"""

import contextlib
import threading
from collections.abc import Iterator

from apache_beam.runners.worker.statesampler import StateSampler

PERIOD_MS = 2


def wake_often() -> None:
    """From now on in this process."""
    StateSampler.__init__.__defaults__ = (PERIOD_MS,)


@contextlib.contextmanager
def ended_with_the_job() -> Iterator[None]:
    """Ends the clocks that a failed job leaves running, without which the process couldn't end.

    A stage whose clock is interrupted while it starts takes it for one that never ran, and Python waits for the
    threads of all clocks.
    """
    try:
        yield
    except BaseException:
        for thread in threading.enumerate():
            clock = getattr(getattr(thread, "_target", None), "__self__", None)
            if isinstance(clock, StateSampler) and not clock.finished:
                with contextlib.suppress(RuntimeError):  # of a thread that isn't begun
                    clock.stop()
        raise
