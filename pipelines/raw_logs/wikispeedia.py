"""Wikispeedia (SNAP's wikispeedia_paths-and-graph) as rows: articles, links between them, clicks of people at play.

Query and item are articles; an id is the article's name as the files have it, URL-encoded.

- `link`: an article links to another (or, 110 times, to itself). No time.
- `click`: from the page in view to the next one. `<` goes back to the page before and is no click; a click after it
  starts at the page gone back to. Click k of the n of a path happened at the path's time + duration * k / n.

Where an article is unknown, the line (or, within a path, the click to it and the one from it) is left out and counted.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_plus

from pipelines.raw_logs.left_out import LeftOut
from pipelines.raw_logs.public_files import find_file, read_lines
from pipelines.raw_logs.seconds import LATEST_SECOND, as_seconds
from stage import storage

Row: TypeAlias = dict[str, Any]

CATEGORY_LEVELS = 3
"""Below the root `subject`, which every category shares and which therefore says nothing."""
WORDS_OF_A_PARAGRAPH = 8
"""A shorter block of an article's plain text is a heading or a caption."""


class Line(NamedTuple):
    """A line of a table, taken apart."""

    place: str
    """File and line."""
    values: list[str]


def read_table(path: str, *, columns: int, left_out: LeftOut) -> Iterator[Line]:
    """Reads tab-separated lines; empty ones and comments (#) are skipped.

    Args:
        path: The file.
        columns: How many values a line has.
        left_out: Counts lines that have another number of values, an empty one, or invalid UTF-8.

    Raises:
        StageError: If the file can't be read.
    """
    name = os.path.basename(path)
    for number, content in read_lines(path):
        if not content or content.startswith(b"#"):
            continue
        place = f"{name}:{number}"
        try:
            values = content.decode().split("\t")
        except UnicodeDecodeError:
            left_out.add("malformed_line", f"{place}: not UTF-8")
            continue
        if len(values) == columns and all(values):
            yield Line(place, values)
        else:
            left_out.add("malformed_line", f"{place}: expected {columns} values, got {len([v for v in values if v])}")


def articles(lines: Iterable[Line], left_out: LeftOut) -> list[str]:
    """Names of the articles, in the order of the file, each once."""
    names: dict[str, None] = {}
    for place, (name,) in lines:
        if name in names:
            left_out.add("repeated_article", f"{place}: {name}")
        names[name] = None
    return list(names)


def items(
    names: Sequence[str], *, categories: Iterable[Line], paragraphs: dict[str, str], left_out: LeftOut
) -> Iterator[Row]:
    """Item rows.

    Args:
        names: The articles.
        categories: Lines (article, category), the category's levels joined by dots.
        paragraphs: Article -> its first paragraph.
        left_out: Counts categories of unknown articles, and levels below the third.

    Yields:
        item_id, title (decoded), categories (the path down to each level), category_level_1 to 3 (the paths of that
        level), paragraph (None if there is none).
    """
    known = set(names)
    paths: dict[str, list[str]] = defaultdict(list)
    for place, (name, category) in categories:
        if name not in known:
            left_out.add("category_of_unknown_article", f"{place}: {name}")
            continue
        paths[name].append(category.removeprefix("subject."))
        if category.count(".") > CATEGORY_LEVELS:
            left_out.add("category_level_too_deep", f"{place}: {category}")
    for name in names:
        levels = [category_level(paths[name], level) for level in range(1, CATEGORY_LEVELS + 1)]
        yield {
            "item_id": name,
            "title": unquote_plus(name).replace("_", " "),
            "categories": [path for level in levels for path in level],
            **{f"category_level_{depth}": paths_there for depth, paths_there in enumerate(levels, start=1)},
            "paragraph": paragraphs.get(name),
        }


def category_level(paths: Iterable[str], level: int) -> list[str]:
    """The distinct beginnings, `level` names long, of the category paths that reach so deep."""
    split = (path.split(".") for path in paths)
    return list(dict.fromkeys(".".join(names[:level]) for names in split if len(names) >= level))


