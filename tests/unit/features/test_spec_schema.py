"""What lists every key of the spec: its JSON Schema, as editors read it, and the page for readers."""

import json
from importlib import resources
from pathlib import Path

import pytest
from refused_specs import TREE

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


def test_the_json_schema_describes_every_key() -> None:
    schema = json.loads(schema_text())
    assert set(schema["properties"]) == set(TREE)
    ssl = schema["$defs"]["Ssl"]
    assert ssl["additionalProperties"] is False
    assert ssl["properties"]["alpha"]["description"].startswith("Weight of its loss")
    assert ssl["properties"]["alpha"]["minimum"] == 0
    starts = [
        schema["$defs"]["Split"]["properties"][f"{split}_start"]["description"] for split in ("test", "validation")
    ]
    assert all("(ISO 8601, UTC unless it names a zone; time)" in said for said in starts)
    # A key that is a section says what its section does, unless it says more.
    sections = {"the spec": schema, **schema["$defs"]}
    assert not [name for name, section in sections.items() if not section.get("description")]
    assert not [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, said in section["properties"].items()
        if not {"description", "const", "$ref"} & said.keys()
    ]


def test_the_page_in_docs_is_that_of_the_spec() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "spec.md").read_text(encoding="utf-8")
    assert page == page_text(), "run: make schema"


def test_the_page_has_every_section_and_says_what_a_key_takes() -> None:
    headings = {line.removeprefix("## ") for line in page_text().splitlines() if line.startswith("## ")}
    assert len(headings) == 23
    sections = json.loads(schema_text())["$defs"]  # with the whole one, all that there are
    assert len(sections) + 1 == len(headings)
    for row in (
        "| `alpha` | number >= 0 | `0.3` | Weight of its loss, L_self; 0: plain two-tower, without this task. The "
        "default is the paper's method; README says where to begin with 0. |",
        "| `hidden` | list of whole number >= 1 | `[256, 128]` | Units of each layer; the last is the embedding that "
        "is compared. |",
        "| `split` | section |  | How lines become training, validation and test pairs. |",
        "| `rows` | whole number >= 1 < 2147483648 | required | Rows of the table, shared by all terms. |",
        "| `complement` | `true`, `false` | `true` | The second view masks exactly what the first shows; false: it "
        "draws its own mask (rfm) or its own seed feature (cfm). |",
    ):
        assert row in page_text()
