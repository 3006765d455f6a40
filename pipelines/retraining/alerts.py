"""What somebody should know of: a run or a try that failed, a model not published. Your own function is told."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TypeAlias

log = logging.getLogger(__name__)

_MAY_HAVE_PUBLISHED = (None, "publish", "report")
"""Tasks by whose failure a new model may be served: CURRENT is written before a publish ends. None: unknown."""


@dataclass(frozen=True)
class Alert:
    """What happened."""

    kind: Literal["failed", "retried", "not_published"]
    run: str
    """Airflow's run id."""
    message: str
    """One line."""
    details: Mapping[str, Any]
    """failed, retried: the task; not_published: the verdict, as `gate --json` prints it."""


Receiver: TypeAlias = Callable[[Alert], None]


def receiver(path: str | None) -> Receiver:
    """The function that is told of alerts, after they have been logged; if it fails, that is logged too.

    Args:
        path: `module.function`; None: there is none.
    """

    def receive(alert: Alert) -> None:
        log.warning("alert: %s: %s", alert.kind, alert.message)
        if path is not None:
            try:
                module, _, function = path.rpartition(".")
                getattr(import_module(module), function)(alert)
            except Exception:  # no network, say; that may not fail a run whose model is good
                log.exception("nobody was told of it: %s failed", path)

    return receive


def run_failed(receive: Receiver, context: Mapping[str, Any]) -> None:
    """Tells of a run that has failed, by what Airflow calls back with."""
    task = getattr(context.get("task_instance"), "task_id", None)
    if task == "remove_runs":  # by which no run fails: it was the last of several
        task = None
    served = "the published model is as it was"
    if task in _MAY_HAVE_PUBLISHED:
        served = "published/CURRENT says which model is served, the run's own if the gate let it pass"
    message = f"{context['run_id']} failed at {task or 'an unknown task'}; {served}"
    receive(Alert("failed", context["run_id"], message, {"task": task, "reason": context.get("reason")}))


def try_failed(receive: Receiver, context: Mapping[str, Any]) -> None:
    """Tells of a try of a task that has failed, or hung for too long, where there is one more; as `run_failed`."""
    task = context["task_instance"]
    message = f"{task.run_id}: {task.task_id} failed on try {task.try_number}, and is tried again"
    details = {"task": task.task_id, "try": task.try_number, "reason": str(context.get("exception"))}
    receive(Alert("retried", task.run_id, message, details))


def not_removed(receive: Receiver, context: Mapping[str, Any]) -> None:
    """Tells that no run could be removed, by which the run doesn't fail; as `run_failed`."""
    details = {"task": "remove_runs", "reason": str(context.get("exception"))}
    message = f"{context['run_id']}: remove_runs failed; old runs stay, all else goes on"
    receive(Alert("failed", context["run_id"], message, details))


def not_published(receive: Receiver, run: str, *, verdict: Mapping[str, Any], of_backfill: bool) -> None:
    """Tells of a verdict, but of none that a backfill's run is bound to have, being of the past."""
    if not (of_backfill and verdict["verdict"] == "older_interval"):
        again = ", and is exported again with this run's items" if verdict["served_model"] else ""
        message = f"{run}: {verdict['verdict']}; the published model stays{again}"
        receive(Alert("not_published", run, message, verdict))
