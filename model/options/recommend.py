"""The flags of `ssl-two-tower recommend`."""

from model.options.search import add_export_option, add_search_options
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower recommend",
        description="The best items for queries: ids that the export knows, or raw features as JSON objects.",
        example="ssl-two-tower recommend --export exports/1 --query perl "
        '\'{"section": "shells", "debtags": ["role::program"]}\' --exclude glibc --top-k 5',
    )
    add_export_option(parser)
    parser.add_argument(
        "--query", metavar="ID|JSON", nargs="+", action="extend", required=True, help="whom or what to recommend for"
    )
    parser.add_argument(
        "--history",
        metavar="ITEM",
        nargs="+",
        action="extend",
        help="in session mode: what came before the queries that are ids, the latest last",
    )
    add_search_options(parser)
    return parser
