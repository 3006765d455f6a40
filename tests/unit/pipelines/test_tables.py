"""What a table of queries may not be."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_specs import small_spec

from features.entities import entity_schema
from features.parsing.parsed_lines import BadLine, ParsedLines
from features.pseudonyms import Pseudonyms
from pipelines.aggregation.batches import to_batch
from pipelines.aggregation.input_files import InputFile, NamedFile
from pipelines.aggregation.inputs import _check_lists
from pipelines.aggregation.packing import pack
from pipelines.aggregation.tables import COUNTED, join_queries, raw_tables, validate_rows
from stage.errors import StageError, UsageError

SPEC = small_spec(sources={"queries": {"path": "x"}})


def test_a_query_that_stands_twice_in_its_table_is_refused_with_both_places() -> None:
    schema = entity_schema(SPEC.query).append(pa.field("place", pa.int64()))
    rows = [{"id": id_, "train_count": 0, "full_train_count": 0, "place": n} for n, id_ in enumerate("uwvuuw")]
    counts = pa.table([["v"], [1], [1], [1]], schema=COUNTED)
    names = {0: NamedFile("queries.jsonl", "byte")}
    with pytest.raises(StageError) as caught:
        join_queries([pack(pa.Table.from_pylist(rows[::-1], schema))], counts, spec=SPEC, names=names)
    assert str(caught.value) == (
        "queries: expected each id once, but 'u' stands at queries.jsonl, byte 0 and queries.jsonl, byte 3 (at least 1 "
        "more id stands there twice); there may be more: remove all duplicates from the table"
    )
    queries, _ = join_queries([pack(pa.Table.from_pylist(rows[:3], schema))], counts, spec=SPEC, names=names)
    assert queries["id"].to_pylist() == ["v"]


def test_a_row_is_rejected_for_its_id_or_for_a_vector() -> None:
    vectors = {"look": {"kind": "vector", "size": 2}}
    spec = small_spec(sources={"queries": "items"}, item=vectors, query={"like": vectors["look"] | {"column": "liked"}})
    table = raw_tables(spec)["items"]
    looks = [[1, 2], [1], None, [1], [3, 4]]
    liked = [[1, 2], [1, 2], None, [1, 2], [None, 4]]
    rows = pa.record_batch(
        [pa.array(["a", "b", "c", "", "e"]), *(pa.array(v, pa.list_(pa.float32())) for v in (looks, liked))],
        names=["item_id", "look", "liked"],
    )
    parsed = ParsedLines(rows, np.arange(5) * 10, [], 0)
    file = InputFile(path="/raw/items.jsonl", name="items.jsonl", size=1, number=0, format="jsonl")
    found = validate_rows(to_batch(parsed, file, offset=100), table, pseudonyms=Pseudonyms())
    assert found.rejected.select(["reason", "place", "content"]).to_pylist() == [
        {"reason": "items/bad_vector (look)", "place": 110, "content": b"1 numbers, not 2"},
        {"reason": "items/bad_id", "place": 130, "content": None},
        {
            "reason": "items/bad_vector (liked)",
            "place": 140,
            "content": b"a null, or a number that float32 can't hold",
        },
    ]
    assert found.entities["item"]["id"].to_pylist() == found.entities["query"]["id"].to_pylist() == ["a", "c"]
    assert found.entities["query"]["feature/like"].to_pylist() == [[1, 2], None]
    assert found.counts["rejected/items/bad_vector (look)"] == 1
    cut = to_batch(replace(parsed, bad=[BadLine(50, "not_json", b"{")]), replace(file, size=151), offset=100)
    assert validate_rows(cut, table, pseudonyms=Pseudonyms()).counts["cut_off//raw/items.jsonl"] == 1


@pytest.mark.parametrize("kind", ["multivalued", {"kind": "vector", "size": 2}])
@pytest.mark.parametrize("side", ["query", "item"])
def test_a_table_in_csv_needs_a_list_separator_for_either_side_that_reads_lists_from_it(side: str, kind: Any) -> None:
    spec = small_spec(sources={"queries": "items"}, **{side: {"tags": kind}})
    files = [InputFile(path="/raw/items.csv", name="items.csv", size=1, number=0, format="csv")]
    with pytest.raises(UsageError, match=r"^sources.items.list_separator: expected one, since tags has many values in"):
        _check_lists("items", spec.sources.items, files=files, spec=spec)
    separated = spec.sources.items.model_copy(update={"list_separator": "|"})
    _check_lists("items", separated, files=files, spec=spec)


@pytest.mark.parametrize("hidden", ["query_id", "item_id"])
def test_the_ids_of_a_table_are_pseudonyms_where_those_of_its_column_of_the_log_are(hidden: str) -> None:
    pseudonyms = Pseudonyms((hidden,), b"a key of 16 bytes")
    parsed = ParsedLines(pa.record_batch([["a"]], names=["id"]), np.zeros(1, np.int64), [], 0)
    file = InputFile(path="/raw/x.jsonl", name="x.jsonl", size=1, number=0, format="jsonl")
    tables = raw_tables(small_spec(sources={"items": {"path": "x", "id": "id"}, "queries": {"path": "x", "id": "id"}}))
    for name, side, column in (("items", "item", "item_id"), ("queries", "query", "query_id")):
        rows = validate_rows(to_batch(parsed, file, offset=0), tables[name], pseudonyms=pseudonyms)
        assert (rows.entities[side]["id"].to_pylist() != ["a"]) is (column == hidden)
