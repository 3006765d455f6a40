"""The flags of `ssl-two-tower train`."""

from features.spec.sections_read import SECTIONS_READ
from stage.parser import Parser
from stage.whole_number import whole_number


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower train",
        description="Trains a two-tower model, with the self-supervised task unless ssl.alpha is 0. The same command\n"
        "resumes.",
        example="ssl-two-tower train --dataset RUN/dataset --output RUN/model --set ssl.alpha=0",
    )
    parser.add_argument("--dataset", required=True, help="directory that build-dataset left")
    parser.add_argument("--output", required=True, help="directory for the model")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--warm-start", metavar="MODEL", help="model of another day to start from")
    start.add_argument(
        "--cold-start",
        action="store_true",
        help="start from nothing, though --published may have a model to start from",
    )
    parser.add_argument(
        "--published",
        metavar="P",
        help="directory of published models: what one was exported from is not overwritten; and unless --warm-start or "
        "--cold-start is given, start from the last one that can't have been trained on the test split, if any",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what is there, but for what --published keeps; an unfinished training of the same is resumed",
    )
    parser.add_skip_done_option("model")
    parser.add_argument(
        "--gpus",
        type=whole_number(1),
        metavar="N",
        help="refuse to train where this machine shows fewer GPUs; by default it trains on what there is",
    )
    parser.add_verify_option()
    parser.add_argument("--json", action="store_true", help="print the best validation as JSON")
    parser.add_set_option(SECTIONS_READ["train"])
    return parser
