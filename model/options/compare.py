"""The flags of `ssl-two-tower compare`."""

from functools import partial

from features.spec.sections_read import SECTIONS_READ
from model.comparison.variants import (
    PEER_NAMES,
    PROTOCOLS,
    Protocol,
    default_names,
    names_on_request,
    parse_names,
    row_names,
)
from stage.errors import UsageError
from stage.parser import Parser
from stage.whole_number import whole_number


def make_parser() -> Parser:
    """The command's flags."""
    parser = Parser(
        prog="ssl-two-tower compare",
        description="Builds the dataset, searches settings for each variant, trains them with several seeds and\n"
        "ranks the test split; writes results.json, tables.md and plots. The same command resumes.",
        example="ssl-two-tower compare --spec wikispeedia-links --raw RAW --output COMPARISON "
        "--variants plain,cfm --protocol tuned --train-fraction 1,0.1",
    )
    parser.add_argument("--spec", help="a shipped spec's name, or a path; for --tables-only only without results.json")
    parser.add_argument("--raw", help="directory that the spec's relative paths lie under")
    parser.add_argument(
        "--output",
        metavar="DIR",
        nargs="+",
        action="extend",
        required=True,
        help="local directory for datasets, studies and tables; several for --tables-only",
    )
    parser.add_argument(
        "--variants",
        help=f"with commas between; by default the paper's: {', '.join(default_names())} (the last two under "
        f"--protocol paper alone), and with --peers {', '.join(PEER_NAMES)}; on request: "
        f"{', '.join(names_on_request())}",
    )
    parser.add_argument(
        "--against",
        type=partial(parse_names, option="--against", known=row_names()),
        default=[],
        metavar="ROWS",
        help="with commas between, variants or 'plain-id-dropout + cold correction at 2%%': adds tables of every row's "
        "gains over each, to those of gains over plain",
    )
    parser.add_argument(
        "--protocol", type=_protocols, default="tuned", help="paper, tuned, or paper,tuned; by default tuned"
    )
    parser.add_argument(
        "--train-fraction",
        type=_fractions,
        default="1",
        help="shares of the training pairs, such as 1,0.4,0.1; by default 1",
    )
    parser.add_argument("--seeds", type=whole_number(1), default=5, help="of each reported row; by default 5")
    parser.add_argument(
        "--trials", type=whole_number(1), default=8, help="of each variant's search, when tuned; by default 8"
    )
    parser.add_argument(
        "--most-steps",
        type=whole_number(1),
        default=4000,
        help="of a training that nothing stops before, rounded up to epochs; by default 4000",
    )
    parser.add_argument("--workers", type=whole_number(1), default=1, help="trainings at a time; by default 1")
    parser.add_argument("--threads", type=whole_number(1), default=1, help="of each; by default 1, as short steps want")
    parser.add_argument(
        "--peers",
        metavar="DIR",
        help=".peers, after make peers: adds implicit's ALS and BPR and LibRecommender's TwoTower, unless --variants "
        "names others; not with a section session",
    )
    parser.add_argument("--tables-only", action="store_true", help="train nothing; tables of what DIR/studies holds")
    parser.add_argument("--json", action="store_true", help="print each results.json in a line instead of the tables")
    parser.add_set_option(SECTIONS_READ["compare"], example="split.cold_items=0.1")
    return parser


def _protocols(text: str) -> list[Protocol]:
    found = parse_names(text, option="--protocol", known=PROTOCOLS, what="protocol")
    return [name for name in PROTOCOLS if name in found]


def _fractions(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < fraction <= 1 for fraction in found):
        raise UsageError(f"--train-fraction: expected shares above 0, up to 1, with commas between, got '{text}'")
    return found
