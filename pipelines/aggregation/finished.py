"""A finished aggregate, as a build takes it up: opened, and refused where it was made of something else."""

from dataclasses import dataclass

from features.dataset import entity_files
from features.made_under import made_under
from features.spec import Spec
from pipelines.aggregation.inputs import PARQUET_RATIO
from pipelines.aggregation.item_join import ByItem, choose_join
from pipelines.aggregation.output import Target
from pipelines.aggregation.partitions import Partition
from stage.errors import UsageError
from stage.manifest import Manifest


@dataclass(frozen=True)
class FinishedAggregate:
    """What aggregate-spark left, and where the build goes."""

    directory: str
    manifest: Manifest
    spec: Spec
    target: Target
    job_options: dict[str, str | None]

    @property
    def item_join(self) -> ByItem:
        """How pairs meet their items."""
        size = sum(file.size for file in entity_files(self.manifest, "items"))
        return choose_join(self.spec.sources.item_join, PARQUET_RATIO * size)

    @property
    def partitions(self) -> dict[str, Partition]:
        """Those of a log and tables: the aggregation has checked them."""
        return {}

    @property
    def table_days(self) -> dict[str, str]:
        """Table in partitions by {date} -> the day of the one that was read."""
        return self.manifest.table_days

    @property
    def input_digests(self) -> dict[str, str]:
        """What was read -> its digest."""
        return {**self.manifest.inputs, "aggregate": self.manifest.content_digest}

    @property
    def counts(self) -> dict[str, int]:
        """The job's counts, as its steps would have counted."""
        ours = {name: number for name, number in self.manifest.counts.items() if name not in ("pairs", "shards")}
        rejected = {f"rejected/{reason}": lines for reason, lines in self.manifest.rejected.items()}
        return ours | rejected


def open_aggregate(directory: str, spec: Spec, *, job_options: dict[str, str | None]) -> Manifest:
    """Opens what aggregate-spark left.

    Raises:
        StageError: If it isn't whole.
        UsageError: If it was made under another spec or other job options.
    """
    manifest = Manifest.read(directory, "aggregate")
    made_from = made_under(spec, "build-dataset", inputs=manifest.inputs, job_options=job_options)
    if of_another := made_from.describe(manifest):
        raise UsageError(f"--aggregated: {directory} was {of_another}; give the same, or aggregate again")
    return manifest
