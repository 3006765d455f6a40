"""The flag `--candidates`, of the commands that can do with a part of a dataset's items."""

from stage.parser import Parser

RANKED = "ranked, such as those that were on offer when the split was logged, and only pairs of theirs"


def add_candidates_option(parser: Parser, *, these: str) -> None:
    """Adds `--candidates`, which `model.ranking.candidates` reads.

    Args:
        parser: The command's.
        these: What these items are, or are done to, in words.
    """
    parser.add_argument(
        "--candidates",
        metavar="GLOB",
        help=f"Parquet files with a column item_id: only these items are {these}; all by default",
    )
