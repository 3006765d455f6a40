"""The clock of Beam 2.77 that samples which step a stage is in, made to wake more often.

A stage ends when the clock wakes next, and in a stage of a second or more it sleeps 200 ms: a build of 2 M lines waited
1.3 and 1.6 of 24 s for that, and 0.2 s where it slept 10 ms. 2 ms are set here: docs/design/build_speed.md has
what whole builds took so.
"""

from apache_beam.runners.worker.statesampler import StateSampler

PERIOD_MS = 2


def wake_often() -> None:
    """From now on in this process."""
    StateSampler.__init__.__defaults__ = (PERIOD_MS,)
