"""The spec's JSON Schema, as editors read it."""

import json
from importlib import resources

import pytest

from features.schema import schema_text
from features.spec_file import shipped_names


def test_the_shipped_schema_is_that_of_the_spec() -> None:
    shipped = resources.files("features.specs").joinpath("spec.schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(), "run: make schema"


@pytest.mark.parametrize("name", shipped_names())
def test_each_shipped_spec_points_editors_to_it(name: str) -> None:
    first = resources.files("features.specs").joinpath(f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=spec.schema.json"


def test_it_says_what_a_key_means() -> None:
    alpha = json.loads(schema_text())["$defs"]["Ssl"]["properties"]["alpha"]
    assert alpha["description"] == "Weight of its loss; 0: plain two-tower, no SSL work done."
    assert alpha["minimum"] == 0
