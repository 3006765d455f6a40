"""What a build that has ended well warns of: most likely a mistake in the spec, which nothing else would tell."""

import re

import pyarrow as pa
import pytest
from small_specs import small_spec
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

from features.entities import only_ids
from features.spec.spec import Spec
from features.statistics.counts import count_entities
from features.statistics.protos import serialize, to_protos
from features.statistics.statistics import describe, described_columns
from pipelines.aggregation import kinds
from pipelines.aggregation.elements import decode_counts
from pipelines.aggregation.packing import Packed, pack
from pipelines.aggregation.steps import make_queries
from pipelines.aggregation.tables import COUNTED, join_queries
from pipelines.build_report import print_report
from stage.errors import UsageError
from stage.manifest import IdsToCompare, Manifest

WHERE: dict[str, object] = {
    "interactions": {"path": "log", "query_id": "user"},
    "items": {"path": "items"},
    "queries": {"path": "users", "id": "user_id"},
}
LINES = {"lines/read": 9, "lines/kept": 9}
OF_A_DATASET = LINES | {"examples/train": 7, "examples/validation": 1, "examples/test": 1, "items": 5}
OF_AN_AGGREGATE = LINES | {"pairs/train": 7, "pairs/validation": 1, "pairs/test": 1, "items": 5}
NO_ROW = (
    "warning: sources.queries: expected rows of the log's queries, but N of 1,200 have none, so all of their "
    "features but the id are missing; check that column user_id of the query table has ids exactly as column user of "
    "the log has them\n"
)


def spec_of(**sources: object) -> Spec:
    return small_spec(sources=WHERE | sources)


def made(stage: str, counts: dict[str, int], **sources: object) -> Manifest:
    return Manifest(stage=stage, run_id="r", spec=spec_of(**sources).model_dump(mode="json"), counts=counts)


@pytest.mark.parametrize(
    ("counts", "warned"),
    [
        ({"queries": 1200, "queries/without_row": 1200}, NO_ROW.replace("N of", "1,200 of")),
        ({"queries": 1200, "queries/without_row": 600}, NO_ROW.replace("N of", "600 of")),
        ({"queries": 1200, "queries/without_row": 599}, ""),
        ({"queries": 1200, "queries/without_row": 0}, ""),
        ({"queries": 1200}, ""),
    ],
)
def test_a_query_table_of_other_queries_is_warned_of(capsys, counts, warned) -> None:
    print_report(made("dataset", OF_A_DATASET | counts), "out", as_json=True)
    assert capsys.readouterr().err == warned
    print_report(made("aggregate", OF_AN_AGGREGATE | counts), "out", as_json=True)
    assert capsys.readouterr().err == warned


UNKNOWN = (
    "warning: sources.items: expected rows of the log's items, but N are of items without one, and are "
    "rejected; check that column item_id of the item table has ids exactly as column item_id of the log has them"
)
OF_A_LOG = {"lines/read": 40_000, "filtered/not_positive": 39_000, "filtered/blank": 30, "filtered/outside_window": 20}


@pytest.mark.parametrize(
    ("unknown", "said"), [(334, "334 of 900 good lines (37%)"), (90, "90 of 900 good lines (10%)"), (89, "")]
)
def test_many_lines_of_unknown_items_are_warned_of_though_they_are_few_of_all_lines(capsys, unknown, said) -> None:
    warned = UNKNOWN.replace("N are", f"{said} are") if said else ""
    for of_items, more in (
        (
            {"items/missing_item_id": 9_000, "items/bad_id": 1},
            "; or their rows are among the item table's 9,001 rejected ones",
        ),
        ({"queries/missing_id": 7}, ""),
    ):
        manifest = made("dataset", OF_A_DATASET | OF_A_LOG | {"queries": 3}).model_copy(
            update={"rejected": {"not_json": 50, "unknown_item": unknown, **of_items}}
        )
        print_report(manifest, "out", as_json=True)
        assert capsys.readouterr().err == (f"{warned}{more}\n" if said else "")
        manifest.ids_to_compare["unknown_item"] = IdsToCompare(log="10", table="10.0")
        print_report(manifest, "out", as_json=True)
        ids = "; the log's smallest id without a row is '10', the table's smallest id is '10.0'"
        assert capsys.readouterr().err == (f"{warned}{ids}{more}\n" if said else "")


