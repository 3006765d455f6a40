"""A finished aggregate, as a build takes it up: opened, and refused where it was made of something else."""

from dataclasses import dataclass

from features.dataset import Entities, entity_files
from features.made_under import made_under
from features.raw_features import vector_sizes
from features.spec.features import Side
from features.spec.spec import Spec
from pipelines.aggregation.counts import count_ids
from pipelines.aggregation.item_join import choose_join
from pipelines.aggregation.job import Job
from pipelines.aggregation.json_bytes import PARQUET_RATIO
from pipelines.aggregation.output import Target
from stage.errors import UsageError
from stage.manifest import Manifest


@dataclass(frozen=True)
class FinishedAggregate:
    """What aggregate-spark left, and where the build goes."""

    job: Job
    directory: str
    manifest: Manifest

    @property
    def counts(self) -> dict[str, int]:
        """The job's counts, as its steps would have counted."""
        ours = {name: number for name, number in self.manifest.counts.items() if name not in ("pairs", "shards")}
        rejected = {f"rejected/{reason}": lines for reason, lines in self.manifest.rejected.items()}
        return ours | rejected | count_ids(self.manifest.ids_to_compare)

    @property
    def needed_bytes(self) -> int:
        """Peak memory of a local build, about.

        Of 9, 36 and 67 MB of pairs and entities builds took 1.32, 1.77 and 2.22 GB (one run each): 1.2 GB, and 16 bytes
        for each byte. Here is a little more, but less for vectors, whose numbers take 4 bytes each in a file: of 26 and
        51 M of them builds took 29 and 32 bytes for each.
        """
        read = sum(file.size for file in self.manifest.files if file.name.startswith(("pairs/", "entities/")))
        numbers = self._numbers_in_vectors()
        return 1_300_000_000 + 18 * max(read - 4 * numbers, 0) + 40 * numbers

    def _numbers_in_vectors(self) -> int:
        """How many numbers the entities' vectors have together, if none is missing."""
        spec, manifest = self.job.spec, self.manifest
        sides: dict[Entities, Side] = {"items": spec.item, "queries": spec.query}
        return sum(
            (file.records or 0) * size
            for table, side in sides.items()
            for size in vector_sizes(side).values()
            for file in entity_files(manifest, table)
        )


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


def take_up(
    directory: str, manifest: Manifest, *, spec: Spec, target: Target, job_options: dict[str, str | None]
) -> FinishedAggregate:
    """What a build reads instead of raw logs, where `open_aggregate` found that manifest."""
    size = sum(file.size for file in entity_files(manifest, "items"))
    job = Job(
        spec,
        target,
        job_options=job_options,
        input_digests={**manifest.inputs, "aggregate": manifest.content_digest},
        item_join=choose_join(spec.sources.item_join, PARQUET_RATIO * size),
        partitions=[],  # the aggregation has checked them
        table_days=manifest.table_days,
    )
    return FinishedAggregate(job, directory, manifest)
