"""What lists every key of the spec: its JSON Schema, as editors read it, and the page for readers."""

import json
from importlib import resources
from pathlib import Path

import pytest

from features.spec.file import shipped_names
from features.spec.page import page_text
from features.spec.schema import schema_text


def test_the_shipped_schema_is_that_of_the_spec() -> None:
    shipped = resources.files("features.specs").joinpath("spec.schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(), "run: make schema"


@pytest.mark.parametrize("name", shipped_names())
def test_each_shipped_spec_points_editors_to_it(name: str) -> None:
    first = resources.files("features.specs").joinpath(f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=spec.schema.json"


def test_it_says_what_a_key_means() -> None:
    rate = json.loads(schema_text())["$defs"]["Ssl"]["properties"]["dropout_rate"]
    assert rate["description"] == "Probability that a view drops a value of a multi-valued feature, after masking."
    assert rate["minimum"] == 0


def test_the_page_in_docs_is_that_of_the_spec() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "spec.md").read_text(encoding="utf-8")
    assert page == page_text(), "run: make schema"


def test_the_page_has_every_section_and_says_what_a_key_takes() -> None:
    headings = {line.removeprefix("## ") for line in page_text().splitlines() if line.startswith("## ")}
    assert len(headings) == 22
    sections = json.loads(schema_text())["$defs"]  # with the whole one, all that there are
    assert len(sections) + 1 == len(headings)
    for row in (
        "| `alpha` | number >= 0 | `0.3` | Weight of its loss; 0: plain two-tower, no SSL work done. The default is "
        "the paper's method; README says where to begin with 0. |",
        "| `hidden` | list of whole number >= 1 | `[256, 128]` | Units of each layer; the last is the embedding that "
        "is compared. |",
        "| `split` | section |  | How lines become training, validation and test pairs. |",
        "| `rows` | whole number >= 1 < 2147483648 | required | Rows of the table, shared by all terms. |",
        "| `complement` | `true`, `false` | `true` | The second view masks exactly what the first shows; false: it "
        "draws its own mask (rfm) or its own seed feature (cfm). |",
    ):
        assert row in page_text()
