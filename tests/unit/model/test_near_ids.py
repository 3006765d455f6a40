"""Which known id somebody meant."""

import pyarrow as pa
import pytest

from model.serving.near_ids import near_id

KNOWN = ["00007", "70", "0", "8531", "shirt-red"]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        *(("7", "00007"), ("70.0", "70"), ("000", "0"), ("shirt-rad", "shirt-red"), ("8", None), ("trousers", None)),
        ("8.0", None),  # 8 isn't known either
        ("853", None),  # alike by 0.86, but a number of its own
        ("shirt-blue", None),  # alike by 0.74, as any two of a shop's ids may be
    ],
)
def test_the_id_that_was_meant(asked: str, meant: str | None) -> None:
    found = near_id(asked, [pa.array(KNOWN)], is_known=KNOWN.__contains__)
    assert found == ("" if meant is None else f"; did you mean '{meant}'?")


def test_of_more_ids_than_are_compared_none_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [pa.array(KNOWN[:2]), pa.array(KNOWN[2:])]
    for most, said in ((5, "; did you mean 'shirt-red'?"), (4, "")):
        monkeypatch.setattr("model.serving.near_ids.NAMES_COMPARED", most)
        assert near_id("shirt-rad", parts, is_known=KNOWN.__contains__) == said
