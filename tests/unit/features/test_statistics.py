"""Statistics, their protos, and the schema inferred of them, by hand."""

import math

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf import text_format
from small_specs import small_spec
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from features.pairs import PAIRS
from features.sessions import SESSION_PAIRS
from features.spec.features import Side
from features.spec.session import Session
from features.statistics.anomalies import to_text
from features.statistics.counts import (
    FEATURE_COUNTS,
    count_distinct,
    count_entities,
    count_pairs,
    keep_most_common,
    merge_counts,
    round_numbers,
)
from features.statistics.protos import by_feature, serialize, to_protos
from features.statistics.schema import complete_schema, domains, load_expected, widen_schema
from features.statistics.statistics import Column, describe, described_columns
from stage.errors import StageError, UsageError
from stage.manifest import Manifest, describe_files

SPEC = small_spec(
    item={
        "app": "id",
        "color": "categorical",
        "tags": "multivalued",
        "words": {"kind": "text", "ngrams": [1, 2]},
        "price": "numeric",
    }
)
ITEMS = [
    # train count, color, tags, text, price
    (3, "red", ["x", "y"], "Big red", 1.0),
    (0, "blue", [], None, None),
    (1, "red", ["x"], "red", 2.5),
    (3, None, ["x", "z", "é"], "!", 0.0),
    (0, "red", None, "red RED", 2.5),
]


def items(rows) -> pa.Table:
    counts, colors, tags, texts, prices = zip(*rows, strict=True)
    return pa.table(
        {
            "id": pa.array([f"app{n}" for n in range(len(rows))]),
            "train_count": pa.array(counts, pa.int64()),
            "feature/color": pa.array(colors, pa.string()),
            "feature/tags": pa.array(tags, pa.list_(pa.string())),
            "feature/words": pa.array(texts, pa.string()),
            "feature/price": pa.array(prices, pa.float64()),
        }
    )


def statistics(parts, domain=None):
    counts = merge_counts(pa.concat_tables(parts))
    all_counts = pa.concat_tables([counts, count_distinct(counts)])
    return describe(all_counts, described_columns(SPEC), known=domain or {})


def of_items(rows=ITEMS):
    return statistics([count_entities(items(rows), "item", side=SPEC.item)])


def test_texts_are_counted_by_count_then_by_name() -> None:
    found = of_items()
    assert list(found["item/color"].texts.items()) == [("red", 3), ("blue", 1)]
    assert list(found["item/tags"].texts.items()) == [("x", 3), ("y", 1), ("z", 1), ("é", 1)]
    assert found["item/tags"].valency == {0: 2, 1: 1, 2: 1, 3: 1}
    assert (found["item/tags"].rows, found["item/tags"].missing, found["item/tags"].values) == (5, 2, 6)
    assert (found["item/tags"].distinct, found["item/tags"].bytes) == (4, 7)


def test_of_a_text_its_ngrams_are_counted() -> None:
    found = of_items()["item/words"]
    assert found.texts == {"red": 4, "big": 1, "big red": 1, "red red": 1}
    assert found.valency == {0: 2, 1: 1, 3: 2}


def test_numbers() -> None:
    found = of_items()["item/price"]
    assert found.numbers.tolist() == [0.0, 1.0, 2.5]
    assert found.number_counts.tolist() == [1, 1, 2]
    assert (found.minimum, found.maximum, found.missing) == (0.0, 2.5, 1)
    assert of_items()["item/train_count"].number_counts.tolist() == [2, 1, 2]


