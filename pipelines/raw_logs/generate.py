"""`ssl-two-tower generate`: logs like an app store's, made up, as many as wanted, the same for the same seed."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.raw_logs import json_columns as json_of
from pipelines.raw_logs.malformed_lines import LINES_PER_MALFORMED, spoil
from pipelines.raw_logs.raw_output import RawOutput, line_ranges
from pipelines.raw_logs.synthetic_catalogue import (
    CATEGORIES,
    COUNTRIES,
    DEVICES,
    LANGUAGES,
    Ints,
    Items,
    Queries,
    brand,
    make_items,
    make_queries,
)
from pipelines.raw_logs.synthetic_log import EVENTS, Lines, Log
from stage import progress
from stage.command_line import run_process
from stage.errors import UsageError
from stage.parser import Parser
from stage.whole_number import whole_number

FASTEST = 1
"""zlib's level: the generator is for volume."""


def main(argv: Sequence[str]) -> None:
    """Generates.

    Raises:
        StageError: If the output can't be written.
        UsageError: If memory can't hold so many items and queries.
    """
    arguments = _parser().parse_args(argv)
    total, seed = arguments.interactions, arguments.seed
    try:
        items = make_items(arguments.items, np.random.default_rng([seed, 0]))
        queries = make_queries(arguments.queries, np.random.default_rng([seed, 1]))
        log = Log(items=items, queries=queries, total=total, seed=seed)
    except (MemoryError, OverflowError, ValueError) as error:
        raise UsageError(f"--items, --queries: expected as many as memory holds, got more: {error}") from None
    output = RawOutput.start(arguments.output, overwrite=arguments.overwrite, compression=FASTEST)
    with progress.bar(total=total, unit="lines", description="generate") as bar:

        def blocks() -> Iterator[bytes]:
            for part in line_ranges(total):
                yield interaction_lines(log.block(part), first=part.start, seed=seed)
                bar.update(len(part))

        output.write_blocks("interactions", blocks(), lines=total)
    output.write_blocks(
        "items", (item_lines(items, part) for part in line_ranges(arguments.items)), lines=arguments.items
    )
    parts = line_ranges(arguments.queries)
    output.write_blocks("queries", (query_lines(queries, part) for part in parts), lines=arguments.queries)
    output.notes += [
        f"{total // LINES_PER_MALFORMED:,} of the interactions are malformed, on purpose",
        f"{int((items.popularity == 0).sum()):,} of the items are cold: no interaction draws them",
    ]
    flags = {name: str(getattr(arguments, name)) for name in ("interactions", "queries", "items", "seed")}
    output.finish(inputs={}, options={"source": "generate", **flags})
    output.print_summary(as_json=arguments.json)


def interaction_lines(lines: Lines, *, first: int, seed: int) -> bytes:
    """The log's lines, one in a thousand of them malformed.

    Args:
        lines: What they say.
        first: Number of the first one.
        seed: Draws the malformed ones.
    """
    objects = json_of.objects(
        {
            "query_id": json_of.text(_ids("u", lines.query)),
            "item_id": json_of.text(_ids("a", lines.item)),
            "event": json_of.text(_names(EVENTS, lines.event)),
            "timestamp": json_of.number(lines.timestamp),
        }
    )
    return json_of.lines(spoil(objects, first=first, rng=np.random.default_rng([seed, 3, first])))


def item_lines(items: Items, part: range) -> bytes:
    """A part of the item table."""
    rows = slice(part.start, part.stop)
    return json_of.lines(
        json_of.objects(
            {
                "item_id": json_of.text(_ids("a", np.arange(part.start, part.stop))),
                "title": json_of.text(pc.binary_join(items.title[rows], " ")),
                "developer": json_of.text(_names([brand(n) for n in range(items.developers)], items.developer[rows])),
                "category": json_of.text(_names(CATEGORIES, items.category[rows])),
                "tags": json_of.text_lists(items.tags[rows]),
                "description": json_of.text(pc.binary_join(items.description[rows], " ")),
                "price": json_of.number(items.price[rows]),
                "size": json_of.number(items.size[rows]),
            }
        )
    )


def query_lines(queries: Queries, part: range) -> bytes:
    """A part of the query table."""
    rows = slice(part.start, part.stop)
    return json_of.lines(
        json_of.objects(
            {
                "query_id": json_of.text(_ids("u", np.arange(part.start, part.stop))),
                "country": json_of.text(_names(COUNTRIES, queries.country[rows])),
                "language": json_of.text(_names(LANGUAGES, queries.country[rows])),
                "device": json_of.text(_names(DEVICES, queries.device[rows])),
            }
        )
    )


def _ids(letter: str, numbers: Ints) -> pa.StringArray:
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width=7, padding="0")
    return pc.binary_join_element_wise(letter, digits, "")


def _names(names: Sequence[str], indices: Ints) -> pa.StringArray:
    return pa.array(names, pa.string()).take(pa.array(indices))


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower generate",
        description="Makes up logs like an app store's: popular and cold items, features that depend on each other,\n"
        "queries with tastes, repeats, duplicates, events that are no install, malformed lines.",
        example="ssl-two-tower generate --interactions 20000 --queries 2000 --items 1000 --output raw/synthetic",
    )
    parser.add_argument("--interactions", type=whole_number(1), required=True, metavar="N", help="lines of the log")
    parser.add_argument("--queries", type=whole_number(1), required=True, metavar="Q", help="queries (users)")
    parser.add_argument(
        "--items", type=whole_number(10), required=True, metavar="M", help="items (apps), cold ones too"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="S", help="of all that is drawn (default 0)")
    parser.add_argument("--output", required=True, help="the raw directory to make")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished output")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    return parser


if __name__ == "__main__":
    run_process(main)
