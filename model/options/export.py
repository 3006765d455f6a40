"""The flags of `ssl-two-tower export`."""

from features.spec.sections_read import SECTIONS_READ
from model.options.candidates import add_candidates_option
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower export",
        description="Makes a SavedModel with transform, towers and corpus in it: raw features in, items out.",
        example="ssl-two-tower export --model RUN/model --dataset RUN/dataset --output exports/1",
    )
    parser.add_argument("--model", metavar="MODEL", required=True, help="what train left")
    parser.add_argument("--dataset", metavar="DIR", required=True, help="what build-dataset left: its items are served")
    add_candidates_option(parser, these="served, such as those on offer")
    parser.add_argument("--output", metavar="DIR", required=True, help="directory for the export")
    parser.add_argument("--overwrite", action="store_true", help="replace an export that is there")
    parser.add_verify_option()
    parser.add_argument("--json", action="store_true", help="print counts and measures as JSON")
    parser.add_set_option(SECTIONS_READ["export"], example="export.top_k=20")
    return parser
