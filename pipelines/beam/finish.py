"""The end of the job, as steps of its graph: the check of the rejects, and the manifest, written last."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from features.records import add_digests, digest_text
from features.spec import Spec
from features.spec_file import spec_digest
from pipelines.aggregation.unusable_files import check_files, without_files
from pipelines.beam.sinks import Target, Written, write_whole
from pipelines.beam.transform import TransformOutput, temporary_directory
from stage import manifest
from stage.errors import StageError
from stage.manifest import File, Manifest


@dataclass(frozen=True)
class Job:
    """What the manifest says of the job itself."""

    target: Target
    spec: Spec
    job_options: dict[str, str | None]
    tables: tuple[str, ...]
    """Tables that were read: items, queries."""
    inputs: dict[str, str]
    """What was read -> its digest; raw: of the names and sizes of the input files."""


class CheckRejects(beam.DoFn):
    """Fails the job where too many lines were bad; else yields once, for later steps to wait on.

    Raises:
        StageError: If a file lacks a column; if the log or a table has more rejects than `sources.max_reject_ratio`
            allows, naming the commonest reasons; or if no training pair is left.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(self, counts: dict[str, int], *, written: list[Written]) -> Iterable[bool]:
        """Compares counts with the spec, once rejects/ can be looked at."""
        del written
        check_files(counts)
        limit = self._job.spec.sources.max_reject_ratio
        rejected = _below("rejected", counts)
        for source, read in [("log", "lines/read"), *((table, f"{table}/read") for table in self._job.tables)]:
            mine = {r: n for r, n in rejected.items() if (r.partition("/")[0] if "/" in r else "log") == source}
            total, lines = sum(mine.values()), counts.get(read, 0)
            if total > limit * lines:
                commonest = sorted(mine.items(), key=lambda found: (-found[1], found[0]))[:3]
                reasons = ", ".join(f"{reason} {number:,}" for reason, number in commonest)
                raise StageError(
                    f"sources.max_reject_ratio: {total:,} of {lines:,} lines of the {source} are bad, more than "
                    f"{limit:g} of them: {reasons}; see {self._job.target.directory}/rejects/, mend the input or raise "
                    "the ratio"
                )
        if not counts.get("pairs/train"):
            filtered = ", ".join(f"{rule} {lines:,}" for rule, lines in _below("filtered", counts).items())
            raise StageError(
                f"no training pair is left of {counts.get('lines/read', 0):,} lines (filtered: {filtered or 'none'}); "
                "check sources.interactions.positive_events and the split"
            )
        yield True


class WriteManifest(beam.DoFn):
    """Writes manifest.json once every writer has said what it wrote.

    Raises:
        StageError: If the counts don't add up: then the job is wrong, and its output must not be used.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    def process(
        self, _: bool, *, written: list[Written], counts: dict[str, int], transform: TransformOutput
    ) -> Iterable[str]:
        """Puts together and writes; yields the digest of the content."""
        target = self._job.target
        counts = without_files(counts)
        files = sorted({w.name: w for w in written}.values(), key=lambda w: w.name)
        content, records = _sum_by_content(files)
        found = _counts(counts, records)
        _reconcile(found, counts)
        result = Manifest(
            stage="dataset",
            run_id=target.run_id,
            spec=self._job.spec.model_dump(mode="json"),
            spec_digest=spec_digest(self._job.spec, "build-dataset"),
            inputs=self._job.inputs,
            job_options=self._job.job_options,
            counts=found,
            rejected=_below("rejected", counts),
            vocabularies=transform.vocabularies,
            transform_digest=transform.transform_digest,
            content=content | transform.content,
            files=[File(name=w.name, size=w.size, sha256=w.sha256) for w in [*files, *transform.files]],
        )
        _delete_temporary(target)
        write_whole(target.directory, manifest.NAME, result.to_json())
        FileSystems.delete([FileSystems.join(target.directory, manifest.UNFINISHED)])
        yield result.content_digest


def _sum_by_content(files: list[Written]) -> tuple[dict[str, str], dict[str, int]]:
    digests: dict[str, list[int]] = defaultdict(list)
    records: dict[str, int] = defaultdict(int)
    for name in ("train", "validation", "test", "items", "entities/items", "entities/queries", "rejects"):
        digests[name] = []
    for written in files:
        digests[written.content].append(written.digest)
        records[written.content] += written.records
    return {name: digest_text(add_digests(parts)) for name, parts in digests.items() if name}, dict(records)


def _counts(counts: dict[str, int], records: dict[str, int]) -> dict[str, int]:
    """What the manifest counts: lines by their fate, pairs, examples and entities."""
    found = {name: number for name, number in sorted(counts.items()) if not name.startswith("rejected/")}
    found["lines/rejected"] = sum(n for r, n in _below("rejected", counts).items() if "/" not in r)
    found["lines/filtered"] = sum(_below("filtered", counts).values())
    for split in ("train", "validation", "test"):
        found[f"examples/{split}"] = records.get(split, 0)
    found["items"] = records.get("entities/items", 0)
    found["items/encoded"] = records.get("items", 0)
    found["queries"] = records.get("entities/queries", 0)
    return found


def _reconcile(found: dict[str, int], counts: dict[str, int]) -> None:
    parts = found["lines/rejected"] + found["lines/filtered"] + found["lines/kept"]
    if found["lines/read"] != parts:
        raise StageError(f"the job lost lines: read {found['lines/read']}, accounted for {parts}; please report this")
    for split in ("train", "validation", "test"):
        if found[f"examples/{split}"] != counts.get(f"pairs/{split}", 0):
            raise StageError(
                f"the job lost {split} examples: expected {counts.get(f'pairs/{split}', 0)}, "
                f"wrote {found[f'examples/{split}']}; please report this"
            )
    if found["items"] != found["items/encoded"]:
        raise StageError(f"the job lost items: {found['items']} entities, {found['items/encoded']} encoded")


def _below(group: str, counts: dict[str, int]) -> dict[str, int]:
    return {n.removeprefix(f"{group}/"): c for n, c in sorted(counts.items()) if n.startswith(f"{group}/") and c}


def _delete_temporary(target: Target) -> None:
    """Removes what tensorflow-transform left of its own."""
    if FileSystems.exists(temporary_directory(target)):
        FileSystems.delete([temporary_directory(target)])
