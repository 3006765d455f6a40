"""A command in a pod."""

from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import Context

from retraining.wrong_use import WRONG_USE, failing_for_good


class PodCommand(KubernetesPodOperator):
    """Runs a command; its wrong use fails the task for good."""

    def __init__(self, **options: Any) -> None:
        super().__init__(skip_on_exit_code=WRONG_USE, **options)

    def execute(self, context: Context) -> Any:
        """Runs it.

        Raises:
            AirflowFailException: If it was used wrongly.
        """
        with failing_for_good():
            return super().execute(context)