@pytest.mark.parametrize(("early", "unit", "warned"), [(901, "ms", True), (900, "ms", False), (1_000, "iso", False)])
def test_times_of_another_unit_are_warned_of(capsys, early, unit, warned) -> None:
    log = {"path": "log", "query_id": "user", "timestamp": "at", "timestamp_unit": unit}
    counts = {"lines/read": 5_000, "filtered/not_positive": 4_000, "lines/before_1990": early, "queries": 3}
    print_report(made("dataset", OF_A_DATASET | counts, interactions=log), "out", as_json=True)
    assert capsys.readouterr().err == warned * (
        "warning: sources.interactions.timestamp_unit: expected times of our days, but 901 of 1,000 lines are of "
        "before 1990; seconds that are read as ms, or ms as us, are times of 1970\n"
    )


def test_a_partition_of_which_no_line_lies_in_the_window_is_warned_of(capsys) -> None:
    log = {"path": "log/{date}/*", "query_id": "user", "timestamp": "at", "timestamp_unit": "ms"}
    counts = {
        "queries": 3,
        "lines/read": 5_000,
        "filtered/outside_window": 1_500,
        "outside_window/log/2026-03-28/*": 1_496,
    }
    print_report(made("dataset", OF_A_DATASET | counts, interactions=log), "out", as_json=True)
    assert capsys.readouterr().err == (
        "warning: log/2026-03-28/*: expected lines of --data-start to --data-end in this partition, but all of its "
        "1,496 good lines are outside, and are filtered; compare the unit of their times with "
        "sources.interactions.timestamp_unit (ms), and their day with the partition's name\n"
    )


def test_a_file_that_is_cut_off_is_warned_of(capsys) -> None:
    counts = OF_A_DATASET | {"queries": 3, "cut_off/gs://bucket/log/a.csv": 1}
    print_report(made("dataset", counts), "out", as_json=True)
    assert capsys.readouterr().err == (
        "warning: gs://bucket/log/a.csv: expected its last line to be whole, but it is rejected, and no newline ends "
        "it; if the file was still being copied, build again, and copy it under a name that begins with .\n"
    )


def test_a_positive_event_of_no_line_is_warned_of(capsys) -> None:
    counts = {
        "queries": 3,
        "lines/read": 16_198,
        "positive/View": 0,
        "positive/like": 70,
        "positive/a/b": 0,
        "positive/4": 0,
    }
    said = [
        f"warning: sources.interactions.positive_events: expected lines with each event, but none of the 16,198 lines "
        f"has '{event}'; check its spelling, {written}"
        for event, written in (
            ("View", "upper and lower case too"),
            ("a/b", "upper and lower case too"),
            ("4", "numbers as they are written, where 4 isn't 4.0"),
        )
    ]
    print_report(made("dataset", OF_A_DATASET | counts), "out", as_json=True)
    assert capsys.readouterr().err.splitlines() == said
    print_report(made("aggregate", OF_AN_AGGREGATE | counts), "out", as_json=True)
    assert capsys.readouterr().err.splitlines() == said


def test_a_logarithm_of_negative_numbers_is_warned_of(capsys, tmp_path) -> None:
    taken: dict[str, object] = {"kind": "numeric", "log1p": True}
    spec = spec_of(interactions={"path": "log", "timestamp": "at"}).model_dump(mode="json") | {
        "item": {"features": {"app": {"kind": "id"}, "price": taken, "size": taken, "heat": {"kind": "numeric"}}},
        "session": {"context": {"features": {"hour": taken}}},
        "split": {"method": "query_hash"},
    }
    statistics = DatasetFeatureStatisticsList()
    for key, least in (("item/price", -1.0), ("item/size", 0.0), ("item/heat", -9.0), ("pair/hour", -0.5)):
        found = statistics.datasets.add().features.add()
        found.path.step.append(key)
        found.num_stats.min = least
    (tmp_path / "statistics").mkdir()
    (tmp_path / "statistics/statistics.pb").write_bytes(statistics.SerializeToString())
    manifest = Manifest(stage="dataset", run_id="r", spec=spec, counts=OF_A_DATASET | {"queries": 1})
    print_report(manifest, str(tmp_path), as_json=True)
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {feature}: expected numbers of at least 0 with log1p, but the least is {number}; all below 0 count "
        f"as 0. Where such a number says that none is known, leave it out of the {source}"
        for feature, number, source in (
            ("item.features.price", "-1", "table"),
            ("session.context.features.hour", "-0.5", "log"),
        )
    ]


