"""The end of the job, as steps of its graph: the check of the rejects, and the manifest, written last."""

from features.split import SPLITS
from pipelines.aggregation.counts import below, ids_to_compare, reconcile_lines, shown_counts, without_files
from pipelines.aggregation.input_checks import check_input
from pipelines.aggregation.job import Job
from pipelines.aggregation.output import Written, sum_by_content
from pipelines.aggregation.partition_lines import lines_outside
from pipelines.beam.transform import TransformOutput
from stage import storage
from stage.errors import Interrupted, StageError
from stage.interrupts import was_interrupted
from stage.manifest import Manifest
from stage.output import finish_output


def check_rejects(counts: dict[str, int], job: Job, *, written: list[Written]) -> bool:
    """Fails the job where its input isn't good enough, once rejects/ can be looked at; later steps wait for it.

    Raises:
        StageError: As `check_input`.
    """
    del written
    check_input(counts, job)
    return True


def finish_dataset(
    _: bool,
    job: Job,
    *,
    written: list[Written],
    counts: dict[str, int],
    transform: TransformOutput,
    temporary: str,
) -> str:
    """Writes manifest.json once every writer has said what it wrote; returns the digest of the content.

    What tensorflow-transform left in `temporary`, where it worked, goes before.

    Raises:
        StageError: If the counts don't add up: then the job is wrong, and its output must not be used.
        Interrupted: If the command was told to stop, but native code in its process swallowed that.
    """
    ids, counts = ids_to_compare(counts), without_files(counts) | lines_outside(counts, job.partitions)
    files = sorted({w.file.name: w for w in written}.values(), key=lambda w: w.file.name)
    content, records = sum_by_content(files, _CONTENTS)
    found = _counts(counts, records)
    _reconcile(found, counts)
    result = Manifest(
        stage="dataset",
        **job.as_manifests_say(),
        counts=found,
        rejected=below("rejected", counts),
        ids_to_compare=ids,
        vocabularies=transform.vocabularies,
        transform_digest=transform.transform_digest,
        content=content | transform.content,
        files=[*(written.file for written in files), *transform.files],
    )
    if was_interrupted():
        raise Interrupted("interrupted")
    storage.delete(temporary)
    finish_output(job.target.directory, result)
    return result.content_digest


_CONTENTS = (*SPLITS, "items", "entities/items", "entities/queries", "rejects")


def _counts(counts: dict[str, int], records: dict[str, int]) -> dict[str, int]:
    """What the manifest counts: lines by their fate, pairs, examples and entities."""
    found = shown_counts(counts)
    for split in SPLITS:
        found[f"examples/{split}"] = records.get(split, 0)
    found["items"] = records.get("entities/items", 0)
    found["items/encoded"] = records.get("items", 0)
    found["queries"] = records.get("entities/queries", 0)
    return found


def _reconcile(found: dict[str, int], counts: dict[str, int]) -> None:
    reconcile_lines(found)
    for split in SPLITS:
        if found[f"examples/{split}"] != counts.get(f"pairs/{split}", 0):
            raise StageError(
                f"the job lost {split} examples: expected {counts.get(f'pairs/{split}', 0)}, "
                f"wrote {found[f'examples/{split}']}; please report this"
            )
    if found["items"] != found["items/encoded"]:
        raise StageError(
            f"the job lost items: expected {found['items']}, encoded {found['items/encoded']}; please report this"
        )
