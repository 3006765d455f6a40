"""The flags of `ssl-two-tower build-dataset`."""

from pipelines.aggregation.options import add_options
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags; Beam's own come beside them."""
    parser = Parser(
        prog="ssl-two-tower build-dataset",
        description="Builds a dataset out of raw logs, as one Beam job. Takes Beam's flags too; runs here by default.",
        example="ssl-two-tower build-dataset --spec wikispeedia-links --raw RAW --output DATASET",
    )
    add_options(parser, what="dataset")
    parser.add_skip_done_option("dataset")
    parser.add_argument("--aggregated", metavar="AGGREGATE", help="what aggregate-spark left; no raw log is read then")
    parser.add_argument("--schema", metavar="FILE", help="hold the data to this schema, such as another dataset's")
    parser.add_argument(
        "--baseline",
        metavar="DATASET",
        help="hold the data to this dataset's schema and distributions; RUNS, where --output is RUNS/NAME/dataset: to "
        "those of the last run before it that has trained a model",
    )
    parser.add_argument(
        "--published",
        metavar="P",
        help="directory of published models: a dataset that one was trained on is not replaced by one of another spec, "
        "options or input; with --skip-done it is left as it is, exit code 0",
    )
    return parser
