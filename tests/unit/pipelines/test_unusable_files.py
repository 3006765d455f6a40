"""Files of nothing but bad lines: of another format if they are long, an accident if they are short."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from small_jobs import small_job
from small_specs import small_spec

from features.entities import table_columns
from features.interactions import raw_columns
from features.parsing.parsed_lines import ParsedLines
from features.pseudonyms import Pseudonyms
from features.spec.features import Side
from features.spec.sources import InteractionSource, TableSource
from features.spec.spec import Spec
from pipelines.aggregation import unusable_files
from pipelines.aggregation.batches import to_batch
from pipelines.aggregation.counts import count_smallest, shown_counts
from pipelines.aggregation.input_checks import check_input
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.partition_lines import check_partitions
from pipelines.aggregation.partitions import Partition, WindowDay
from pipelines.aggregation.tables import raw_tables, validate_rows
from pipelines.aggregation.unusable_files import count_in_file, expected_columns, expected_table_columns
from stage.errors import StageError

SPEC = small_spec()
SPEC_OF_HALF = small_spec(sources={"max_reject_ratio": 0.5})
SPEC_OF_ALL = small_spec(sources={"max_reject_ratio": 1})


def expected_of_log(source: InteractionSource, context: Side) -> dict[str, str]:
    return expected_columns(source, raw_columns(source, context), hints={})


EXPECTED = {
    "log": expected_of_log(InteractionSource(path="x"), Side()),
    **{
        table: expected_table_columns(
            TableSource(path="x"), table_columns(TableSource(path="x")), table=table, hints={}, sizes={}
        )
        for table in ("items", "queries")
    },
}


def in_files(source: str = "log", **files: dict[str, int]) -> Counter[str]:
    """Counts of a source's files by their name: reason -> lines, those that are good under `good`."""
    found = Counter[str]()
    for name, lines in files.items():
        rejected = {reason: number for reason, number in lines.items() if reason != "good"}
        found.update(count_in_file(name, sum(lines.values()), source=source, rejected=rejected))
    return found


def check_files(counts: Counter[str], source: str, *, directory: str) -> None:
    unusable_files.check_files(counts, source, expected=EXPECTED[source], directory=directory)


def check(counts: dict[str, int], spec: Spec) -> None:
    check_input({"items/read": 1} | counts, small_job(spec))


def test_many_lines_and_nothing_else_are_another_format_but_a_few_an_accident() -> None:
    for accident in (
        {"missing_query_id": 1},
        {"missing_query_id": 99, "not_json": 9},
        {"good": 1, "missing_query_id": 999},
    ):
        check_files(in_files(a={"good": 9}, b=accident), "log", directory="d")
    with pytest.raises(StageError) as caught:
        check_files(in_files(a={"good": 9}, b={"missing_query_id": 100, "not_json": 9}), "log", directory="d")
    assert str(caught.value) == (
        "b: expected a column query_id (sources.interactions.query_id), but none of its 100 lines has that; see "
        "d/rejects/"
    )


def test_a_file_that_two_tables_read_counts_for_each_alone() -> None:
    counts = in_files("items", a={"bad_id": 200}, b={"not_json": 3})
    counts += in_files("queries", a={"good": 200}, b={"not_json": 3})
    with pytest.raises(StageError) as caught:
        check_files(counts, "items", directory="d")
    assert str(caught.value) == (
        "a: expected ids in a column item_id (sources.items.id), but none of its 200 lines has that; see d/rejects/"
    )
    check_files(counts, "queries", directory="d")
    with pytest.raises(StageError, match="all of its lines are bad: not_json 3; mend them"):
        check_partitions(counts, [Partition("queries", "day", ("b",))])


def test_a_log_without_events_is_told_the_key_that_says_so() -> None:
    with pytest.raises(StageError) as caught:
        check_files(in_files(a={"missing_event": 100}), "log", directory="d")
    assert str(caught.value) == (
        "a: expected a column event (sources.interactions.event; null where the log has no events), but none of its "
        "100 lines has that; see d/rejects/"
    )


