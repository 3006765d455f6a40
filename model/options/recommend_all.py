"""The flags of `ssl-two-tower recommend-all`."""

from model.options.search import add_export_option, add_top_k_option
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower recommend-all",
        description="The best items for every query that an export carries, or that --queries names, as Parquet\n"
        "files: query_id, rank, item_id, score; the ids are strings. Where queries are items the query itself is\n"
        "left out (evaluate.exclude_self).",
        example="ssl-two-tower recommend-all --export exports/1 --known RUN/dataset --output recommendations",
    )
    add_export_option(parser)
    parser.add_argument(
        "--queries",
        metavar="GLOB",
        help="Parquet files of queries to ask with instead of the export's: query_id and features by name, in session "
        "mode also history, a list of item ids with the latest last, and context",
    )
    parser.add_argument(
        "--known",
        metavar="DATASET",
        help="what build-dataset left: the items of a query's pairs there, of all splits, are left out",
    )
    parser.add_argument(
        "--output", metavar="DIR", required=True, help="directory for manifest.json and items/, the files"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace recommendations that are there")
    add_top_k_option(parser)
    parser.add_verify_option()
    parser.add_argument("--json", action="store_true", help="print counts as JSON")
    return parser
