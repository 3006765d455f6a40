"""A finished aggregate, as a build takes it up: opened, and refused where it was made of something else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.spec import Spec
from features.spec_file import digested, spec_digest, spec_of
from pipelines.aggregation.inputs import PARQUET_RATIO
from pipelines.aggregation.item_join import ByItem, choose_join
from pipelines.aggregation.output import Target
from stage.errors import UsageError
from stage.job_options import differing_options
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
        files = [file for file in self.manifest.files if file.name.startswith("entities/items-")]
        return choose_join(self.spec.sources.item_join, PARQUET_RATIO * sum(file.size for file in files))

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
    if manifest.spec_digest != spec_digest(spec, "build-dataset"):
        found, wanted = (digested(one, "build-dataset") for one in (spec_of(manifest, directory), spec))
        differing = next(
            (
                difference
                for section in wanted
                if (difference := _difference(section, found[section], wanted=wanted[section]))
            ),
            "another version of the spec",
        )
        raise UsageError(f"--aggregated: {directory} was made under another spec: {differing}; aggregate again")
    for name in differing_options(manifest.job_options, job_options):
        raise UsageError(
            f"--{name.replace('_', '-')}: {directory} was aggregated with {manifest.job_options.get(name) or 'none'}, "
            f"got {job_options.get(name) or 'none'}; give the same, or aggregate again"
        )
    return manifest


def _difference(key: str, found: Any, *, wanted: Any) -> str:
    """The first key that differs, with both values; empty if none does."""
    if found == wanted:
        return ""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for name in (*wanted, *(name for name in found if name not in wanted)):
            if inner := _difference(f"{key}.{name}", found.get(name), wanted=wanted.get(name)):
                return inner
    return f"{key} is {found!r} there, {wanted!r} here"
