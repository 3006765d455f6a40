"""The flags of the commands that search an export."""

from stage.parser import Parser
from stage.whole_number import whole_number


def add_search_options(parser: Parser) -> None:
    """Adds what every search takes."""
    parser.add_argument(
        "--exclude", metavar="ITEM", nargs="+", action="extend", default=[], help="ids of items to leave out"
    )
    add_top_k_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_verify_option()


def add_export_option(parser: Parser) -> None:
    """Adds `--export`, what is searched."""
    parser.add_argument("--export", metavar="DIR", required=True, help="what export left, or publish was given as --to")


def add_top_k_option(parser: Parser) -> None:
    """Adds `--top-k`, how many items are found."""
    parser.add_argument(
        "--top-k", metavar="K", type=whole_number(1), help="items for each; by default export.top_k of the spec"
    )
