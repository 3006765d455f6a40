"""The flags of `ssl-two-tower report`."""

from stage.parser import Parser
from stage.whole_number import whole_number

NAME = "report.html"


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower report",
        description="Writes one HTML file that needs no network: what a run read, what its features tell, how it\n"
        "trained, how it ranks beside popularity and co-occurrence, a map of its items, and what it recommends.",
        example="ssl-two-tower report --run RUN --model OTHER_RUN/model --output report.html",
    )
    parser.add_argument("--run", metavar="RUN", required=True, help="what run left: dataset, model and metrics.json")
    parser.add_argument(
        "--model", metavar="MODEL", action="append", default=[], help="another model beside the run's; may be repeated"
    )
    parser.add_argument(
        "--queries",
        metavar="N",
        type=whole_number(1),
        default=500,
        help="queries that can be looked up in it, by default 500",
    )
    parser.add_argument("--output", metavar="FILE", help=f"by default RUN/{NAME}")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_verify_option()
    return parser
