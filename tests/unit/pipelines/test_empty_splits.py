"""Splits that the spec asks for and that are left without a pair: said before anything is trained."""

import pytest

from features.spec.spec import Spec
from pipelines.aggregation.counts import check_input
from pipelines.build_warnings import print_warnings
from stage.errors import StageError
from stage.manifest import Manifest

COUNTS = {"lines/read": 1_000, "filtered/duplicate": 5, "pairs/train": 900, "pairs/validation": 95}


def spec_of(**split: object) -> Spec:
    return Spec.model_validate(
        {
            "name": "tiny",
            "sources": {"interactions": {"path": "x", "timestamp": "at"}, "items": {"path": "x"}},
            "query": {"features": {"user": {"kind": "id"}}},
            "item": {"features": {"app": {"kind": "id"}}},
            "split": split,
        }
    )


def test_a_test_that_starts_after_the_log_fails_the_build() -> None:
    by_time = spec_of(method="time", test_start="2030-01-01", validation_seconds=9)
    with pytest.raises(StageError) as caught:
        check_input(COUNTS, by_time, tables=[], directory="out", partitions={})
    assert str(caught.value) == (
        "no test pair is left of 1,000 lines (rejected: none; filtered: duplicate 5); "
        "check --test-start or split.test_start"
    )
    check_input(COUNTS | {"pairs/test": 1}, by_time, tables=[], directory="out", partitions={})
    check_input(COUNTS, spec_of(), tables=[], directory="out", partitions={})  # a small log may have none


@pytest.mark.parametrize(
    ("split", "empty", "warned"),
    [
        ({}, [], []),
        ({}, ["validation", "test"], ["validation", "test"]),
        ({"validation": 0}, ["validation"], []),
        ({"test": 0}, ["validation", "test"], ["validation"]),
        ({"method": "time", "validation_seconds": 1}, ["validation"], ["validation"]),
    ],
)
def test_an_empty_split_is_warned_of(capsys, split, empty, warned) -> None:
    counts = {f"examples/{name}": 0 if name in empty else 7 for name in ("train", "validation", "test")}
    spec = spec_of(**split).model_dump(mode="json")
    print_warnings(Manifest(stage="dataset", run_id="r", spec=spec, counts=counts), "out")
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split()[:3] for line in said.err.splitlines()] == [["warning:", "no", name] for name in warned]