def test_numbers_are_rounded_to_17_bits_and_their_extremes_are_not() -> None:
    numbers = np.array([0.0, -0.0, 131_071, 131_073, -131_073, 131_075, 1e300, 2.0**17 + 0.5])
    assert round_numbers(numbers).tolist()[:6] == [0.0, 0.0, 131_071, 131_074, -131_074, 131_076]
    assert not np.signbit(round_numbers(numbers)[1])
    assert round_numbers(numbers)[6] == pytest.approx(1e300, rel=4e-6)
    assert round_numbers(np.array([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]
    found = of_items([(0, None, None, None, 131_073.25), (0, None, None, None, -131_073.25)])["item/price"]
    assert (found.minimum, found.maximum) == (-131_073.25, 131_073.25)
    assert found.numbers.tolist() == [-131_074, 131_074]
    assert not np.signbit(of_items([(0, None, None, None, -0.0)])["item/price"].minimum)


def test_pairs_that_are_thinned_out_are_not_counted() -> None:
    rows = [
        ("u1", "a", 0, 2, 10, 20, False),
        ("u1", "b", 0, 1, 5, 5, True),
        ("u1", "b", 2, 1, 7, 7, False),
        ("u2", "b", 1, 3, 8, 9, False),
    ]
    found = statistics(
        [count_pairs(pa.Table.from_pylist([dict(zip(PAIRS.names, r, strict=True)) for r in rows], PAIRS), Side())]
    )
    assert found["query_id"].texts == {"u1": 2, "u2": 1}
    assert found["item_id"].texts == {"b": 2, "a": 1}
    assert found["pair/split"].texts == {"test": 1, "train": 1, "validation": 1}
    assert found["pair/count"].number_counts.tolist() == [1, 1, 1]
    assert "pair/first" not in found  # the spec's log has no times


def test_times_and_how_long_histories_are_are_counted_of_examples() -> None:
    rows = [
        ("u1", "a", 0, 1, 10, 10, False, ["b", "b"]),
        ("u1", "b", 0, 2, 20, 30, False, []),
        ("u2", "b", 2, 1, 30, 30, False, ["a", "c"]),
        ("u2", "c", 0, 1, 40, 40, True, ["a"]),
    ]
    pairs = [dict(zip(SESSION_PAIRS.names, row, strict=True)) for row in rows]
    counted = count_pairs(pa.Table.from_pylist(pairs, SESSION_PAIRS), Side()).to_pylist()
    found = {name: {} for name in ("pair/count", "pair/first", "pair/last", "pair/history_length")}
    for row in counted:
        if row["measure"] == "number":
            found[row["feature"]][row["number"]] = row["count"]
    assert found == {
        "pair/count": {1: 2, 2: 1},
        "pair/first": {10: 1, 20: 1, 30: 1},
        "pair/last": {10: 1, 30: 2},
        "pair/history_length": {0: 1, 2: 2},
    }
    lengths = Column("pair/history_length", "pairs", "int")
    assert described_columns(SPEC.model_copy(update={"session": Session()})) == [*described_columns(SPEC), lengths]


def test_the_most_common_and_the_domain_are_kept() -> None:
    rows = [("f", "text", text, None, count) for text, count in [("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 1)]]
    counts = pa.Table.from_pylist([dict(zip(FEATURE_COUNTS.names, row, strict=True)) for row in rows], FEATURE_COUNTS)
    kept = keep_most_common(counts, {"f": frozenset({"e", "d", "none"})}, most=2)
    assert list(zip(kept["text"].to_pylist(), kept["count"].to_pylist(), strict=True)) == [("d", 3), ("b", 2), ("e", 1)]
    assert count_distinct(counts)["count"].to_pylist() == [5]


def test_a_thousand_texts_are_told_and_those_of_the_domain_counted() -> None:
    rows = [(0, f"c{n:04}", None, None, None) for n in range(1_002)] + [(0, "c1001", None, None, None)]
    counts = count_entities(items(rows), "item", side=SPEC.item)
    found = statistics([counts], {"item/color": frozenset({"c0999", "c1000"})})
    assert list(found["item/color"].texts)[998:] == ["c0997", "c0998", "c0999", "c1000"]
    assert found["item/color"].distinct == 1_002
    told = by_feature(serialize(to_protos(found)))["item/color"].string_stats
    ranked = told.rank_histogram.buckets
    assert (len(told.top_values), told.top_values[-1].value) == (20, "c0018")
    assert (len(ranked), ranked[0].label, ranked[-1].label) == (1_000, "c1001", "c0998")
    assert (ranked[-1].low_rank, ranked[-1].high_rank) == (999, 999)


def test_the_protos_say_it() -> None:
    protos = to_protos(of_items())
    assert [(dataset.name, dataset.num_examples) for dataset in protos.datasets] == [
        ("items", 5),
        ("queries", 0),
        ("pairs", 0),
    ]
    found = by_feature(serialize(protos))
    tags = found["item/tags"].string_stats
    assert found["item/tags"].type == statistics_pb2.FeatureNameStatistics.STRING
    assert [(top.value, top.frequency) for top in tags.top_values] == [("x", 3), ("y", 1), ("z", 1), ("é", 1)]
    assert tags.unique == 4
    assert tags.avg_length == np.float32(7 / 6)
    common = tags.common_stats
    assert (common.num_missing, common.num_non_missing, common.tot_num_values) == (2, 3, 6)
    assert (common.min_num_values, common.max_num_values, common.avg_num_values) == (1, 3, 2)
    assert [(b.low_value, b.high_value, b.sample_count) for b in common.num_values_histogram.buckets] == [
        (1.0, 2.0, 1),
        (2.0, 3.0, 1),
        (3.0, 3.0, 1),
    ]
    price = found["item/price"].num_stats
    assert (price.mean, price.min, price.max, price.median, price.num_zeros) == (1.5, 0.0, 2.5, 1.0, 1)
    common = price.common_stats
    assert (common.num_missing, common.num_non_missing, common.tot_num_values) == (1, 4, 4)
    assert price.std_dev == pytest.approx(math.sqrt((2.25 + 0.25 + 1 + 1) / 4), abs=1e-15)
    widths, quantiles = price.histograms
    assert [bucket.sample_count for bucket in widths.buckets] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 2]
    assert [(b.low_value, b.high_value, b.sample_count) for b in quantiles.buckets] == [
        (0.0, 1.0, 1),
        (1.0, 2.5, 1),
        (2.5, 2.5, 2),
    ]
    one = by_feature(serialize(to_protos(of_items([(0, None, None, None, 2.5)] * 3))))["item/price"].num_stats
    for histogram in one.histograms:
        assert [(b.low_value, b.high_value, b.sample_count) for b in histogram.buckets] == [(2.5, 2.5, 3)]
    # Added up as they come, in float64, they would be 0.
    far = to_protos(of_items([(0, None, None, None, price) for price in (-1e17, 1.0, 1e17)]))
    assert by_feature(serialize(far))["item/price"].num_stats.mean == 1 / 3
    # 1,000,007 is counted as 1,000,008: no bucket ends before it begins.
    large = by_feature(
        serialize(to_protos(of_items([(0, None, None, None, 1_000_007.0)] * 3 + [(0, None, None, None, 1)])))
    )
    assert [
        (b.low_value, b.high_value, b.sample_count) for b in large["item/price"].num_stats.histograms[1].buckets
    ] == [
        (1.0, 1_000_007.0, 1),
        (1_000_007.0, 1_000_007.0, 3),
    ]
    trained = found["item/train_count"]  # 0, 0, 1, 3, 3
    assert trained.type == statistics_pb2.FeatureNameStatistics.INT
    assert (trained.num_stats.median, trained.num_stats.num_zeros) == (1.0, 2)


def test_the_schema_inferred() -> None:
    inferred = complete_schema(schema_pb2.Schema(), of_items())
    schema = {f.name: f for f in inferred.feature}
    color, tags, price = (schema[f"item/{name}"] for name in ("color", "tags", "price"))
    assert (color.type, list(color.string_domain.value)) == (schema_pb2.BYTES, ["blue", "red"])
    assert (color.presence.min_fraction, color.presence.min_count) == (0.8, 1)
    assert (color.value_count.min, color.value_count.max, tags.value_count.min) == (1, 1, 1)
    assert not tags.value_count.HasField("max")
    assert list(tags.string_domain.value) == ["x", "y", "z", "é"]
    assert 'value: "é"' in to_text(inferred).decode()
    assert not schema["item/words"].HasField("string_domain")
    assert (price.type, price.float_domain.min, price.float_domain.max) == (schema_pb2.FLOAT, 0.0, 2.5)
    assert not schema["item/train_count"].HasField("float_domain")
    assert list(price.in_environment) == ["items"]
    assert list(schema["item_id"].in_environment) == ["pairs"]
    assert list(schema["item_id"].not_in_environment) == ["items", "queries"]
    assert list(inferred.default_environment) == ["items", "queries", "pairs"]


def test_no_values_and_more_than_a_hundred_are_no_domain() -> None:
    for values, closed in [(0, False), (1, True), (100, True), (101, False)]:
        rows = [(0, color, None, None, None) for color in [None, *(f"c{n}" for n in range(values))]]
        schema = {f.name: f for f in complete_schema(schema_pb2.Schema(), of_items(rows)).feature}
        assert schema["item/color"].HasField("string_domain") is closed
        assert not schema["item/price"].HasField("float_domain")


def test_a_given_schema_is_kept_and_completed() -> None:
    given = text_format.Parse(
        'feature { name: "item/color" domain: "colors" } string_domain { name: "colors" value: "green" }',
        schema_pb2.Schema(),
    )
    completed = complete_schema(given, of_items())
    assert completed.feature[0] == given.feature[0]
    assert not completed.default_environment
    assert [f.name for f in completed.feature] == [
        "item/color", "item/train_count", "item/tags", "item/words", "item/price", "query/train_count", "query_id",
        "item_id", "pair/split", "pair/count",
    ]  # fmt: skip
    assert domains(given) == {"item/color": {"green"}}


def test_a_schema_is_widened_by_what_a_dataset_has_beyond_it() -> None:
    held_to = complete_schema(schema_pb2.Schema(), of_items())
    rows = [*ITEMS[:3], (0, "green", ["w"], None, -1.0), (0, None, None, None, 7.0)]
    left = {f.name: f for f in widen_schema(held_to, of_items(rows)).feature}
    color, tags, price = (left[f"item/{name}"] for name in ("color", "tags", "price"))
    assert (color.string_domain.name, list(color.string_domain.value)) == ("item/color", ["blue", "green", "red"])
    assert list(tags.string_domain.value) == ["w", "x", "y", "z", "é"]
    assert (price.float_domain.min, price.float_domain.max) == (-1.0, 7.0)
    assert [f.presence.min_fraction for f in (color, tags, price)] == pytest.approx([0.8, 0.6, 0.8])
    assert widen_schema(held_to, of_items()) == held_to
    assert widen_schema(held_to, of_items(ITEMS[:1])) == held_to


def test_more_may_be_missing_as_a_schema_widens_and_where_all_is_the_range_stays() -> None:
    def priced(*prices):
        return of_items([(0, None, None, None, price) for price in prices])

    held_to = complete_schema(schema_pb2.Schema(), priced(1.0, 2.5))
    for found, share in ((priced(None), 0.0), (priced(None, 1.5, 2.0), 0.6666), (priced(2.0), 1.0)):
        price = next(f for f in widen_schema(held_to, found).feature if f.name == "item/price")
        assert (price.presence.min_fraction, price.float_domain.min, price.float_domain.max) == (share, 1.0, 2.5)


def test_a_feature_that_is_gone_leaves_a_schema_as_it_widens() -> None:
    held_to = complete_schema(text_format.Parse('feature { name: "item/gone" }', schema_pb2.Schema()), of_items())
    assert held_to.feature[0].name == "item/gone"
    assert list(widen_schema(held_to, of_items()).feature) == list(held_to.feature)[1:]


def test_a_domain_that_outgrows_a_hundred_values_is_none_any_more() -> None:
    for known, new, left in ((100, [], 100), (99, ["new"], 100), (100, ["new"], 0)):
        rows = [(0, f"c{n}", None, None, None) for n in range(known)]
        schema = complete_schema(schema_pb2.Schema(), of_items(rows))
        widened = widen_schema(schema, of_items([(0, color, None, None, None) for color in ["c7", *new]]))
        color = next(feature for feature in widened.feature if feature.name == "item/color")
        assert (color.HasField("string_domain"), len(color.string_domain.value)) == (left > 0, left)


def test_bounds_that_a_schema_lacks_are_not_added_as_it_widens() -> None:
    schema = text_format.Parse(
        'feature { name: "item/price" int_domain { max: 2 } } feature { name: "item/words" }'
        'feature { name: "item/color" domain: "colors" } string_domain { name: "colors" value: "green" }',
        schema_pb2.Schema(),
    )
    price, words, color = widen_schema(schema, of_items()).feature
    assert (price.int_domain.HasField("min"), price.int_domain.max, price.HasField("presence")) == (False, 3, False)
    assert words == schema.feature[1]
    assert list(color.string_domain.value) == ["blue", "green", "red"]


@pytest.mark.parametrize("content", [b"feature {", b"nonsense", b"\xff"])
def test_a_schema_that_is_none_is_refused(content, tmp_path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"--schema {path}: expected a tensorflow-metadata Schema in text form"):
        load_expected(schema=str(path), baseline=None)


def test_a_schema_that_cannot_be_read_is_refused_by_its_option(tmp_path) -> None:
    with pytest.raises(UsageError, match=f"^--schema: there is no file {tmp_path}/none.pbtxt$"):
        load_expected(schema=f"{tmp_path}/none.pbtxt", baseline=None)
    with pytest.raises(StageError, match=f"^--schema {tmp_path}: cannot be read: .*is a directory"):
        load_expected(schema=str(tmp_path), baseline=None)


def test_a_baseline_of_another_schema_or_content_is_another_and_so_is_a_given_schema(tmp_path) -> None:
    (tmp_path / "statistics").mkdir()
    (tmp_path / "statistics/statistics.pb").write_bytes(b"")
    seen, given, a, b = [], [], 'feature {name: "a"}', 'feature {name: "b"}'
    for schema, items in ((a, "0"), (b, "0"), (a, "0"), (a, "1")):
        (tmp_path / "statistics/schema.pbtxt").write_text(schema)
        files = describe_files(str(tmp_path))
        Manifest(stage="dataset", run_id="r", spec={}, files=files, content={"items": items}).write(str(tmp_path))
        seen.append(load_expected(schema=None, baseline=str(tmp_path)))
        given.append(load_expected(schema=f"{tmp_path}/statistics/schema.pbtxt", baseline=None))
    assert [expected.schema for expected in seen] == [a, b, a, a]
    assert seen[0].digests.keys() == {"baseline"}
    assert seen[0].digests == seen[2].digests
    for other in (1, 3):
        assert seen[other].digests != seen[0].digests
    digests = [expected.digests for expected in given]
    assert [digest.keys() for digest in digests] == [{"schema"}] * 4
    assert digests[0] == digests[2] == digests[3] != digests[1]
    assert (seen[0].widens, given[0].widens) == (True, False)


def test_a_baseline_that_is_none_is_refused(tmp_path) -> None:
    with pytest.raises(StageError, match="expected a finished dataset"):
        load_expected(schema=None, baseline=str(tmp_path))