def test_types_are_told_in_the_words_of_the_spec() -> None:
    side = Side.model_validate({"features": {"price": {"kind": "numeric"}, "tags": {"kind": "multivalued"}}})
    log = expected_of_log(InteractionSource(path="x", timestamp="at", event=None), side)
    of_features = {"wrong_type (price)": "numbers in price", "wrong_type (tags)": "lists of texts or integers in tags"}
    assert {reason: what for reason, what in log.items() if "type" in reason} == {
        "wrong_type (query_id)": "text or integers in query_id",
        "wrong_type (item_id)": "text or integers in item_id",
        "wrong_type (at)": "times in seconds since 1970 as numbers (sources.interactions.timestamp_unit: s; texts are "
        "iso) "
        "in the column at",
        **of_features,
    }
    table = TableSource(path="x", title="name")
    assert expected_table_columns(table, table_columns(table, side), table="items", hints={}, sizes={"look": 4}) == {
        "bad_id": "ids in a column item_id (sources.items.id)",
        "field_count": "as many fields as columns",
        "wrong_type (item_id)": "text or integers in item_id",
        "wrong_type (name)": "text or integers in name",
        "bad_vector (look)": "vectors of 4 numbers in look",
        **of_features,
    }


def test_of_an_event_it_is_told_that_numbers_may_be_texts() -> None:
    log = expected_of_log(InteractionSource(path="x", event="rating"), Side())
    assert log["wrong_type (rating)"] == (
        "text, integers, true or false in rating (sources.interactions.event; other numbers in quotes, as "
        "positive_events has them)"
    )


def test_that_a_separator_is_for_csv_alone_is_told_where_lists_are_texts() -> None:
    side = Side.model_validate({"features": {"tags": {"kind": "multivalued"}}})
    table = TableSource(path="x", list_separator="|")
    told = "lists of texts or integers in tags (only in CSV sources.{}.list_separator splits a text)"
    found = expected_table_columns(table, table_columns(table, side), table="items", hints={}, sizes={})
    assert found["wrong_type (tags)"] == told.format("items")
    assert found["wrong_type (item_id)"] == "text or integers in item_id"
    log = expected_of_log(InteractionSource(path="x", list_separator="|"), side)
    assert log["wrong_type (tags)"] == told.format("interactions")


def test_too_many_rejects_are_told_by_their_columns() -> None:
    rejected = {"bad_timestamp": 1, "wrong_type (what/at)": 2, "field_count": 2, "not_json": 3}
    counts = {"lines/read": 12, "lines/kept": 4} | {f"rejected/{reason}": lines for reason, lines in rejected.items()}
    with pytest.raises(StageError) as caught:
        check(counts, SPEC)
    commonest = "not_json 3, field_count 2, wrong_type (what/at) 2; see out/rejects/"
    assert f"8 of 12 lines of the log are bad, more than 0 of them: {commonest}" in str(caught.value)
    assert shown_counts(counts)["lines/rejected"] == 8


LOOKS = small_spec(item={"look": {"kind": "vector", "size": 2}}, sources={"max_reject_ratio": 0.5})


def counts_of_looks(*looks: list[float | None] | None) -> Counter[str]:
    """Of a table of items in batches of two rows."""
    counts = Counter[str]({"lines/read": 9, "lines/kept": 9, "pairs/train": 9})
    file = InputFile(path="/raw/items.jsonl", name="items.jsonl", size=1, number=0, format="jsonl")
    for first in range(0, len(looks), 2):
        ids, vectors = ["a", "b"], pa.array(looks[first : first + 2], pa.list_(pa.float32()))
        rows = pa.record_batch([pa.array(ids[: len(vectors)]), vectors], names=["item_id", "look"])
        batch = to_batch(ParsedLines(rows, np.arange(len(rows)), [], 0), file, offset=0)
        counts.update(validate_rows(batch, raw_tables(LOOKS)["items"], pseudonyms=Pseudonyms()).counts)
    return counts


