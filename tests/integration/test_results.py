"""The tables that are published follow from the trainings that are kept, and what README quotes stands in them."""

from pathlib import Path

import pytest

from model.comparison.results import read_results
from model.comparison.tables import tables

ROOT = Path(__file__).parents[2]
KEPT = sorted(path.parent for path in (ROOT / "results").glob("*/studies"))


@pytest.mark.parametrize("directory", KEPT, ids=lambda path: path.name)
def test_tables_are_those_of_the_kept_trainings(directory: Path) -> None:
    spec = directory.name.removesuffix("-cold")
    assert (directory / "tables.md").read_text() == tables({"spec": spec, **read_results(str(directory))})


def test_what_is_quoted_stands_in_a_table() -> None:
    shown = {line for directory in KEPT for line in (directory / "tables.md").read_text().splitlines()}
    for page in ("results/README.md", "README.md"):
        lines = (ROOT / page).read_text().splitlines()
        quoted = [line for line in lines if line.startswith("|") and "%]" in line]
        assert quoted
        assert not [line for line in quoted if line not in shown]
