"""Airflow DAG: every night a dataset, a model, and, if it is surely no worse than the published one, its publication.

[wait ->] build -> validate -> train -> evaluate -> gate -> may_publish -> export -> publish -> report
[wait ->] remove_runs
"""

from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG, Context, CronDataIntervalTimetable, chain, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from retraining.alerts import not_published, not_removed, receiver, run_failed, try_failed
from retraining.deployment import Deployment
from retraining.operators import builds, command, macros, waits


def make_dag(deployment: Deployment) -> DAG:
    """The DAG of a deployment."""
    receive = receiver(deployment.alert)

    @task.short_circuit(ignore_downstream_trigger_rules=False, retries=0)
    def may_publish(verdict: dict[str, Any]) -> bool:
        if not verdict["publish"]:
            run = get_current_context()["dag_run"]
            not_published(receive, run.run_id, verdict=verdict, of_backfill=run.run_type == "backfill")
        # If not the new model, the served one with today's items: what is gone isn't recommended, and what is new is.
        return bool(verdict["publish"] or verdict["served_model"])

    with DAG(
        "ssl_two_tower_retraining",
        description="Retrains on the newest interval, and publishes a model that is surely no worse",
        doc_md=__doc__,
        schedule=CronDataIntervalTimetable(deployment.schedule, timezone="UTC"),
        start_date=deployment.start,
        catchup=deployment.catchup,
        # A run starts from what the last one published. It doesn't wait for one that failed: then the model before it
        # is the champion. A backfill's runs aren't counted, so one may go on beside.
        max_active_runs=1,
        params=deployment.form(),
        user_defined_macros=macros(deployment),
        on_failure_callback=partial(run_failed, receive),
        default_args={
            "retries": deployment.retries,
            "retry_delay": timedelta(seconds=deployment.retry_seconds),
            "execution_timeout": timedelta(hours=deployment.task_hours),
            "on_retry_callback": partial(try_failed, receive),
        },
    ) as dag:
        gate, waiting = command("gate", deployment), waits(deployment)
        chain(
            *waiting,
            *builds(deployment),
            *(command(stage, deployment) for stage in ("validate", "train", "evaluate")),
            gate,
            may_publish(gate.output),  # type: ignore[arg-type]  # what the task left, once it has run
            *(command(stage, deployment) for stage in ("export", "publish")),
            # Whatever the gate said.
            command("report", deployment, trigger_rule="none_failed"),
        )
        # Not last: where the disk is full, nothing before it succeeds. No run fails by a teardown.
        removal = command(
            "remove_runs",
            deployment,
            pre_execute=_skip_without_removal,
            on_failure_callback=partial(not_removed, receive),
        )
        chain(*waiting, removal.as_teardown())
    return dag


def _skip_without_removal(context: Context) -> None:
    """Before a process or a pod of `remove_runs` starts.

    Raises:
        AirflowSkipException: If this run's settings have no runs removed.
    """
    if not context["params"]["keep_days"]:
        raise AirflowSkipException("keep_days is 0: no run is to be removed")


dag = make_dag(Deployment.load())
