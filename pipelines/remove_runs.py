"""`ssl-two-tower remove-runs`: the old runs of the retraining go, but for those that later ones read."""

import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from pipelines.nightly_runs import MADE, OUTPUTS, is_run, last_trained
from stage import storage
from stage.command_line import run_process
from stage.errors import StageError, StorageError, UsageError
from stage.manifest import NAME, Manifest, begun_at
from stage.output import last_run_of
from stage.parser import Parser
from stage.published import Published, current_number, numbers, published_models

_IN_USE = timedelta(hours=72)
"""A run in which nothing was begun for so long is over: a try of a task may take half of it, unless told otherwise."""


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If it can't be told which runs are needed, or one can't be removed; then the others are.
        UsageError: If a name is none that a run could have, or the directory or a run to keep isn't there.
    """
    options = _parser().parse_args(argv)
    for flag, name in (("--before", options.before), *(("--keep", name) for name in options.keep)):
        if not is_run(name):
            raise UsageError(f"{flag}: expected a run's name, as 2026-01-31 or 2026-01-31t06-00, got '{name}'")
    old = old_runs(options.runs, published=options.published, before=options.before, keep=options.keep)
    failures = list[StageError]()
    for name in old:
        run, removed = storage.join(options.runs, name), not options.dry_run
        try:
            if not options.dry_run:
                _remove(run)
        except StageError as error:
            print(error, file=sys.stderr)
            failures.append(error)
            removed = False
        if options.json:
            print(json.dumps({"run": run, "removed": removed}), flush=True)
        elif removed or options.dry_run:
            print(f"{'removed' if removed else 'would remove'}: {run}", flush=True)
    if failures:
        raise StageError(f"{len(failures)} of {_runs(len(old))} could not be removed; the first: {failures[0]}")


def old_runs(runs: str, *, published: str, before: str, keep: Collection[str]) -> list[str]:
    """Names of the runs to remove.

    Nothing is removed where nothing is published, which may be a misspelt directory, or it can't be told which model
    a number is. So stays a run whose model can't be told, with a line on stderr, and one in which something was
    begun lately: a backfill runs beside the nights. If nothing is removed, stderr says why.

    Args:
        runs: Their directory, on local disk or gs://.
        published: P, the directory of published models; the run of each number's model stays.
        before: Runs of this name and later ones stay, and of the earlier ones the last that has trained a model.
        keep: So do these.

    Raises:
        StageError: If a published model doesn't say what it was exported from, or a store doesn't answer.
        UsageError: If something is published, but the directory isn't there; a name of `keep` isn't in it; or P lies in
            a run.
    """
    found = storage.names(runs)
    models = published_models(published)
    if models and not found and not storage.exists(runs):
        raise UsageError(f"--runs: there is no directory {runs}")
    there = sorted(filter(is_run, found))
    if any(storage.is_within(published, storage.join(runs, name)) for name in there):
        raise UsageError(f"--published: expected a place outside of the runs, which may be removed, got {published}")
    _check_kept(keep, there, runs=runs)
    unknown = _unknown(published, models)
    if unknown or not models:
        what = f"{unknown[0]} isn't whole" if unknown else f"{published} has no model"
        print(f"nothing removed: {what}", file=sys.stderr)
        return []
    needed = {model.model for model in models}
    last = last_trained(runs, there, before=before)
    why = {name: _why_it_stays(name, runs, before=before, keep=keep, needed=needed) for name in there}
    if last is not None:  # a later dataset may be held to its
        why[last] = why[last] or "the last that trained"
    old = [name for name, reason in why.items() if reason is None]
    if not old:
        stay = ", ".join(f"{n} {reason}" for reason, n in Counter(why.values()).items())
        print(f"nothing removed: {runs} has {_runs(len(why))}{': ' if stay else ''}{stay}", file=sys.stderr)
    return old


def _remove(run: str) -> None:
    """Removes a run; what tells that it is one goes last, so that the next call removes what a kill left of it."""
    for name in sorted(storage.names(run), key=lambda name: (name in MADE, name)):
        storage.delete(storage.join(run, name))
    storage.delete(run)


def _check_kept(keep: Collection[str], there: Sequence[str], *, runs: str) -> None:
    """Refuses a name of no run: it would protect nothing, and the run that was meant would go."""
    for name in keep:
        if name not in there:
            span = f", {there[0]} to {there[-1]}" if len(there) > 1 else f", {there[0]}" if there else ""
            raise UsageError(
                f"--keep: expected the name of a run in {runs}, got '{name}'; it has {_runs(len(there))}{span}"
            )


def _runs(number: int) -> str:
    return f"{number or 'no'} run{'s' * (number != 1)}"


def _unknown(published: str, models: Sequence[Published]) -> list[str]:
    """Directories of numbers of which it can't be told what they are, or will be.

    Below CURRENT a number without a manifest is what a killed publish left on gs://, and nobody ends it.
    """
    whole, served = {model.number for model in models}, current_number(published) or 0
    left = ((number, storage.join(published, str(number))) for number in numbers(published) if number not in whole)
    return [path for number, path in left if number >= served or storage.exists(storage.join(path, NAME))]


def _why_it_stays(name: str, runs: str, *, before: str, keep: Collection[str], needed: Collection[str]) -> str | None:
    """In few words; None if nobody needs it. It may have no model."""
    if name >= before:
        return f"of {before} or later"
    if name in keep:
        return "named by --keep"
    run = storage.join(runs, name)
    if "://" not in run and not os.path.isdir(run):
        return "no directory"
    if (there := storage.names(run)) and there.isdisjoint(MADE):
        return "no run of the retraining"
    try:
        found = Manifest.find(storage.join(run, "model"))
    except StorageError:
        raise
    except StageError as error:
        print(f"{error}; its run stays", file=sys.stderr)
        return "of an unknown model"
    if found is not None and found.content_digest in needed:
        return "published"
    if os.path.islink(run):  # what it leads to, as on another disk, may be somebody else's too
        print(f"{run}: a link to {storage.absolute(run)}; remove both by hand", file=sys.stderr)
        return "a link"
    return "begun lately" if _is_in_use(run) else None


def _is_in_use(run: str) -> bool:
    """Whether it may still be written, or be read by its next task."""
    for output in OUTPUTS:
        begun = begun_at(last_run_of(storage.join(run, output)) or "")
        if begun is not None and datetime.now(UTC) - begun < _IN_USE:
            print(f"{run}: its {output} was begun at {begun:%Y-%m-%dT%H:%M:%SZ}; it stays", file=sys.stderr)
            return True
    return False


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower remove-runs",
        description="Removes the runs before a name, but for those whose models are published, by any number, the\n"
        "last that has trained a model, since a later dataset may be held to its, and those that --keep\n"
        "names. Runs are directories named as in 2026-01-31 or 2026-01-31t06-00. One that is a link\n"
        "stays, and stderr names it; one that holds nothing that a run makes, as a day of raw logs\n"
        "does, stays too. Nothing is removed where nothing is published, or a number is damaged or\n"
        "still being written, and no run in which something was begun in the last 72 hours. If nothing\n"
        "is removed, stderr says why; a run that can't be holds up no other. The retraining's DAG\n"
        "calls it: pipelines/retraining/README.md says what else later runs read.",
        example="ssl-two-tower remove-runs --runs retraining/runs --published retraining/published --before 2026-01-01",
    )
    parser.add_argument("--runs", metavar="DIR", required=True, help="directory of the runs, local or gs://")
    parser.add_argument("--published", metavar="P", required=True, help="what publish is given as --to")
    parser.add_argument("--before", metavar="NAME", required=True, help="runs of this name and later ones stay")
    parser.add_argument(
        "--keep", metavar="NAME", nargs="+", action="extend", default=[], help="runs that stay too; each must be there"
    )
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, say what would go")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each run")
    return parser


if __name__ == "__main__":
    run_process(main)