def test_of_vectors_of_another_size_that_of_the_most_is_told() -> None:
    with pytest.raises(StageError) as caught:
        check_input(counts_of_looks([1], [1, 2, 3], [1, 2, 3], None, [1, 2, 3], [1, None]), small_job(LOOKS))
    assert str(caught.value) == (
        "sources.max_reject_ratio: 5 of 6 lines of the items are bad, more than 0.5 of them: items/bad_vector (look) 5 "
        "(most often 3 numbers, not 2); see out/rejects/, mend the input or raise the ratio, by which these items and "
        "all lines of the log about them go"
    )
    with pytest.raises(StageError) as caught:
        check_input(counts_of_looks([1, 2, 3], [1, 2, 3], [1], [1]), small_job(LOOKS))
    assert str(caught.value) == (
        "/raw/items.jsonl: expected vectors of 2 numbers in look, but none of its 4 lines has that; see out/rejects/; "
        "items/bad_vector (look): most often 1 numbers, not 2"  # of equally many the first by name
    )


def test_blank_lines_are_none_of_the_log() -> None:
    counts = {"lines/read": 20, "filtered/blank": 10, "rejected/not_json": 5, "lines/kept": 5, "pairs/train": 5}
    check(counts, SPEC_OF_HALF)
    counts |= {"rejected/not_json": 6, "lines/kept": 4}
    with pytest.raises(StageError, match=r"6 of 10 lines of the log are bad, more than 0\.5 of them: not_json 6;"):
        check(counts, SPEC_OF_HALF)


def test_as_many_bad_lines_as_are_allowed_pass_though_a_float_is_less_than_its_decimals() -> None:
    spec = small_spec(sources={"max_reject_ratio": 0.29})
    counts = {"lines/read": 100, "rejected/not_json": 29, "lines/kept": 71, "pairs/train": 71}
    check(counts, spec)
    counts |= {"rejected/not_json": 30, "lines/kept": 70}
    with pytest.raises(StageError, match=r"30 of 100 lines of the log are bad, more than 0\.29 of them"):
        check(counts, spec)


def test_of_a_log_without_a_good_line_the_column_is_named_however_short_it_is() -> None:
    counts = in_files(a={"missing_query_id": 3}) | {
        "lines/read": 4,
        "filtered/blank": 1,
        "rejected/missing_query_id": 3,
    }
    with pytest.raises(StageError) as caught:
        check(counts, SPEC)
    assert str(caught.value) == (
        "a: expected a column query_id (sources.interactions.query_id), but none of its 3 lines has that; see "
        "out/rejects/"
    )


ONE_OBJECT = (
    "not_json: expected one JSON object on each line, neither an array nor an object over several lines, and no column "
    "twice in it"
)


@pytest.mark.parametrize(
    ("counts", "cure"),
    [
        ({"lines/read": 9, "rejected/not_json": 9}, f"; {ONE_OBJECT}"),
        ({"lines/read": 9, "rejected/not_json": 4, "rejected/missing_query_id": 5}, ""),
        ({"lines/read": 9, "items/read": 9, "rejected/items/not_json": 9}, f"; items/{ONE_OBJECT}"),
        (
            {"lines/read": 9, "items/read": 9, "rejected/items/bad_id": 9},
            "; expected ids in a column item_id (sources.items.id)",
        ),
        (
            {"lines/read": 100, "rejected/missing_item_id": 90, "rejected/missing_query_id": 1},
            "; expected a column item_id (sources.interactions.item_id)",
        ),
        ({"lines/read": 100, "rejected/missing_item_id": 89, "rejected/missing_query_id": 2}, ""),
    ],
)
def test_what_was_expected_is_told_where_most_lines_lack_the_same(counts: dict[str, int], cure: str) -> None:
    with pytest.raises(StageError) as caught:
        check(counts, SPEC)
    assert str(caught.value).partition("mend the input or the spec")[2] == cure


