"""The flags that a plan is made of."""

from features.sections_read import SECTIONS_READ
from pipelines.aggregation.job_options import add_job_options
from stage.parser import Parser


def add_options(parser: Parser, *, what: str) -> None:
    """Adds the flags that a plan is made of.

    Args:
        parser: The command's.
        what: What the command leaves.
    """
    parser.add_argument("--spec", required=True, help="a shipped spec's name, or a path to a YAML file")
    parser.add_argument("--raw", help="directory that the spec's relative paths lie under, local or gs://")
    parser.add_argument("--output", required=True, help=f"directory to write the {what} to, local or gs://")
    parser.add_switch(
        "--overwrite", help=f"replace a finished {what}, which goes when the new one begins, not when it stands"
    )
    add_job_options(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest instead of a table")
    parser.add_set_option(SECTIONS_READ["build-dataset"], example="split.train_fraction=0.1")