def test_vectors_of_zeros_alone_are_warned_of(capsys, tmp_path) -> None:
    vector: dict[str, object] = {"kind": "vector", "size": 2}
    spec = spec_of(queries="items").model_dump(mode="json") | {
        "query": {"features": {"user": {"kind": "id"}, "image": vector}},
        "item": {"features": {"app": {"kind": "id"}, "image": vector, "look": vector}},
    }
    made_under = Spec.model_validate(spec)
    images = [[0, 0], None, [1e-45, 0], [3, 4], [-0.0, 0], None, [0, 0]]  # 1e-45 is the least that float32 has
    looks = [[0, 1], None, [1, -1], [1, 0], [0, 2], None, [5, 0]]
    counts = []
    for side_name, rows, features in (("query", 4, {"image": images}), ("item", 7, {"image": images, "look": looks})):
        side = made_under.sides[side_name]
        table = only_ids(pa.array([f"p{n}" for n in range(rows)]), side)
        for name, vectors in features.items():
            place = table.schema.get_field_index(f"feature/{name}")
            table = table.set_column(place, table.field(place), pa.array(vectors[:rows], pa.list_(pa.float32())))
        counts.append(count_entities(table, side_name, side=side))
    found = describe(pa.concat_tables(counts), described_columns(made_under), known={})
    (tmp_path / "statistics").mkdir()
    (tmp_path / "statistics/statistics.pb").write_bytes(serialize(to_protos(found)))
    manifest = Manifest(stage="dataset", run_id="r", spec=spec, counts=OF_A_DATASET | {"queries": 4})
    print_report(manifest, str(tmp_path), as_json=True)
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {side_name}.features.image: expected vectors with a direction, but {number} are zeros alone, which "
        "count as known. Where such a vector says that none is known, leave it out of the table (null)"
        for side_name, number in (("query", "1 of 3"), ("item", "3 of 5"))
    ]


@pytest.mark.parametrize(("stage", "counts"), [("dataset", OF_A_DATASET), ("aggregate", OF_AN_AGGREGATE)])
def test_a_recorded_spec_with_an_unknown_key_is_refused(stage, counts) -> None:
    manifest = made(stage, counts)
    manifest.spec["sources"]["max_age"] = 3
    with pytest.raises(UsageError, match=r"^out/manifest.json: sources.max_age: no such key"):
        print_report(manifest, "out", as_json=True)