def test_of_a_log_of_nothing_but_bad_lines_no_file_of_a_table_is_to_blame() -> None:
    counts = in_files(a={"not_json": 3}) | in_files("items", b={"bad_id": 2}) | {
        "lines/read": 3, "rejected/not_json": 3, "items/read": 9, "rejected/items/bad_id": 2
    }  # fmt: skip
    with pytest.raises(StageError) as caught:
        check(counts, SPEC_OF_HALF)
    assert str(caught.value).startswith("sources.max_reject_ratio: 3 of 3 lines of the log are bad")


def test_a_bad_table_is_told_rather_than_the_lines_whose_items_it_lacks_therefore() -> None:
    counts = {
        "lines/read": 100, "rejected/unknown_item": 90, "items/read": 20, "rejected/items/bad_id": 18
    }  # fmt: skip
    with pytest.raises(StageError) as caught:
        check(counts, SPEC_OF_HALF)
    assert str(caught.value) == (
        "sources.max_reject_ratio: 18 of 20 lines of the items are bad, more than 0.5 of them: items/bad_id 18; "
        "see out/rejects/, mend the input or the spec; expected ids in a column item_id (sources.items.id)"
    )
    few = counts | {"rejected/items/bad_id": 10}
    with pytest.raises(StageError, match=r"90 of 100 lines of the log are bad, .*: unknown_item 90;"):
        check(few, SPEC_OF_HALF)


def test_a_log_of_unknown_items_alone_is_told_to_compare_ids() -> None:
    compare = "check that column item_id of the item table has ids exactly as column item_id of the log has them"
    counts = {"lines/read": 600, "rejected/unknown_item": 599, "rejected/not_json": 1}
    with pytest.raises(StageError) as caught:
        check(counts | {"rejected/items/bad_id": 1}, SPEC_OF_ALL)
    assert str(caught.value) == (
        f"no training pair is left of 600 lines (rejected: not_json 1, unknown_item 599; filtered: none); {compare}"
    )
    with pytest.raises(StageError) as caught:
        check(counts, SPEC)
    assert str(caught.value).endswith(
        f"unknown_item 599, not_json 1; see out/rejects/, mend the input or the spec; {compare}"
    )
    ids = Counter[str]()
    for of, found in (("log", ["7"]), ("table", ["10.0"]), ("log", ["9", "10"]), ("table", ["10\t1"]), ("log", [])):
        ids.update(count_smallest(pa.chunked_array([found], pa.string()), reason="unknown_item", of=of))
    with pytest.raises(StageError) as caught:
        check(counts | ids, SPEC_OF_ALL)
    assert str(caught.value).endswith(
        f"{compare}; the log's smallest id without a row is '10', the table's smallest id is '10\t1'"
    )
    few_are_positive = {"lines/read": 600, "rejected/unknown_item": 9, "filtered/not_positive": 591}
    with pytest.raises(StageError, match=compare):
        check(few_are_positive, SPEC_OF_ALL)
    counts = few_are_positive | {"filtered/not_positive": 590}
    with pytest.raises(StageError, match=r"check sources.interactions.positive_events and the split"):
        check(counts, SPEC_OF_ALL)


def test_a_part_of_unknown_items_may_be_of_items_that_have_left_the_table() -> None:
    counts = {"lines/read": 600, "rejected/unknown_item": 16, "rejected/not_json": 15}
    with pytest.raises(StageError) as caught:
        check(counts, SPEC)
    assert str(caught.value).endswith(
        "unknown_item 16, not_json 15; see out/rejects/, mend the input or raise the ratio; check that column item_id "
        "of the item table has ids exactly as column item_id of the log has them; or these items have left the "
        "table: keep their rows or raise the ratio"
    )


THE_UNIT = (
    "the unit of numbers in timestamp_unit; other spellings, such as a zone's name behind the time, must be rewritten"
)


