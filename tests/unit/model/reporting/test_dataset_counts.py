"""Counts of a dataset as the report shows them."""

from model.reporting.dataset_counts import count_dataset
from stage.manifest import Manifest


def test_reasons_are_shown_in_words_and_columns_as_they_are_called():
    rejected = {"items/wrong_type (unit_price)": 1, "not_json": 2}
    found = count_dataset(Manifest(stage="dataset", run_id="r", rejected=rejected))
    assert found.rejected == [("not json", 2), ("items/wrong type (unit_price)", 1)]
