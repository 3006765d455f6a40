"""Where and when runs run: one Airflow variable, which has the defaults of their form too."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from airflow.sdk import Param, Variable
from pydantic import Field, ValidationError, field_validator, model_validator

from retraining.pod_template import PodTemplate
from retraining.settings import Section, Settings

VARIABLE = "ssl_two_tower_retraining"
FROM_ENVIRONMENT = f"AIRFLOW_VAR_{VARIABLE.upper()}"
log = logging.getLogger(__name__)
CHECKOUT = str(Path(__file__).resolve().parents[2])


class Dataflow(Section):
    """Where the Flex Template of dataflow_templates/build_dataset is launched."""

    project: str
    region: str
    template: str
    """gs:// path of the template's JSON."""
    image: str
    """What workers run."""
    environment: dict[str, Any] = Field({})
    """More of Dataflow's FlexTemplateRuntimeEnvironment, such as serviceAccountEmail, subnetwork, maxWorkers;
    stagingLocation and tempLocation are in output by default."""

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if "sdkContainerImage" in self.environment:
            raise ValueError("environment: sdkContainerImage: expected as image, beside environment")
        return self


class Kubernetes(Section):
    """The pods that run commands."""

    image: str
    """training_image's, or another that has bash and ssl-two-tower."""
    namespace: str = "default"
    service_account: str | None = None
    gpus: int = Field(0, ge=0)
    """Of the pod that trains, which then refuses to train on fewer."""
    gpu_node_selector: dict[str, str] = Field({})
    """More labels of the node that the pod with the GPUs runs on; `pod` is for all pods."""
    cpu: str | None = None
    """What each pod requests, as in 4 or 500m."""
    memory: str | None = None
    """What each pod requests and may use, as in 16Gi."""
    startup_seconds: int = Field(1800, ge=1)
    """How long a pod may wait for a node, and again until it runs: a node with a GPU and a large image take minutes."""
    pod: PodTemplate = PodTemplate()
    """What all commands' pods are made from."""

    @model_validator(mode="after")
    def _gpus_for_the_selector(self) -> Self:
        if self.gpu_node_selector and not self.gpus:
            raise ValueError("gpu_node_selector: expected gpus beside it, got none")
        return self


class Spark(Section):
    """Where aggregate-spark runs; by default as spark-defaults.conf says where it is started, else there."""

    master: str | None = None
    """As in spark://HOST:7077 or yarn."""
    conf: dict[str, str] = Field({})
    """Spark's settings."""

    @property
    def flags(self) -> list[str]:
        """What the command is told."""
        master = ["--master", self.master] if self.master is not None else []
        return [*master, *(part for name, value in self.conf.items() for part in ("--conf", f"{name}={value}"))]


class Deployment(Section):
    """The Airflow variable. Everything has a default that runs on this machine."""

    settings: Settings = Settings()
    """Defaults of the form."""
    schedule: str = "0 0 * * *"
    """Cron, UTC. What lies between two times is an interval: the test split of its run."""
    start: datetime = datetime(2009, 7, 28, tzinfo=UTC)
    """The first interval: ISO 8601, UTC unless it names a zone."""
    delay_seconds: int = Field(0, ge=0)
    """How long after an interval's end its run waits for the last of its log."""
    catchup: bool = False
    """Also run the intervals between `start` and today that had no run."""
    retries: int = Field(2, ge=0)
    retry_seconds: int = Field(300, ge=0)
    task_hours: float = Field(36, gt=0)
    """How long a try of a task may take, since one that hangs keeps every later run waiting. It is stopped as by who
    stops a task: a training saves, and its next try goes on."""
    alert: str | None = None
    """`module.function`, importable by Airflow, which is called with each alert; without it they are only logged."""
    spark: Spark | None = None
    """The first half of a build by aggregate-spark; `true` for a section of defaults."""
    dataflow: Dataflow | None = None
    """Builds there; without it where commands run."""
    kubernetes: Kubernetes | None = None
    """Where commands run; without it on the Airflow worker."""
    command: str = f"{CHECKOUT}/.venv/bin/ssl-two-tower"
    """On the worker."""
    directory: str = CHECKOUT
    """On the worker: what relative paths are relative to."""

    @field_validator("start", mode="before")
    @classmethod
    def _in_utc(cls, value: Any) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            raise ValueError(f"expected a time such as 2026-01-31 or 2026-01-31T06:00Z, got {value}") from None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

    @field_validator("spark", mode="before")
    @classmethod
    def _default_spark(cls, value: Any) -> Any:
        return ({} if value else None) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _one_engine(self) -> Self:
        if self.spark is not None and self.dataflow is not None:
            raise ValueError("spark, dataflow: expected one of them, got both")
        return self

    @model_validator(mode="after")
    def _output_that_all_see(self) -> Self:
        output, pods = self.settings.output, self.kubernetes
        alone = pods is not None and not pods.pod.keeps(output)
        if (alone or self.dataflow is not None) and not output.startswith("gs://"):
            disk = ", or a path below a mountPath of kubernetes.pod's container base, of a volume that outlives the pod"
            raise ValueError(
                "settings.output: expected gs://BUCKET/PATH, which pods and Dataflow see"
                f"{disk if self.dataflow is None else ''}, got {output}"
            )
        return self

    @classmethod
    def load(cls) -> Self:
        """Reads the variable, whenever Airflow reads the DAG: a change of it is a new version of the DAG.

        Raises:
            ValueError: If a key is unknown or a value wrong, naming it.
        """
        content = Variable.get(VARIABLE, default=None, deserialize_json=True)
        if content is None:
            log.warning(
                "found no Airflow variable %s, so every setting is the default (`airflow dags test` doesn't see what "
                "`airflow variables set` stores: give it the JSON as %s in the environment)",
                VARIABLE,
                FROM_ENVIRONMENT,
            )
        return cls._validated(content or {}, at=f"Airflow variable {VARIABLE}")

    def settings_of(self, fields: Mapping[str, Any]) -> Settings:
        """One run's settings, out of its form; held to where things run as the variable's are.

        Raises:
            ValueError: If a value is wrong, naming its key.
        """
        # As it is, but for the settings: what was found right isn't looked at again.
        return self._validated({**dict(self), "settings": dict(fields)}, at="the form of this run").settings

    @classmethod
    def _validated(cls, content: Mapping[str, Any], *, at: str) -> Self:
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"])) or "(all)"
            raise ValueError(f"{at}: {key}: {first['msg']}") from None

    def form(self) -> dict[str, Param]:
        """The settings as fields of the form that Airflow shows to who triggers a run."""
        fields: dict[str, dict[str, Any]] = Settings.model_json_schema()["properties"]
        return {name: Param(getattr(self.settings, name), **_field(schema)) for name, schema in fields.items()}


def _field(schema: dict[str, Any]) -> dict[str, Any]:
    """A field as JSON Schema has it, but for the default, which the variable may set."""
    return {key: value for key, value in schema.items() if key != "default"}