def test_the_report_counts_queries_without_a_row_and_empty_histories(capsys) -> None:
    counts = OF_A_DATASET | {"queries": 1200, "queries/without_row": 1100, "histories/empty": 7}
    print_report(made("dataset", counts), "out", as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "without a row in the query table │ 1,100" in said
    assert "with an empty history │ 7" in said
    assert "repeats" not in said, "each of the 9 lines is an example"


def test_the_report_keeps_the_rejects_of_tables_apart_from_the_lines_of_the_log(capsys) -> None:
    counts = {"queries": 3, "lines/read": 602, "lines/kept": 470, "items/read": 50, "queries/read": 7}
    counts |= {"filtered/duplicate": 2}
    rejected = {"items/bad_id": 1, "items/wrong_type (n)": 8, "unknown_item": 130}
    for stage, counted, last in (("dataset", OF_A_DATASET, "examples"), ("aggregate", OF_AN_AGGREGATE, "pairs")):
        print_report(made(stage, counted | counts).model_copy(update={"rejected": rejected}), "out", as_json=False)
        rows = [line.replace("│", "").split() for line in capsys.readouterr().out.splitlines() if "│" in line]
        assert rows[:9] == [
            ["lines", "read", "602"],
            ["rejected:", "unknown_item", "130"],
            ["filtered:", "duplicate", "2"],
            ["kept", "470"],
            ["repeats", "of", "a", "pair", "461"],
            ["rows", "of", "the", "table", "of", "items", "50"],
            ["rejected:", "bad_id", "1"],
            ["rejected:", "wrong_type", "(n)", "8"],
            ["train", last, "7"],
        ]


def test_queries_that_are_items_without_a_row_are_warned_of(capsys) -> None:
    counts = OF_A_DATASET | {"queries": 1200, "queries/without_row": 600}
    print_report(made("dataset", counts, queries="items"), "out", as_json=True)
    warned = NO_ROW.replace("N of", "600 of").replace("user_id of the query", "item_id of the item")
    assert capsys.readouterr().err == warned
    ids = {"queries/without_row": IdsToCompare(log="u", table="U")}
    print_report(
        made("dataset", counts, queries="items").model_copy(update={"ids_to_compare": ids}), "out", as_json=True
    )
    more = "; the log's smallest id without a row is 'u', the table's smallest id is 'U'\n"
    assert capsys.readouterr().err == warned.replace("\n", more)


def test_a_vocabulary_without_a_term_is_warned_of(capsys) -> None:
    rare: dict[str, object] = {"kind": "categorical", "min_count": 9_000}
    spec = spec_of().model_dump(mode="json") | {
        "query": {
            "features": {"user": {"kind": "id", "min_count": 0}, "city": rare, "shop": rare | {"vocabulary": "shop"}}
        },
        "item": {
            "features": {
                "app": {"kind": "id"},
                "shop": rare | {"vocabulary": "shop"},
                "maker": rare,
                "genre": rare | {"oov_buckets": 4},
                "words": {"kind": "text", "hash_buckets": 8},
            }
        },
    }
    # SHA-256 of b"0 49d0cd50-04bb-48c0-bc6f-5b575dce351a", the one term that tensorflow-transform gives such a one.
    nothing = "797d3e8b086e17d7bf9d2ca771975546139f771a6f6061cbefe6a1ef0c35fe67"
    names = ("query_user", "query_city", "shop", "item_genre")
    content = {f"vocabularies/{name}": nothing for name in names} | {"vocabularies/item_maker": "0" * 64}
    manifest = Manifest(stage="dataset", run_id="r", spec=spec, counts=OF_A_DATASET | {"queries": 1}, content=content)
    print_report(manifest, "out", as_json=True)
    assert capsys.readouterr().err.splitlines() == [
        "warning: query.features.user: expected terms that are counted once or more (min_count), but none is, so "
        "all values of this feature are unknown; lower min_count, or leave the feature out",
        "warning: query.features.city: expected terms that are counted 9,000 times or more (min_count), but none is, "
        "so all values of this feature are unknown; lower min_count, or leave the feature out",
        "warning: query.features.shop, item.features.shop: expected terms that are counted 9,000 times or more "
        "(min_count), but none is, so all values of these features are unknown; lower min_count, or leave the feature "
        "out",
    ]
    terms = dict.fromkeys([*names, "item_maker"], 1)
    counts = manifest.counts | {"items/encoded": 5}
    print_report(manifest.model_copy(update={"vocabularies": terms, "counts": counts}), "out", as_json=False)
    shown = dict(re.findall(r"vocabulary (\w+) +│ +(\d+) │", capsys.readouterr().out))
    assert shown == dict.fromkeys(names, "0") | {"item_maker": "1"}


def rows_of(spec: Spec, *ids: str) -> list[Packed]:
    return [pack(only_ids(pa.array(ids), spec.query).append_column("place", pa.array(range(len(ids)))))]


def test_queries_without_a_row_are_counted_where_there_is_a_query_table() -> None:
    counts = pa.table([["a", "b", "c"], *[[1, 1, 1]] * 3], schema=COUNTED)
    spec = spec_of()
    queries, of_rows = join_queries(rows_of(spec, "x", "c"), counts, spec=spec, names={})
    assert queries.column("id").to_pylist() == ["c", "a", "b"]
    ids = {"id\tqueries/without_row\tlog\ta": 1, "id\tqueries/without_row\ttable\tc": 1}
    assert of_rows == {"queries/without_row": 2} | ids
    of_no_query = {kinds.QUERY_ROWS: rows_of(spec, "x"), kinds.QUERY_COUNTS: []}
    *_, said = make_queries((0, of_no_query), spec, names={})
    assert decode_counts(said.keyed[1]) == {"queries/without_row": 0, "id\tqueries/without_row\ttable\tx": 1}
    pages = spec_of(queries="items", rejects="place_only")
    assert join_queries([], counts, spec=pages, names={})[1] == {"queries/without_row": 3}
    assert join_queries([], counts, spec=spec_of(queries=None), names={})[1] == {}
