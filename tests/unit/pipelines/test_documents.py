"""What documents link to is there, and the commands that they show are taken."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.beam.options import parse_beam_flags
from stage.parser import Parser

ROOT = Path(__file__).parents[3]
FOLDERS = (".", "docs", "results", "pipelines/retraining", "dataflow_templates/build_dataset", "training_image")
DOCUMENTS = [page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Of the headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"\w+://", link):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def commands_of(page: Path) -> list[list[str]]:
    """The arguments of each of our commands in the indented blocks."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4,}.*?\bssl-two-tower +([a-z][^\n\"]*(?:\"[^\n\"]*\"[^\n\"]*)*)", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_the_commands_that_documents_show_are_ones_that_are_taken(unknown: Callable[[list[str]], list[str]]) -> None:
    shown = {page: commands_of(page) for page in DOCUMENTS}
    assert all(shown[ROOT / page] for page in ("README.md", "docs/training.md", "results/README.md"))
    for page, commands in shown.items():
        for arguments in commands:
            left = unknown(arguments)
            if arguments[0] == "build-dataset":
                parse_beam_flags(left, Parser(prog="p", description="d", example="e"))
            else:
                assert left == [], (page, arguments)
