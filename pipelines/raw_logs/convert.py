"""`ssl-two-tower convert`: public files, as they are downloaded, to a raw directory."""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.raw_logs import debian, debian_sample, movielens, wikispeedia
from pipelines.raw_logs.left_out import LeftOut
from pipelines.raw_logs.public_files import required_file
from pipelines.raw_logs.raw_output import RawOutput
from stage import storage
from stage.command_line import run_process
from stage.errors import StageError, UsageError, did_you_mean
from stage.instant import from_microseconds
from stage.output import refuse_within
from stage.parser import Parser
from stage.whole_number import whole_number

_WIKISPEEDIA = "SNAP's wikispeedia_paths-and-graph"


@dataclass(frozen=True)
class Converted:
    """What a converter made of its input."""

    tables: dict[str, list[dict[str, Any]]]
    """Table -> rows."""
    inputs: list[str]
    """Paths of the files that were read."""
    left_out: LeftOut
    notes: list[str]


def convert_wikispeedia(arguments: argparse.Namespace) -> Converted:
    """Links and clicks between articles.

    Raises:
        StageError: If a file is missing or can't be read, or leaves no articles or links.
    """
    directory, left_out = arguments.input, LeftOut()
    _require_directory(directory, of=_WIKISPEEDIA)
    columns = {"articles": 1, "categories": 2, "links": 2, "paths_finished": 5, "paths_unfinished": 6}
    files = {name: required_file(directory, f"{name}.tsv", of=_WIKISPEEDIA) for name in columns}
    lines = {
        name: list(wikispeedia.read_table(path, columns=columns[name], left_out=left_out))
        for name, path in files.items()
    }
    names = wikispeedia.articles(lines["articles"], left_out)
    known = set(names)
    paragraphs, paragraph_files = wikispeedia.first_paragraphs(directory, names, left_out=left_out)
    paths = lines["paths_finished"] + lines["paths_unfinished"]
    clicks = list(wikispeedia.clicks(paths, known=known, left_out=left_out))
    tables = {
        "interactions-link": list(wikispeedia.links(lines["links"], known=known, left_out=left_out)),
        **(
            {f"date={day}/interactions-click": rows for day, rows in by_day(clicks).items()}
            if arguments.by_day and clicks
            else {"interactions-click": clicks}
        ),
        "items": list(
            wikispeedia.items(names, categories=lines["categories"], paragraphs=paragraphs, left_out=left_out)
        ),
    }
    notes = [f"{len(names) - len(paragraphs):,} of {len(names):,} articles have no paragraph"]
    if not paragraph_files:
        notes = [
            f"no first_paragraph.tsv in {directory} and no plaintext_articles folder there or beside it: the feature "
            "paragraph is empty"
        ]
    return Converted(tables, [*files.values(), *paragraph_files], left_out, notes)


def _require_directory(path: str, *, of: str) -> None:
    if not os.path.isdir(path):
        raise StageError(f"{path}: expected the directory of {of}")


