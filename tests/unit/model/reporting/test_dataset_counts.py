"""Counts of a dataset as the report shows them."""

from model.reporting.dataset_counts import count_dataset
from stage.manifest import Manifest


def test_reasons_are_shown_in_words_and_columns_as_they_are_called():
    rejected = {"unknown_item": 1, "items/wrong_type (unit_price)": 1, "not_json": 2}
    found = count_dataset(Manifest(stage="dataset", run_id="r", rejected=rejected))
    assert found.rejected == [("not json", 2), ("items/wrong type (unit_price)", 1), ("unknown item", 1)]


def test_lines_and_contents_stand_in_their_order():
    counts = {"filtered/cold_item": 2, "lines/kept": 5, "lines/rejected": 1, "lines/read": 8, "examples/test": 1}
    counts |= {"examples/train": 3, "items/cold": 2, "items": 4, "queries": 6}
    found = count_dataset(Manifest(stage="dataset", run_id="r", counts=counts, vocabularies={"page": 7}))
    assert found.lines == [("read", 8), ("kept", 5), ("filtered: cold item", 2), ("rejected", 1)]
    assert found.contents == [
        ("train examples", 3), ("validation examples", 0), ("test examples", 1), ("queries", 6), ("items", 4),
        ("items without a training pair", 2), ("terms of vocabulary page", 7),
    ]  # fmt: skip


def test_what_a_build_did_not_count_is_none():
    found = count_dataset(Manifest(stage="dataset", run_id="r"))
    assert found.lines == [("read", 0), ("kept", 0), ("rejected", 0)]
    assert {count for _, count in found.contents} == {0}


def test_what_a_build_warns_of_is_shown():
    counts = {"lines/read": 90, "positive/View": 0, "positive/a/b_c": 70, "queries": 12, "queries/without_row": 11}
    counts["histories/empty"] = 5
    found = count_dataset(Manifest(stage="dataset", run_id="r", counts=counts))
    assert found.positive == [("View", 0), ("a/b_c", 70)]
    place = found.contents.index(("queries", 12))
    assert found.contents[place + 1] == ("queries without a row in the query table", 11)
    assert found.contents[place - 1] == ("examples with an empty history", 5)
    all_have_one = count_dataset(Manifest(stage="dataset", run_id="r", counts={"queries/without_row": 0}))
    assert ("queries without a row in the query table", 0) in all_have_one.contents
    without = count_dataset(Manifest(stage="dataset", run_id="r", counts={"queries": 12}))
    assert (without.positive, [name for name, _ in without.contents if "row" in name or "history" in name]) == ([], [])
