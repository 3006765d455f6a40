"""What a job makes of what, as its steps and its manifest know it; whether it reads raw logs or an aggregate."""

from dataclasses import dataclass, field
from typing import Any

from features.made_under import made_under
from features.spec.digest import spec_digest
from features.spec.spec import Spec
from pipelines.aggregation.item_join import ByItem
from pipelines.aggregation.output import Target
from pipelines.aggregation.partitions import Partition
from stage.manifest import MadeFrom


@dataclass(frozen=True)
class Job:
    """One aggregation or build."""

    spec: Spec
    target: Target
    job_options: dict[str, str | None]
    input_digests: dict[str, str]
    """What is read, or held to -> its digest; raw: of the names and sizes of the input files."""
    item_join: ByItem
    """How pairs meet their items."""
    partitions: list[Partition]
    """By {date}, of all sources."""
    table_days: dict[str, str]
    """Table in partitions by {date} -> the day of the one that is read."""
    column_hints: dict[str, str] = field(default_factory=dict)
    """Key of the spec -> which column of the input is called nearly as the one that it names, for errors."""

    @property
    def made_from(self) -> MadeFrom:
        """What whatever it leaves is made from."""
        return made_under(self.spec, "build-dataset", inputs=self.input_digests, job_options=self.job_options)

    def as_manifests_say(self) -> dict[str, Any]:
        """What the manifest of whatever it leaves says of it, by field."""
        return {
            "run_id": self.target.run_id,
            "spec": self.spec.model_dump(mode="json"),
            "spec_digest": spec_digest(self.spec, "build-dataset"),
            "inputs": self.input_digests,
            "job_options": self.job_options,
            "table_days": self.table_days,
        }