def by_day(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Day (UTC, YYYY-MM-DD) -> the rows of a log whose timestamp, in microseconds, is of it; ascending."""
    days: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        days.setdefault(f"{from_microseconds(row['timestamp']):%Y-%m-%d}", []).append(row)
    return days


def convert_debian(arguments: argparse.Namespace) -> Converted:
    """Relations between source packages.

    Raises:
        StageError: If the file can't be read or leaves no packages.
    """
    left_out = LeftOut()
    packages = debian.read_packages(arguments.input, left_out)
    rows = list(debian.interactions(packages, left_out))
    items = list(debian.items(packages, left_out))
    if arguments.sample_sources is not None:
        kept = debian_sample.choose_sources(
            [(row["query_id"], row["item_id"]) for row in rows],
            [item["item_id"] for item in items],
            size=arguments.sample_sources,
            seed=arguments.seed or 0,
        )
        sample = debian_sample.keep_sources(rows, kept)
        left_out.add("relation_outside_sample", "", times=len(rows) - len(sample))
        left_out.add("source_outside_sample", "", times=len(items) - len(kept))
        rows, items = sample, debian_sample.keep_sources(items, kept)
    return Converted({"interactions": rows, "items": items}, [arguments.input], left_out, [])


def convert_movielens(arguments: argparse.Namespace) -> Converted:
    """Ratings of movies by users.

    Raises:
        StageError: If a file is missing or can't be read, or leaves no users, movies or ratings.
    """
    _require_directory(arguments.input, of=movielens.NAMES)
    archive, paths = movielens.find_archive(arguments.input)
    left_out = LeftOut()
    users, items = (
        movielens.entities(paths[table.name], table, left_out=left_out) for table in (archive.users, archive.movies)
    )
    ratings = movielens.ratings(
        paths[archive.ratings.name],
        archive.ratings,
        users={row["user_id"] for row in users},
        movies={row["item_id"] for row in items},
        left_out=left_out,
    )
    return Converted({"interactions": list(ratings), "users": users, "items": items}, [*paths.values()], left_out, [])


CONVERTERS: dict[str, Callable[[argparse.Namespace], Converted]] = {
    "wikispeedia": convert_wikispeedia,
    "debian": convert_debian,
    "movielens": convert_movielens,
}


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower convert",
        description="Turns public files, as they are downloaded, into a raw directory.\n\n"
        "  wikispeedia  the directory of SNAP's wikispeedia_paths-and-graph: links and clicks between articles\n"
        "  debian       a Packages index, plain, .gz or .xz: which source packages need which others\n"
        "  movielens    the directory of GroupLens's ml-100k or ml-1m, or RecBole's ml-100k: users' ratings of movies",
        example="ssl-two-tower convert debian --input Packages.xz --output raw/debian",
    )
    parser.add_argument("source", metavar="SOURCE", help=f"one of {', '.join(CONVERTERS)}")
    parser.add_argument("--input", required=True, help="what was downloaded: a directory, or a file")
    parser.add_argument("--output", required=True, help="the raw directory to make")
    parser.add_argument("--overwrite", action="store_true", help="replace a finished output")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.add_argument(
        "--sample-sources",
        type=whole_number(1),
        metavar="N",
        help="debian: keep the N sources with most relations among themselves, a tenth of them needed by no other",
    )
    parser.add_argument(
        "--by-day", action="store_true", help="wikispeedia: clicks in a directory for each day, date=YYYY-MM-DD"
    )
    parser.add_argument("--seed", type=whole_number(0), metavar="S", help="debian: of the sample (default 0)")
    return parser


def main(argv: Sequence[str]) -> None:
    """Converts.

    Raises:
        StageError: If the input can't be read or the output can't be written.
    """
    arguments = _parser().parse_args(argv)
    if arguments.source not in CONVERTERS:
        near = did_you_mean(arguments.source, CONVERTERS)
        raise UsageError(f"expected a known SOURCE, got '{arguments.source}'{near}")
    if arguments.sample_sources is not None and arguments.source != "debian":
        raise UsageError(f"--sample-sources: {arguments.source} takes no sample, only debian does")
    if arguments.by_day and arguments.source != "wikispeedia":
        raise UsageError(f"--by-day: {arguments.source} isn't written by day, only wikispeedia is")
    if arguments.seed is not None and arguments.sample_sources is None:
        raise UsageError("--seed: expected --sample-sources beside it, since nothing else is drawn")
    refuse_within(arguments.output, arguments.input, named="--input")
    converted = CONVERTERS[arguments.source](arguments)
    for table, rows in converted.tables.items():
        if not rows:
            raise StageError(f"{arguments.input}: {_why_empty(table, converted.left_out)}")
    output = RawOutput.start(arguments.output, overwrite=arguments.overwrite)
    output.left_out, output.notes = converted.left_out, converted.notes
    for table, rows in converted.tables.items():
        output.write_rows(table, rows)
    output.finish(
        inputs={os.path.basename(path): storage.sha256(path) for path in converted.inputs},
        options=_options(arguments),
    )
    output.print_summary(as_json=arguments.json)


def _options(arguments: argparse.Namespace) -> dict[str, str | None]:
    options: dict[str, str | None] = {"source": arguments.source}
    if arguments.sample_sources is not None:
        options |= {"sample_sources": str(arguments.sample_sources), "seed": str(arguments.seed or 0)}
    if arguments.by_day:
        options["by_day"] = "true"
    return options


def _why_empty(table: str, left_out: LeftOut) -> str:
    reasons = [
        f"{reason} {count:,} times, first at {left_out.first[reason]}" for reason, count in left_out.counts.items()
    ]
    return f"expected lines for {table}, found none" + (f" ({'; '.join(reasons)})" if reasons else "")


if __name__ == "__main__":
    run_process(main)