def links(lines: Iterable[Line], *, known: set[str], left_out: LeftOut) -> Iterator[Row]:
    """Interaction rows of the links."""
    for place, (source, target) in lines:
        if source not in known or target not in known:
            left_out.add("link_of_unknown_article", f"{place}: {source} -> {target}")
            continue
        yield {"query_id": source, "item_id": target, "event": "link"}


def clicks(lines: Iterable[Line], *, known: set[str], left_out: LeftOut) -> Iterator[Row]:
    """Interaction rows of the clicks: also timestamp (microseconds since 1970, UTC) and user_id.

    Args:
        lines: Paths: (user, time and duration in seconds, pages joined by semicolons, ...).
        known: The articles.
        left_out: Counts what the module's docstring says, paths without a click, and paths with a bad time.
    """
    for place, (user, time, duration, path, *_) in lines:
        start, lasted = as_seconds(time), as_seconds(duration)
        if start is None or lasted is None or start + lasted >= LATEST_SECOND:
            expected = "expected seconds, before 2200 at their end"
            left_out.add("malformed_line", f"{place}: {expected}, got {time[:20]} and {duration[:20]}")
            continue
        steps, back_at_start = steps_of_path(path.split(";"))
        if back_at_start:
            left_out.add("back_at_start_of_path", place, times=back_at_start)
        if not steps:
            left_out.add("path_without_click", place)
        for k, (source, target) in enumerate(steps, start=1):
            if source not in known or target not in known:
                left_out.add("click_of_unknown_article", f"{place}: {source} -> {target}")
                continue
            yield {
                "query_id": source,
                "item_id": target,
                "event": "click",
                "timestamp": start * 1_000_000 + lasted * 1_000_000 * k // len(steps),
                "user_id": user,
            }


def steps_of_path(pages: Iterable[str]) -> tuple[list[tuple[str, str]], int]:
    """The clicks of a path, as (page in view, next page), and how often `<` had no page to go back to."""
    in_view: list[str] = []
    steps = []
    back_at_start = 0
    for page in pages:
        if page != "<":
            if in_view:
                steps.append((in_view[-1], page))
            in_view.append(page)
        elif len(in_view) > 1:
            in_view.pop()
        else:
            back_at_start += 1
    return steps, back_at_start


def first_paragraphs(directory: str, names: Iterable[str], *, left_out: LeftOut) -> tuple[dict[str, str], list[str]]:
    """First paragraphs, from first_paragraph.tsv or, without it, from the plaintext_articles folder.

    Args:
        directory: Where both are looked for; the folder, which is a download of its own, also beside it.
        names: The articles.
        left_out: Counts malformed lines and paragraphs of unknown articles.

    Returns:
        Article -> paragraph, and the files it was read from (none if there are neither).
    """
    table = find_file(directory, "first_paragraph.tsv")
    if table:
        paragraphs, known = {}, set(names)
        for place, (name, text) in read_table(table, columns=2, left_out=left_out):
            if name in known:
                paragraphs[name] = text
            else:
                left_out.add("paragraph_of_unknown_article", f"{place}: {name}")
        return paragraphs, [table]
    beside = os.path.join(os.path.dirname(storage.from_root(directory)), "plaintext_articles")
    for folder in (os.path.join(directory, "plaintext_articles"), beside):
        paths = {name: os.path.join(folder, f"{name}.txt") for name in names}
        found = {name: path for name, path in paths.items() if os.path.isfile(path)}
        if found:
            texts = {name: b"\n".join(line for _, line in read_lines(path)) for name, path in found.items()}
            decoded = {name: first_paragraph(text.decode(errors="replace")) for name, text in texts.items()}
            return {name: text for name, text in decoded.items() if text}, sorted(found.values())
    return {}, []


def first_paragraph(text: str) -> str:
    """The first paragraph of an article's plain text: no copyright, heading or list of related subjects."""
    for block in re.split(r"\n\s*\n", text):
        words = block.split()
        if len(words) >= WORDS_OF_A_PARAGRAPH and "Related subjects:" not in block and not words[0].startswith("#"):
            return " ".join(words)
    return ""