@pytest.mark.parametrize(
    ("source", "reason", "said"),
    [
        (
            {"timestamp_unit": "iso"},
            "bad_timestamp",
            "bad_timestamp: the spec expects ISO 8601 with a zone (sources.interactions.timestamp_unit: iso, "
            "timezone: null) in the column at; name the zone of times without one in sources.interactions.timezone, "
            f"or {THE_UNIT}",
        ),
        (
            {"timestamp_unit": "iso", "timezone": "Europe/Berlin"},
            "bad_timestamp",
            "bad_timestamp: the spec expects ISO 8601 (sources.interactions.timestamp_unit: iso) in the column at; "
            f"name {THE_UNIT}",
        ),
        (
            {},
            "bad_timestamp",
            "bad_timestamp: the spec expects seconds since 1970 as numbers (sources.interactions.timestamp_unit: s; "
            "texts are iso) "
            "in the column at; name another unit there",
        ),
        (
            {"timestamp_unit": "ms"},
            "wrong_type (at)",
            "wrong_type (at): the spec expects milliseconds since 1970 as numbers "
            "(sources.interactions.timestamp_unit: ms; texts are iso) in the column at; name another unit there",
        ),
    ],
)
def test_where_most_bad_lines_are_so_for_their_time_the_keys_that_settle_it_are_named(
    source: dict[str, str], reason: str, said: str
) -> None:
    spec = small_spec(log={"timestamp": "at"} | source)
    counts = {"lines/read": 9, f"rejected/{reason}": 5, "rejected/not_json": 4}
    with pytest.raises(StageError) as caught:
        check(counts, spec)
    assert str(caught.value) == (
        "sources.max_reject_ratio: 9 of 9 lines of the log are bad, more than 0 of them: "
        f"{reason} 5, not_json 4; see out/rejects/, mend the input or the spec; {said}"
    )
    counts = {"lines/read": 10, f"rejected/{reason}": 4, "rejected/not_json": 4}
    with pytest.raises(StageError) as caught:
        check(counts, spec)
    assert str(caught.value).endswith("; see out/rejects/, mend the input or raise the ratio")


def test_a_partition_of_malformed_lines_is_not_called_empty() -> None:
    counts = in_files(
        a={"not_json": 9, "good": 1}, b={"not_json": 3}, c={"invalid_utf8": 1, "not_json": 1}, d={}
    ) + in_files(e={"repeated_header": 2})
    check_partitions(counts, [Partition("log", "day 1", ("a", "d"))])
    for paths, said, cure in (
        (("b", "c", "d"), "all of its lines are bad: not_json 4, invalid_utf8 1", f"; {ONE_OBJECT}"),
        (("d",), "its files are empty", ""),
        (("e",), "all of its lines are bad: repeated_header 2", ""),
    ):
        with pytest.raises(StageError) as caught:
            check_partitions(counts, [Partition("log", "day 2", paths)])
        assert str(caught.value) == f"day 2: expected rows in this partition, but {said}; mend them{cure}"


def test_an_empty_day_of_the_log_may_be_named_as_a_day_off_or_if_it_is_an_outer_one_left_out_of_the_window() -> None:
    empty = "day: expected rows in this partition, but its files are empty; mend them"
    off = ", or name it in sources.interactions.days_off"
    outer = ", or leave its day out of --data-start to --data-end"
    for is_outer, said in ((True, f"{empty}{outer}{off}"), (False, f"{empty}{off}")):
        with pytest.raises(StageError) as caught:
            check_partitions({}, [Partition("log", "day", ("a",), WindowDay(is_whole=True, is_outer=is_outer))])
        assert str(caught.value) == said


def test_a_day_off_may_have_no_file_and_no_line_but_no_bad_lines_alone() -> None:
    day_off = WindowDay(is_whole=True, is_outer=False, is_off=True)
    counts = in_files(good={"good": 1}, bad={"not_json": 4})
    for paths in ((), ("empty",), ("empty", "good")):
        check_partitions(counts, [Partition("log", "day", paths, day_off)])
    with pytest.raises(StageError) as caught:
        check_partitions(counts, [Partition("log", "day", ("empty", "bad"), day_off)])
    assert str(caught.value) == (
        f"day: expected rows in this partition, but all of its lines are bad: not_json 4; mend them; {ONE_OBJECT}"
    )
