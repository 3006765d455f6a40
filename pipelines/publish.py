"""`ssl-two-tower publish`: an export becomes the model that is served, whole or not at all."""

import json
import sys
from collections.abc import Sequence

from features.spec_file import SECTIONS_READ, spec_of
from pipelines.publication import place, point_to, publishing, remove_old
from stage import storage
from stage.command_line import run_command
from stage.errors import StageError
from stage.manifest import Manifest
from stage.parser import Parser
from stage.published import Published, current_number, published_models


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the export isn't whole, a later one is served, or the directory can't be written.
        UsageError: If an option or a key is wrong.
    """
    options = _parser().parse_args(argv)
    manifest = Manifest.read(options.export, "export", verify=options.verify)
    keep = spec_of(manifest, options.export, overrides=options.overrides, verb="publish").gate.keep
    number = publish(options.export, manifest, base=options.to, keep=keep)
    directory = storage.join(options.to, str(number))
    print(json.dumps({"number": number, "directory": directory}) if options.json else f"published: {directory}")


def publish(export: str, manifest: Manifest, *, base: str, keep: int) -> int:
    """Copies an export to the next number and has CURRENT say so.

    What a publish of the same export did before it was killed is taken up, so it may be repeated.

    Args:
        export: The export's directory.
        manifest: Its manifest.
        base: P, on local disk or gs://.
        keep: Published models that stay.

    Returns:
        The number.

    Raises:
        StageError: As `main`.
    """
    with publishing(base):
        served = current_number(base) or 0
        models = published_models(base)
        before = next((model for model in models if model.number <= served), None)
        if before is not None:
            _refuse_older(manifest, before)
        if models and models[0].number >= served and _is_copy(models[0], manifest):
            number = models[0].number
        else:
            number = place(export, manifest, base=base)
        point_to(base, number)
        remove_old(base, [number, *(model.number for model in models)], keep=keep)
    return number


def _is_copy(published: Published, manifest: Manifest) -> bool:
    """Whether a published model is an export, and whole."""
    return published.manifest == manifest and manifest.is_whole(published.directory)


def _refuse_older(manifest: Manifest, served: Published) -> None:
    """Lets nothing replace a model that has seen later data."""
    if served.ends_after(manifest):
        raise StageError(
            f"{served.directory}: its data ends at {served.manifest.job_options['data_end']}, after this export's "
            f"({manifest.job_options['data_end']}): only the newest is published; rollback goes back to an older one"
        )


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower publish",
        description="Copies an export to P/N/, N being the next number, then writes N to P/CURRENT in one step. On\n"
        "local disk P/N/ appears whole; on gs:// it appears file by file, so readers should follow CURRENT. An\n"
        "export whose data ends before that of the served model is refused (exit code 1). Repeating the\n"
        "command, even after it was killed, gives the same result.",
        example="ssl-two-tower publish --export exports/1 --to published",
    )
    parser.add_argument("--export", metavar="EXPORT", required=True, help="what export left")
    parser.add_argument(
        "--to",
        metavar="P",
        required=True,
        help="directory of published models, local or gs://; what gate and train take as --published",
    )
    parser.add_verify_option()
    parser.add_argument("--json", action="store_true", help="print number and directory as JSON")
    parser.add_set_option(SECTIONS_READ["publish"], example="gate.keep=3")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
