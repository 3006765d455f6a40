"""The flags of `ssl-two-tower similar`."""

from model.options.search import add_export_option, add_search_options
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower similar",
        description="The items nearest to others: ids of the corpus, or raw features of new items as JSON objects.",
        example="ssl-two-tower similar --export exports/1 --item perl --top-k 5",
    )
    add_export_option(parser)
    parser.add_argument(
        "--item", metavar="ID|JSON", nargs="+", action="extend", required=True, help="items to find the like of"
    )
    add_search_options(parser)
    return parser
