"""The life of an output directory: taken by a run, marked as unfinished, finished by its manifest."""

import hashlib
import json
import os
from collections.abc import Iterable
from typing import IO

from stage import storage
from stage.errors import StageError, UsageError, with_article
from stage.manifest import NAME, UNFINISHED, File, Json, MadeFrom, Manifest, StageName
from stage.probe import PROBE
from stage.published import CURRENT


def start_output(
    directory: str,
    stage: StageName,
    *,
    run_id: str,
    overwrite: bool,
    made_from: MadeFrom | None = None,
) -> None:
    """Makes an output directory ready to be written.

    A finished output is refused without `overwrite`; with it, its manifest goes first, so that no reader accepts a
    mixture. What another stage left is refused, finished or not. Whatever an unfinished run of this one left is
    removed. The mark of the unfinished output names stage and run, so that `finish_output` of one before notices a run
    which was started later. It is there before anything else changes, so that a run killed at any moment leaves what
    the next one knows for its own.

    Args:
        directory: The output directory.
        stage: The kind of output.
        run_id: As the manifest will have it.
        overwrite: Make a finished output again.
        made_from: What it will be made from; the refusal of a finished one then says which of it differs.

    Raises:
        StageError: If a finished output or somebody else's files are there, or the directory can't be written.
        UsageError: If a file is there.
    """
    refuse_taken(directory, stage, overwrite=overwrite, made_from=made_from)
    _mark(directory, stage, run_id=run_id)
    storage.delete(storage.join(directory, NAME))
    storage.clear(directory, keep=UNFINISHED)


def resume_output(directory: str, *, run_id: str) -> None:
    """Takes over an unfinished model, the one output that can be gone on with, as the caller has made sure.

    Args:
        directory: The output directory.
        run_id: As the manifest will have it.

    Raises:
        StageError: If it is finished by now, or the directory can't be written.
    """
    refuse_finished(directory, "model", overwrite=False, made_from=None)
    _mark(directory, "model", run_id=run_id)
    for name in filter(storage.is_partial, storage.sizes(directory)):
        storage.delete(storage.join(directory, name))


def _mark(directory: str, stage: StageName, *, run_id: str) -> None:
    mark = json.dumps({"stage": stage, "run_id": run_id})
    storage.write_bytes(storage.join(directory, UNFINISHED), mark.encode())


def refuse_taken(directory: str, stage: StageName, *, overwrite: bool, made_from: MadeFrom | None) -> None:
    """Refuses what `start_output` does, with the same arguments, for a run that takes long before it starts its own.

    Raises:
        StageError: As `start_output`.
        UsageError: As `start_output`.
    """
    refuse_file(directory)
    found = storage.sizes(directory)
    if NAME in found:
        refuse_finished(directory, stage, overwrite=overwrite, made_from=made_from)
    elif UNFINISHED in found:
        left = _parse_mark(storage.read_bytes(storage.join(directory, UNFINISHED)))
        _refuse_other_stage(left.get("stage"), directory, stage=stage, state="unfinished")
    # The mark appears by a rename: a run killed before that leaves a name which begins like it, or one of a probe.
    elif not all(name.startswith((UNFINISHED, PROBE)) for name in found):
        raise StageError(f"{directory}: holds files that no run of this command left; give another --output")
    _refuse_outputs_below(directory, found)


def find_finished(directory: str) -> Manifest | None:
    """The manifest of what a run may replace; None if the directory has none.

    Raises:
        StageError: If there is one that can't be read.
    """
    try:
        return Manifest.find(directory)
    except StageError as error:
        raise StageError(f"{error}; nothing there was touched, give another --output") from None


def refuse_finished(directory: str, stage: StageName, *, overwrite: bool, made_from: MadeFrom | None) -> None:
    """Refuses a finished output, as `start_output` does, for a run that takes long before it starts its own.

    Args:
        directory: The output directory; without a finished output there nothing is refused.
        stage: The kind of output.
        overwrite: A finished output of that kind may be made again.
        made_from: As `start_output`.

    Raises:
        StageError: If a finished output is there that may not be replaced.
    """
    finished = find_finished(directory)
    if finished is None:
        return
    _refuse_other_stage(finished.stage, directory, stage=stage, state="finished")
    if not overwrite:
        of_another = made_from.describe(finished) if made_from is not None else ""
        said = f"is finished already, {of_another}" if of_another else "is finished already"
        raise StageError(f"{directory}: {said}; --overwrite makes it again")


def refuse_within(directory: str, *paths: str | None, named: str) -> None:
    """Refuses to read what the output would delete, for a run that may make a finished output again.

    Args:
        directory: The output directory.
        paths: Where is read, if anywhere; links in the output would go, whatever they lead to.
        named: What has named them: an option, or a key of the spec.

    Raises:
        UsageError: If one of them is the output, or lies below it.
    """
    outside = set[str]()
    for path in filter(None, paths):
        above, is_link = os.path.dirname(path), os.path.islink(path)
        if above in outside and not is_link:
            continue
        if storage.is_within(path, directory):
            raise UsageError(f"{named}: expected a place outside of --output ({directory}), got {path}")
        if not is_link:
            outside.add(above)


