"""Tables and defaults that documents quote are those of the code."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.sections_read import SECTIONS_READ
from features.spec import Spec
from model.comparison.variants import VARIANTS, names_on_request

ROOT = Path(__file__).parents[3]


def table(page: str, header: str) -> list[list[str]]:
    """The cells of each row of a document's table."""
    _, _, found = (ROOT / page).read_text().partition(f"\n{header}\n")
    rows = found.partition("\n\n")[0].splitlines()[1:]
    assert rows
    return [row.strip("|").split("|") for row in rows]


def in_code(text: str) -> list[str]:
    return re.findall(r"`(.*?)`", text)


def test_the_readme_s_table_of_sections_says_what_each_command_reads() -> None:
    said: dict[str, list[str]] = {}
    for commands, sections in table("README.md", "| command | sections that `--set` may change |"):
        named = in_code(sections)
        if sections.startswith(" those of "):
            named = [section for command in named for section in said[command]]
        said |= dict.fromkeys(in_code(commands), named)
    assert said == {verb: list(sections) for verb, sections in SECTIONS_READ.items()}


def test_the_variants_on_request_are_those_in_the_document_with_what_they_change() -> None:
    rows = table("docs/comparing.md", "| variant | what differs from plain or CFM |")
    assert sorted(name for names, _ in rows for name in in_code(names)) == sorted(names_on_request())
    for names, differs in rows:
        fixed = {key: value for name in in_code(names) for key, value in VARIANTS[name].fixed.items()}
        for key in ("ssl.alpha", "ssl.augmentation"):  # what makes it plain, CFM or RFM
            fixed.pop(key, None)
        said = [code.split("=") for code in in_code(differs) if "=" in code]
        assert {key: yaml.safe_load(value) for key, value in said} == fixed


def default_of(key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(Spec.model_fields[section].get_default(call_default_factory=True), name)


@pytest.mark.parametrize(
    ("page", "quoted"),
    [
        ("docs/publishing.md", {"gate.margin": 0.02, "gate.tail_margin": 0.05, "gate.keep": 5}),
        ("docs/training.md", {"train.validation_queries": 100_000}),
        ("docs/serving.md", {"export.max_exact_items": 1_000_000}),
        ("ARCHITECTURE.md", {"train.validation_queries": 100_000, "evaluate.max_queries": None}),
    ],
)
def test_the_defaults_that_documents_quote_are_the_spec_s(page: str, quoted: dict[str, float | None]) -> None:
    text = " ".join((ROOT / page).read_text().split())
    value = r"(\d[\d,.]*\b|a million|none)"
    found = dict(re.findall(rf"`(\w+\.\w+)` \(?{value}", text))
    found |= {key: number for number, key in re.findall(rf"{value} unless `(\w+\.\w+)`", text)}
    words = {"a million": 1_000_000, "none": None}
    assert {key: words[v] if v in words else float(v.replace(",", "")) for key, v in found.items()} == quoted
    assert {key: default_of(key) for key in quoted} == quoted
