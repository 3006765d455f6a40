"""The flags of `ssl-two-tower gate`."""

from features.spec.sections_read import SECTIONS_READ
from model.options.candidates import RANKED, add_candidates_option
from stage.parser import Parser


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower gate",
        description="Decides whether a new model may be published: by Recall@50 on its test split, overall and of\n"
        "tail items, against the last published model that can't have been trained on that split. It passes if\n"
        "the 95% intervals of both differences (a paired bootstrap over queries, in session mode over users)\n"
        "are no wider than gate.margin and gate.tail_margin and lie above minus these, and if 3 / margin queries\n"
        "have a pair. Without such a model it only has to reach gate.floor and gate.tail_floor. A verdict is a\n"
        "result: the exit code is 0 whichever way it goes, and with --json `publish` says it, and `served` what\n"
        "publish takes as --after.",
        example="ssl-two-tower gate --model RUN/model --dataset RUN/dataset --published published --json",
    )
    parser.add_argument("--model", metavar="MODEL", required=True, help="what train left")
    parser.add_argument("--dataset", metavar="DIR", required=True, help="what it was trained on")
    parser.add_argument(
        "--published",
        metavar="P",
        required=True,
        help="what publish is given as --to; need not exist yet, of which stderr tells",
    )
    add_candidates_option(parser, these=RANKED)
    parser.add_verify_option()
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    parser.add_set_option(SECTIONS_READ["gate"], example="gate.margin=0.03")
    return parser