def refuse_file(directory: str) -> None:
    """Refuses a local file where a directory is to be written, or one above it.

    Raises:
        UsageError: If it is there, naming it.
    """
    path = "" if "://" in directory else directory
    while path and not os.path.exists(path):
        path = os.path.dirname(path)
    if path and not os.path.isdir(path):
        raise UsageError(f"{path}: expected a directory, found a file; give another one")


def refuse_output(directory: str) -> None:
    """Refuses a directory that is an output, finished or not, to a run that only adds a file to what is there.

    Raises:
        UsageError: If it is one.
    """
    if any(storage.exists(storage.join(directory, name)) for name in (NAME, UNFINISHED)):
        raise UsageError(f"{directory}: expected no output of another command, found one; give another --output")


def refuse_unfinished(directory: str) -> None:
    """Refuses what another run left or still writes, for a run which that one may outlive, as a job elsewhere does.

    Raises:
        StageError: If the directory holds an unfinished output.
    """
    if is_unfinished(directory):
        raise StageError(
            f"{directory}: holds an unfinished output, which a job may still be writing; wait for its end, or, if it "
            "has failed, --overwrite makes it again"
        )


def is_unfinished(directory: str) -> bool:
    """Whether an output was begun there and not finished; a finished one may still have the mark."""
    return storage.exists(storage.join(directory, UNFINISHED)) and not storage.exists(storage.join(directory, NAME))


def write_file(directory: str, name: str, *, chunks: Iterable[bytes], records: int | None = None) -> File:
    """Writes a file of an output whole or not at all; a task that runs again writes the same.

    Args:
        directory: The output directory.
        name: Path below it.
        chunks: Its bytes, one after another.
        records: How many it holds, where they are counted.

    Returns:
        What the manifest says of it.

    Raises:
        StageError: If it can't be written, as on a full disk.
    """
    size, sha256 = 0, hashlib.sha256()

    def write(file: IO[bytes]) -> None:
        nonlocal size
        for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
            sha256.update(chunk)

    storage.write_file(storage.join(directory, name), write)
    return File(name=name, size=size, sha256=sha256.hexdigest(), records=records)


def finish_output(directory: str, made: Manifest) -> None:
    """Writes the manifest, from where on the output counts as finished, and removes the mark of an unfinished one.

    Does nothing if a try before has, as of a job's last step.

    Raises:
        StageError: If another run was started into the directory after this one; then nothing is written.
    """
    check_own(directory, run_id=made.run_id)
    mark = storage.join(directory, UNFINISHED)
    if storage.exists(mark):
        made.write(directory)
        storage.delete(mark)


def check_own(directory: str, *, run_id: str) -> None:
    """Checks that an output is still this run's, before a run that goes on for long writes more of it.

    Raises:
        StageError: If another run has begun there, and perhaps ended.
    """
    if last_run_of(directory) != run_id:
        raise StageError(
            f"{directory}: another run was started into it meanwhile and has taken it over; let that one end, or give "
            "each its own --output"
        )


def give_way(directory: str, *, run_id: str) -> None:
    """Leaves an output that another run has taken over, if one has: what this one wrote there by its id goes.

    Raises:
        StageError: If another run has begun there, and perhaps ended.
    """
    if last_run_of(directory) in (None, run_id):
        return
    for name in {*storage.names(directory), *storage.sizes(directory)}:
        if run_id in name:
            storage.delete(storage.join(directory, name))
    check_own(directory, run_id=run_id)


def last_run_of(directory: str) -> str | None:
    """The run that last began an output, finished or not; None if nothing there says it.

    Raises:
        StorageError: If it can't be read.
    """
    for path in (storage.join(directory, name) for name in (UNFINISHED, NAME)):
        if storage.exists(path):
            run_id = _parse_mark(storage.read_bytes(path)).get("run_id")
            return run_id if isinstance(run_id, str) else None
    return None


def _refuse_outputs_below(directory: str, found: Iterable[str]) -> None:
    """Refuses a directory below which others' outputs lie, or published models: they would go with what is there."""
    for name in sorted(found):
        above, _, last = name.rpartition("/")
        if above and last in (NAME, UNFINISHED, CURRENT):
            what = "published models" if last == CURRENT else "another output"
            raise StageError(f"{directory}: holds {what} in {above}, which would be deleted; give another --output")


def _refuse_other_stage(found: str | None, directory: str, *, stage: StageName, state: str) -> None:
    if found != stage:
        what = with_article(f"{state} {found}") if found else "an unfinished output that names no stage"
        raise StageError(
            f"{directory}: expected to find nothing, or {with_article(stage)} to make again, found {what}; give "
            "another --output"
        )


def _parse_mark(mark: bytes) -> Json:
    """What a mark says; nothing of one that isn't as `start_output` writes it."""
    try:
        said = json.loads(mark)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
