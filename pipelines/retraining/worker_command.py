"""A command on the Airflow worker."""

from airflow.providers.standard.operators.bash import BashOperator

from retraining.wrong_use import FailingForGood


class WorkerCommand(FailingForGood, BashOperator):
    """Runs a command; its wrong use fails the task for good."""
