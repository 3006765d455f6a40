"""The tables that are published follow from the trainings that are kept, and what README quotes stands in them."""

import re
from pathlib import Path

import pytest

from model.comparison.results import read_results
from model.comparison.tables import tables

ROOT = Path(__file__).parents[2]
KEPT = sorted(path.parent for path in (ROOT / "results").glob("*/studies"))


@pytest.mark.parametrize("directory", KEPT, ids=lambda path: path.name)
def test_tables_are_those_of_the_kept_trainings(directory: Path) -> None:
    spec = directory.name.partition("-cold")[0]
    assert (directory / "tables.md").read_text() == tables(read_results(str(directory), spec_name=spec))


def tables_of(page: Path) -> list[tuple[str, list[str]]]:
    """Each table's lines, and the heading that it stands under."""
    found: list[tuple[str, list[str]]] = []
    heading, before = "", ""
    for line in page.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append((heading, []))
            found[-1][1].append(line)
        before = line
    return found


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_a_table_that_is_quoted_is_one_of_the_section_s_dataset(page: Path) -> None:
    published = {directory.name: tables_of(directory / "tables.md") for directory in KEPT}
    quoted = [table for table in tables_of(ROOT / page) if re.search(r"\[[-+.\d]+%?, ", "".join(table[1]))]
    assert quoted
    for heading, lines in quoted:
        spec = heading.partition(",")[0]
        # README has all of them under one heading, which names none.
        of_spec = [tables for name, tables in published.items() if name.partition("-cold")[0] == spec]
        candidates = [table for tables in of_spec or published.values() for _, table in tables]
        assert any(set(lines) <= set(table) for table in candidates), lines
