"""Tables and defaults that documents quote are those of the code."""

import re
from typing import Any

import pytest
import yaml
from documents import DOCUMENTS, ROOT, in_code, words_of
from small_specs import small_spec

from features.spec.sections_read import SECTIONS_READ
from model.comparison import results
from model.comparison.variants import VARIANTS, default_names, names_on_request
from model.ranking import bootstrap
from model.training import training_loop, validation
from pipelines.aggregation import named_columns


def table(page: str, header: str) -> list[list[str]]:
    """The cells of each row of a document's table."""
    _, _, found = (ROOT / page).read_text().partition(f"\n{header}\n")
    rows = found.partition("\n\n")[0].splitlines()[1:]
    assert rows
    return [row.strip("|").split("|") for row in rows]


def test_the_readme_s_table_of_sections_says_what_each_command_reads() -> None:
    said: dict[str, list[str]] = {}
    for commands, sections in table("README.md", "| command | sections that `--set` may change |"):
        named = in_code(sections)
        if sections.startswith(" those of "):
            named = [section for command in named for section in said[command]]
        said |= dict.fromkeys(in_code(commands), named)
    assert said == {verb: list(sections) for verb, sections in SECTIONS_READ.items()}


def test_the_variants_of_the_paper_are_those_in_the_document() -> None:
    rows = table("docs/comparing.md", "| variant of the paper | views of an item in L_self |")
    assert [name for names, _ in rows for name in in_code(names)] == default_names()


def test_the_variants_on_request_are_those_in_the_document_with_what_they_change() -> None:
    rows = table("docs/comparing.md", "| variant | what differs from plain or CFM |")
    assert sorted(name for names, _ in rows for name in in_code(names)) == sorted(names_on_request())
    for names, differs in rows:
        fixed = {key: value for name in in_code(names) for key, value in VARIANTS[name].fixed.items()}
        for key in ("ssl.alpha", "ssl.augmentation"):  # what makes it plain, CFM or RFM
            fixed.pop(key, None)
        said = [code.split("=") for code in in_code(differs) if "=" in code]
        assert {key: yaml.safe_load(value) for key, value in said} == fixed


SPEC = small_spec()


def default_of(key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(SPEC, section), name)


DEFAULTS = {
    "README.md": {"ssl.alpha": 0.3, "train.temperature": 0.07},
    "docs/data.md": {"sources.max_reject_ratio": None},
    "docs/publishing.md": {"gate.margin": 0.02, "gate.tail_margin": 0.05, "gate.keep": 5},
    "docs/training.md": {
        "train.epochs": 12,
        "train.patience": 3,
        "train.validation_queries": 100_000,
        "evaluate.max_queries": None,
    },
    "docs/serving.md": {"export.max_exact_items": 1_000_000},
    "docs/design/scale.md": {"train.validation_queries": 100_000, "evaluate.max_queries": None},
    "training_image/README.md": {"train.input_streams": 8},
}
"""Page -> the defaults that it quotes; None: 0 or null, which pages call none or all."""
NUMBERS = {"a million": 1_000_000, "none": None, "all": None}


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in DOCUMENTS])
def test_the_defaults_that_documents_quote_are_the_spec_s(page: str) -> None:
    text, value = words_of(page), r"(\d[\d,.]*\b|a million|none|all\b)"
    found = dict(re.findall(rf"`(\w+\.\w+)` \(?{value}", text))
    found |= dict(re.findall(rf"`(\w+\.\w+)`[^.;]*, by default {value}", text))
    found |= {key: number for number, key in re.findall(rf"{value} unless `(\w+\.\w+)`", text)}
    in_a_spec = rf"(\w+): \{{(\w+): [\d.]+\}} # the default is the paper's, {value}"
    found |= {f"{section}.{name}": number for section, name, number in re.findall(in_a_spec, text)}
    numbers = {key: NUMBERS[v] if v in NUMBERS else float(v.replace(",", "")) for key, v in found.items()}
    assert numbers == DEFAULTS.get(page, {})
    assert {key: default_of(key) or None for key in numbers} == numbers


def test_documents_that_quote_a_default_are_there() -> None:
    assert {*DEFAULTS} <= {str(page.relative_to(ROOT)) for page in DOCUMENTS}


@pytest.mark.parametrize(
    ("page", "said", "number"),
    [
        ("docs/publishing.md", r"From ([\d,]+) resamples", bootstrap.RESAMPLES),
        ("docs/comparing.md", r"queries \(([\d,]+) resamples", results.TABLE_RESAMPLES),
        ("docs/training.md", r"every (\d+) steps, and at every validation: both losses", training_loop._REPORT_EVERY),
        ("docs/training.md", r"for (\d+) items uniformity", validation._ITEMS),
        ("docs/data.md", r"of more than (\d+) files only the first", named_columns._FEW),
    ],
)
def test_numbers_that_no_key_sets_are_the_code_s(page: str, said: str, number: int) -> None:
    assert re.findall(said, words_of(page)) == [f"{number:,}"]


def test_spark_s_version_is_that_of_the_lock() -> None:
    (said,) = re.findall(r"\((\S+) in `requirements\.lock`\)", words_of("docs/engines.md"))
    (locked,) = re.findall(r"^pyspark==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked.split(".")[:2] == said.split(".")
