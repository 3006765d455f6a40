"""`ssl-two-tower publish`: an export becomes the model that is served, whole or not at all."""

import json
import sys
from collections.abc import Sequence
from itertools import takewhile

from features.spec.file import gate_of
from features.spec.sections_read import SECTIONS_READ
from pipelines.publication import add_copy, point_to, publishing, refuse_foreign, remove_old
from stage import storage
from stage.command_line import run_process
from stage.errors import StageError
from stage.job_options import differing_options
from stage.manifest import Manifest
from stage.parser import Parser
from stage.published import (
    RECORD,
    Published,
    current_number,
    given_up,
    model_of,
    published_models,
    served_number,
)
from stage.whole_number import whole_number

_WHAT_AN_EXPORT_IS = ("content", "inputs", "spec_digest", "versions")


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the export isn't whole, a later one is served, a rollback went back from its model, another
            is served than `--after` says or than when this began, or the directory can't be written or holds what
            was never published.
        UsageError: If an option or a key is wrong.
    """
    options = _parser().parse_args(argv)
    # It copies every byte, so to hash them all first costs little, and what is served is never a damaged file.
    manifest = Manifest.read(options.export, "export", verify=True)
    keep = gate_of(manifest, options.export, overrides=options.overrides, verb="publish").keep
    number = publish(options.export, manifest, base=options.to, keep=keep, again=options.again, after=options.after)
    directory = storage.join(options.to, str(number))
    print(json.dumps({"number": number, "directory": directory}) if options.json else f"published: {directory}")


def publish(export: str, manifest: Manifest, *, base: str, keep: int, again: bool, after: int | None) -> int:
    """Copies an export to the next number and has CURRENT say so.

    What a publish of the same export did before it was killed is taken up, so it may be repeated; stderr says so of one
    that has ended.

    Args:
        export: The export's directory.
        manifest: Its manifest.
        base: P, on local disk or gs://.
        keep: Numbers that stay, and models.
        again: Also a model that a rollback went back from.
        after: The number whose model must be served, 0 for none, unless this export is already; None: any.

    Returns:
        The number.

    Raises:
        StageError: As `main`.
    """
    model = model_of(manifest, export)
    refuse_foreign(base)
    with publishing(base):
        served = served_number(base) or 0
        models = published_models(base)
        before = [found for found in models if found.number <= served]
        if before:
            _refuse_older(manifest, before[0])
        number = _copy_of(manifest, models, served=served)
        if number != served:
            if not again:
                _refuse_rolled_back(export, model, models=before)
            _refuse_unjudged(base, served, after=after, models=models)
        if served > (current_number(base) or 0):
            point_to(base, served)  # a rollback was killed before that
        if number is None:
            number = add_copy(export, manifest, base=base, rolled_back_from=tuple(sorted(given_up(before) - {model})))
        # On gs:// a copy takes minutes, and what is checked above is checked by the model that was served before.
        point_to(base, number, after=served)
        if number == served:
            directory = storage.join(base, str(number))
            print(f"{directory}: holds the same export already, and is served; nothing was copied", file=sys.stderr)
        whole = {found.number: found.model for found in models} | {number: model}
        remove_old(base, whole, keep=keep)
    return number


def _copy_of(manifest: Manifest, models: Sequence[Published], *, served: int) -> int | None:
    """The newest number, if it isn't below the served one and a whole copy of an export; else None.

    If the served one is such a copy too, with no other model between, it is that: on gs:// two tries at once make two.
    """
    newest = (model for model in models if model.number >= served)
    copies = [model.number for model in takewhile(lambda model: _is_copy(model, manifest), newest)]
    return served if served in copies else next(iter(copies), None)


def _is_copy(published: Published, manifest: Manifest) -> bool:
    """Whether a published model is an export, which may have been made anew, and whole."""
    found = published.manifest
    same = all(getattr(found, part) == getattr(manifest, part) for part in _WHAT_AN_EXPORT_IS)
    differing = differing_options(found.job_options, manifest.job_options)
    return same and not differing and published.is_whole()


def _refuse_older(manifest: Manifest, served: Published) -> None:
    """Lets nothing replace what serves later data: of its model, or of its items."""
    if ends := served.later_ends(manifest):
        mine, theirs = ends
        raise StageError(
            f"{served.directory}: its data ends at {mine}, after this export's ({theirs}): only the newest is "
            "published; rollback goes back to an older one, which may be exported anew then"
        )


def _refuse_rolled_back(export: str, model: str, *, models: Sequence[Published]) -> None:
    """Lets no task that is tried again undo a rollback, even one that was killed before CURRENT said so."""
    if model in given_up(models):
        found = next(one for one in models if model in one.record.rolled_back_from)
        raise StageError(
            f"{export}: a rollback went back from this export's model, says {found.directory}/{RECORD}; --again "
            "publishes it all the same"
        )


def _refuse_unjudged(base: str, served: int, *, after: int | None, models: Sequence[Published]) -> None:
    """Lets no model replace another one than was served when the gate judged it, whatever its number."""
    of = {found.number: found.model for found in models}
    if after is not None and of.get(served, served) != of.get(after, after):
        raise StageError(
            f"{base}: expected {after or 'none'} to be served, which --after says the gate judged by, found "
            f"{served or 'none'}: something was published or rolled back since; gate the model again"
        )


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower publish",
        description="Copies an export to P/N/, N being the next number, then writes N to P/CURRENT in one step. On\n"
        "local disk P/N/ appears whole; on gs:// it appears file by file, so readers should follow CURRENT. An\n"
        "export whose data ends before that of the served model is refused (exit code 1), and so is one of a\n"
        "model that was rolled back from, and any if another model is served than the gate judged by (--after).\n"
        "Repeating the command, even after it was killed, gives the same result.",
        example="ssl-two-tower publish --export exports/1 --to published",
    )
    parser.add_argument("--export", metavar="EXPORT", required=True, help="what export left")
    parser.add_published_option()
    parser.add_argument("--again", action="store_true", help="also a model that a rollback went back from")
    parser.add_argument(
        "--after",
        metavar="N",
        type=whole_number(0),
        help="what gate --json calls served, 0 for null; the export is refused if another model is served since",
    )
    parser.add_argument("--json", action="store_true", help="print number and directory as JSON")
    parser.add_set_option(SECTIONS_READ["publish"], example="gate.keep=3")
    return parser


if __name__ == "__main__":
    run_process(main)
