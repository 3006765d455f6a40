"""`ssl-two-tower rollback`: an older published model is served again, under a new number."""

import json
import sys
from collections.abc import Sequence

from features.spec.file import gate_of
from features.spec.sections_read import SECTIONS_READ
from pipelines.publication import add_copy, point_to, publishing, remove_old
from stage import storage
from stage.command_line import run_process
from stage.errors import StageError
from stage.parser import Parser
from stage.published import Published, current_number, given_up, numbers, published_models
from stage.whole_number import whole_number


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If there is no such model, or the directory can't be written.
        UsageError: If an option or a key is wrong.
    """
    options = _parser().parse_args(argv)
    target, number = rollback(options.to, options.number, overrides=options.overrides)
    directory = storage.join(options.to, str(number))
    if options.json:
        print(json.dumps({"number": number, "directory": directory, "rolled_back_to": target}))
    else:
        print(f"published: {directory}, which is {target} again")


def rollback(base: str, wanted: int | None, *, overrides: Sequence[str]) -> tuple[int, int]:
    """Publishes an older model again.

    Args:
        base: P, on local disk or gs://.
        wanted: Its number; None: the newest of another model than that which is served, but for those that a
            rollback went back from.
        overrides: `key=value` each, of the section gate.

    Returns:
        The older number, and the new one.

    Raises:
        StageError: As `main`.
    """
    _current(base)  # asked before anything is written there
    with publishing(base):
        models = published_models(base)
        by_number = {model.number: model for model in models}
        current = _current(base)
        served = _left(models, current)
        left = served | given_up(models)
        old = _another(models, current, left=left) if wanted is None else by_number.get(wanted)
        if old is None:
            raise StageError(_not_found(base, wanted, models=models))
        # With another number above it, which TensorFlow Serving loads, there is one to go back from.
        if wanted == current == numbers(base)[-1]:
            raise StageError(
                f"--number: expected an older one of {base} than CURRENT, got {current}, which is served already"
            )
        old.manifest.check_files(old.directory)
        if served == {old.model}:
            said = "is of the model that is served, which stays: only its items go back to those of then"
            print(f"--number: {old.directory} {said}", file=sys.stderr, flush=True)
        keep = gate_of(old.manifest, old.directory, overrides=overrides, verb="rollback").keep
        number = add_copy(
            old.directory,
            old.manifest,
            base=base,
            rolled_back_to=old.number,
            rolled_back_from=tuple(sorted(left - {old.model})),
        )
        point_to(base, number)
        whole = {model.number: model.model for model in models} | {number: old.model}
        remove_old(base, whole, keep=keep)
    return old.number, number


def _current(base: str) -> int:
    """The number that CURRENT names, though a rollback that was killed may have left one above it."""
    number = current_number(base)
    if number is None:
        raise StageError(f"{base}: expected published models, found no CURRENT")
    return number


def _left(models: Sequence[Published], current: int) -> frozenset[str]:
    """Digests of the models that readers may have: that of CURRENT, and those above, which TensorFlow Serving loads.

    A rollback that was killed left a number above CURRENT too; going back is what it was for, so nobody leaves that.
    """
    above = [model for model in models if model.number > current and model.record.rolled_back_to is None]
    for model in above:
        said = f"CURRENT is {current}, so its publish was killed, has failed or is at work; the rollback is from both"
        print(f"{model.directory}: {said}", file=sys.stderr, flush=True)
    left = [*above, *(model for model in models if model.number == current)]
    return frozenset(model.model for model in left)


def _another(models: Sequence[Published], current: int, *, left: frozenset[str]) -> Published | None:
    """The newest whole one below CURRENT of another model than those left."""
    older = (model for model in models if model.number < current and model.model not in left)
    return next((model for model in older if model.is_whole()), None)


def _not_found(base: str, wanted: int | None, *, models: Sequence[Published]) -> str:
    there = ", ".join(str(model.number) for model in reversed(models)) or "none"
    if wanted is not None:
        return f"--number: expected a number of {base}, which has {there}, got {wanted}"
    if len({model.model for model in models}) == 1:
        return f"{base}: expected an older model to go back to, but only one is published, as {there}"
    return (
        f"{base}: expected an older model than the served one that no rollback went back from, found none among "
        f"{there}; name one with --number"
    )


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower rollback",
        description="Publishes an older model again under the next number, since TensorFlow Serving loads the highest\n"
        "one. Repeating it goes back one more. What it went back from is only published again by rollback --number\n"
        "or publish --again. The model comes back with the items of its own export: to serve others, export it again\n"
        "after the rollback, and publish that.",
        example="ssl-two-tower rollback --to published --number 3",
    )
    parser.add_published_option()
    parser.add_argument(
        "--number",
        metavar="N",
        type=whole_number(1),
        help="the older model; by default the newest that is another than the served one and that no rollback left",
    )
    parser.add_argument("--json", action="store_true", help="print the numbers and the directory as JSON")
    parser.add_set_option(SECTIONS_READ["rollback"], example="gate.keep=3")
    return parser


if __name__ == "__main__":
    run_process(main)
