"""Counts of a job that are told by their names."""

import pytest

from features.parsing.parsed_lines import wrong_type
from features.raw_features import bad_vector
from pipelines.aggregation.counts import without_files
from pipelines.aggregation.unusable_files import check_files, count_in_file
from stage.errors import StageError


@pytest.mark.parametrize("reason", [wrong_type("id\tof user"), bad_vector("id\tof user")])
def test_a_line_is_counted_though_its_column_has_a_tab_in_its_name(reason: str) -> None:
    assert without_files({f"rejected/{reason}": 1}) == {f"rejected/{reason}": 1}
    counts = count_in_file("a.jsonl", 100, source="log", rejected={reason: 100})
    with pytest.raises(StageError, match=r"^a.jsonl: expected texts, but none of its 100 lines has that"):
        check_files(counts, "log", expected={reason: "texts"}, directory="out")
