"""A command that says it was used wrongly fails its task at once: no further try would fare better."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

WRONG_USE = 2
"""The exit code of a command that was used wrongly. For operators it is their `skip_on_exit_code`."""


@contextmanager
def failing_for_good() -> Iterator[None]:
    """Around an operator's `execute`, which skips its task where the command was used wrongly: fails it instead.

    Raises:
        AirflowFailException: If the command was used wrongly.
    """
    try:
        yield
    except AirflowSkipException as skipped:
        raise AirflowFailException(
            f"the command was used wrongly (exit code {WRONG_USE}), as its last line says, and isn't tried again: mend "
            "the settings or the spec, and clear this task"
        ) from skipped
