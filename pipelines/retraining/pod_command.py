"""A command in a pod."""

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

from retraining.wrong_use import FailingForGood


class PodCommand(FailingForGood, KubernetesPodOperator):
    """Runs a command; its wrong use fails the task for good."""
