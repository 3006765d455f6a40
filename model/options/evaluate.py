"""The flags of `ssl-two-tower evaluate`."""

from features.spec.sections_read import SECTIONS_READ
from model.options.candidates import RANKED, add_candidates_option
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower evaluate",
        description="Ranks every item for the queries of a split, and writes metrics.json: by the model and, unless\n"
        "evaluate.baselines is false, by popularity and by item co-occurrence; overall, for head, tail and cold\n"
        "items, and for cold items among themselves. A query's candidates are all items but those that it is\n"
        "known to have (evaluate.exclude_known) and, where queries are items, itself (evaluate.exclude_self),\n"
        "whose pair with itself is then not ranked.",
        example="ssl-two-tower evaluate --model RUN/model --dataset RUN/dataset --split test --output RUN",
    )
    parser.add_argument("--model", metavar="MODEL", required=True, help="what train left")
    parser.add_argument("--dataset", metavar="DIR", required=True, help="what build-dataset left")
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="by default test")
    add_candidates_option(parser, these=RANKED)
    parser.add_argument("--output", metavar="DIR", required=True, help="directory that gets metrics.json")
    parser.add_argument("--json", action="store_true", help="print metrics.json to stdout instead of the table")
    parser.add_argument("--overwrite", action="store_true", help="replace a metrics.json that is there")
    parser.add_skip_done_option("metrics.json")
    parser.add_verify_option()
    parser.add_set_option(SECTIONS_READ["evaluate"], example="evaluate.exclude_known=false")
    return parser
