"""The flags that every search of an export takes."""

from stage.parser import Parser
from stage.whole_number import whole_number


def add_search_options(parser: Parser) -> None:
    """Adds what every search takes."""
    parser.add_argument(
        "--exclude", metavar="ITEM", nargs="+", action="extend", default=[], help="ids of items to leave out"
    )
    parser.add_argument(
        "--top-k", metavar="K", type=whole_number(1), help="items for each; by default export.top_k of the spec"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_verify_option()
