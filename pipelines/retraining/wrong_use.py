"""A command that says it was used wrongly fails its task at once: no further try would fare better."""

from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

WRONG_USE = 2
"""The exit code of a command that was used wrongly."""


class FailingForGood(BaseOperator):
    """What comes before an operator that skips its task on some exit codes: by this one the task fails."""

    def __init__(self, **options: Any) -> None:
        super().__init__(skip_on_exit_code=WRONG_USE, **options)

    def execute(self, context: Context) -> Any:
        """Runs the command.

        Raises:
            AirflowFailException: If it was used wrongly.
        """
        try:
            return super().execute(context)
        except AirflowSkipException as skipped:
            raise AirflowFailException(
                f"the command was used wrongly (exit code {WRONG_USE}), as its last line says, and isn't tried again: "
                "mend the settings or the spec, and clear this task"
            ) from skipped
