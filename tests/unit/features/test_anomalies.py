"""Anomalies and drift, by hand."""

import math
from dataclasses import replace

import pyarrow as pa
import pytest
from google.protobuf import text_format
from small_specs import small_spec
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from features.spec.statistics import Statistics
from features.statistics.anomalies import Finding, find_anomalies, in_words, known_texts, to_anomalies, to_text
from features.statistics.counts import count_distinct, count_entities, merge_counts
from features.statistics.drift import jensen_shannon, l_infinity
from features.statistics.protos import by_feature, serialize, to_protos
from features.statistics.schema import complete_schema, widen_schema
from features.statistics.statistics import describe, described_columns

ITEM = {"tags": "multivalued", "price": "numeric"}
SPEC = small_spec(item=ITEM)


def statistics(tags, prices=(), baseline=None):
    rows = max(len(tags), len(prices))
    table = pa.table(
        {
            "id": [f"i{n}" for n in range(rows)],
            "train_count": pa.array([1] * rows, pa.int64()),
            "feature/tags": pa.array([list(t) for t in tags] + [None] * (rows - len(tags)), pa.list_(pa.string())),
            "feature/price": pa.array([*prices, *[None] * (rows - len(prices))], pa.float64()),
        }
    )
    counts = merge_counts(count_entities(table, "item", side=SPEC.item))
    earlier = serialize(to_protos(baseline)) if baseline is not None else None
    known = known_texts(schema_pb2.Schema(), baseline=earlier)
    return describe(pa.concat_tables([counts, count_distinct(counts)]), described_columns(SPEC), known=known)


def judge(found, schema, baseline=None, **thresholds):
    schema = text_format.Parse(schema, schema_pb2.Schema()) if isinstance(schema, str) else schema
    earlier = serialize(to_protos(baseline)) if baseline is not None else None
    return find_anomalies(found, schema, baseline=earlier, thresholds=Statistics(**thresholds))


def only(findings):
    (finding,) = findings
    return finding


def test_a_table_keeps_to_the_schema_inferred_from_it() -> None:
    # In float32, as a schema has it, 0.0097 is a little more, and past what numbers are counted as.
    for prices in ([1.5, 0.1, None, 131_073.7], [0.0097] * 3 + [0.02], [-0.0097] * 3 + [-0.02]):
        found = statistics(["ab", "", "c"], prices)
        assert judge(found, complete_schema(schema_pb2.Schema(), found), max_out_of_range=0) == []
        widened = widen_schema(complete_schema(schema_pb2.Schema(), statistics([], [0.015, -0.015])), found)
        assert judge(found, widened, max_out_of_range=0) == []


@pytest.mark.parametrize(("missing", "rows"), [*((missing, 10) for missing in range(11)), (1, 3)])
def test_a_table_keeps_to_its_own_schema_whatever_share_is_missing(missing: int, rows: int) -> None:
    found = statistics([], [1.0] * (rows - missing) + [None] * missing)
    assert judge(found, complete_schema(schema_pb2.Schema(), found), max_missing_increase=0.0) == []


def test_missing_values() -> None:
    schema = 'feature { name: "item/tags" presence { min_fraction: 0.9 } }'
    found = statistics(["a", "", "", "b"])  # half is missing; a tenth may be, and 0.05 more
    finding = only(judge(found, schema))
    assert (finding.measure, finding.value, finding.fails) == ("the share of missing values", 0.5, True)
    assert finding.limit == pytest.approx(0.15)
    assert not only(judge(found, schema, max_missing_increase=0.41)).fails
    assert only(judge(found, schema, max_missing_increase=1)).limit == 1
    exactly = 'feature { name: "item/tags" presence { min_fraction: 0.75 } }'
    assert not only(judge(found, exactly, max_missing_increase=0.25)).fails
    three = statistics(["", "", "", *"abcdefg"])  # floats say that 1 - 0.8 + 0.1 is less than 0.3
    edge = 'feature { name: "item/tags" presence { min_fraction: 0.8 } }'
    assert not only(judge(three, edge, max_missing_increase=0.1)).fails
    assert judge(found, 'feature { name: "item/tags" presence { min_fraction: 0.5 } }') == []
    assert judge(found, 'feature { name: "item/tags" }') == []


def test_what_fails_is_told_first_and_of_it_counts_of_pairs_last() -> None:
    schema = (
        'feature { name: "item/tags" presence { min_fraction: 0.9 } }'
        'feature { name: "item/train_count" int_domain { max: 0 } }'
        'feature { name: "item/price" float_domain { max: 0 } }'
    )
    told = judge(statistics(["a"] * 8 + [""], [1.0] * 9), schema)
    assert [(f.feature, f.fails) for f in told] == [
        ("item/price", True), ("item/train_count", True), ("item/tags", False)
    ]  # fmt: skip


@pytest.mark.parametrize(("number", "more"), [(1, []), (10, []), (11, ["and 1 more"]), (13, ["and 3 more"])])
def test_of_many_findings_ten_are_named(number: int, more: list[str]) -> None:
    kind = anomalies_pb2.AnomalyInfo.UNEXPECTED_DATA_TYPE
    findings = [
        Finding(feature=f"f{n}", measure="the type", value="INT", limit="BYTES", kind=kind) for n in range(number)
    ]
    named = [f"f{n}: the type is INT (threshold BYTES)" for n in range(min(number, 10))]
    assert in_words(findings) == "; ".join([*named, *more])


def test_a_feature_that_is_gone_is_told_and_fails_nothing() -> None:
    found = statistics(["a"], [1.0])
    schema = complete_schema(schema_pb2.Schema(), found)
    without_price = {name: feature for name, feature in found.items() if name != "item/price"}

    finding = only(judge(without_price, schema))
    assert (str(finding), finding.fails) == ("item/price: the feature is absent from the spec (no threshold)", False)


def test_a_feature_that_the_baseline_lacks_is_told_and_fails_nothing() -> None:
    found = statistics(["a"], [1.0])
    schema = complete_schema(schema_pb2.Schema(), found)
    without_price = {name: feature for name, feature in found.items() if name != "item/price"}

    told = [f for f in judge(found, schema, baseline=without_price) if f.measure == "the feature"]
    assert [(str(f), f.fails) for f in told] == [("item/price: the feature is new (no threshold)", False)]
    assert [f for f in judge(found, schema, baseline=found) if f.measure == "the feature"] == []
    proto = to_anomalies(told, schema).anomaly_info["item/price"]
    assert proto.severity == anomalies_pb2.AnomalyInfo.WARNING
    assert proto.reason[0].type == anomalies_pb2.AnomalyInfo.SCHEMA_NEW_COLUMN


def test_new_values() -> None:
    schema = 'feature { name: "item/tags" string_domain { value: "a" value: "b" value: "never" } }'
    found = statistics(["ab", "ac", "dd"])  # 3 of 6
    finding = only(judge(found, schema, max_new_values=0.49))
    assert (finding.value, finding.limit, finding.fails) == (0.5, 0.49, True)
    assert str(finding) == "item/tags: the share of new values is 0.5 (threshold 0.49): 'd', 'c'"
    assert not only(judge(found, schema, max_new_values=0.5)).fails
    for tags, named in (("cde", "'c', 'd', 'e'"), ("cdef", "'c', 'd', 'e' and 1 more")):
        assert str(only(judge(statistics([tags]), schema, max_new_values=0.5))).endswith(f"(threshold 0.5): {named}")
    for tags in (["ab"], [""]):  # of no values none is new
        assert judge(statistics(tags), schema, max_new_values=0) == []
    of_numbers = 'feature { name: "item/price" string_domain { value: "a" } }'  # says nothing of these
    assert judge(statistics([], [1.0]), of_numbers, max_new_values=0) == []


def test_texts_of_the_domain_and_of_the_baseline_are_counted_however_rare() -> None:
    schema = text_format.Parse('feature { name: "item/tags" string_domain { value: "never" } }', schema_pb2.Schema())
    known = known_texts(schema, baseline=serialize(to_protos(statistics(["ab"]))))
    assert known["item/tags"] == {"a", "b", "never"}


def test_numbers_out_of_range() -> None:
    schema = 'feature { name: "item/price" float_domain { min: 0 max: 2 } }'
    found = statistics([], [-1, 0, 2, 2.5, 3, None])
    findings = judge(found, schema, max_out_of_range=0.2)
    info = anomalies_pb2.AnomalyInfo
    assert [(f.measure.split()[-3], f.value, f.fails, f.kind) for f in findings] == [
        ("above", 0.4, True, info.FLOAT_TYPE_BIG_FLOAT),
        ("below", 0.2, False, info.FLOAT_TYPE_SMALL_FLOAT),
    ]
    for bound, value, kind in (("max: 2", 0.4, info.INT_TYPE_BIG_INT), ("min: 0", 0.2, info.INT_TYPE_SMALL_INT)):
        finding = only(judge(found, f'feature {{ name: "item/price" int_domain {{ {bound} }} }}'))
        assert (finding.value, finding.kind) == (value, kind)


def test_values_in_a_row() -> None:
    schema = 'feature { name: "item/tags" value_count { min: 2 max: 3 } }'
    findings = judge(statistics(["abcd", "a", "ab", "abc", ""]), schema)
    assert [str(finding) for finding in findings] == [
        "item/tags: the share of rows with fewer than 2 values is 0.2 (threshold 0)",
        "item/tags: the share of rows with more than 3 values is 0.2 (threshold 0)",
    ]
    assert all(finding.fails for finding in findings)


def test_another_type() -> None:
    found = statistics(["a"], [1.0])
    finding = only(judge(found, 'feature { name: "item/price" type: BYTES }'))
    assert (finding.fails, str(finding)) == (True, "item/price: the type is FLOAT (threshold BYTES)")


def test_drift_of_categories_is_the_greatest_difference_of_shares() -> None:
    before = statistics(["aab", "b"])  # a 1/2, b 1/2
    now = statistics(["abccc", "dddde"])  # a 0.1, b 0.1, c 0.3, d 0.4, e 0.1
    earlier = by_feature(serialize(to_protos(before)))["item/tags"].string_stats
    ids = replace(now["item/tags"], column=replace(now["item/tags"].column, is_id=True))
    assert l_infinity(ids, earlier) == pytest.approx(0.4, abs=1e-9)
    assert l_infinity(now["item/tags"], earlier) == pytest.approx(0.8, abs=1e-9)  # c, d and e are new
    assert l_infinity(before["item/tags"], earlier) == 0
    assert l_infinity(statistics([""])["item/tags"], earlier) == 0.5
    # a 3/5, b 2/5 and b 3/5, c 2/5: what is gone counts as what is new does.
    three, other = (statistics([tags])["item/tags"] for tags in ("aaabb", "bbbcc"))
    for found, then in ((three, other), (other, three)):
        told = by_feature(serialize(to_protos({"item/tags": then})))["item/tags"].string_stats
        assert l_infinity(replace(found, column=ids.column), told) == 0.6
    one = statistics(["a"])["item/tags"]
    for then, drift in ((["a"], 0), ([""], 1)):
        assert l_infinity(one, by_feature(serialize(to_protos(statistics(then))))["item/tags"].string_stats) == drift


def test_a_feature_without_a_common_value_drifts_by_its_new_values() -> None:
    names = [f"maintainer {n}" for n in range(150)]
    before, now = statistics([[name] for name in names]), statistics([[f"{name}@"] for name in names])
    schema = 'feature { name: "item/tags" }'
    renamed = only(judge(now, schema, before))
    assert renamed.fails
    assert str(renamed) == (
        "item/tags: drift (L-infinity) is 1 (threshold 0.1), new values: 'maintainer 0@', 'maintainer 100@', "
        "'maintainer 101@' and 147 more"
    )
    some = statistics([[name] for name in names] + [["a"], ["b"], ["c"], ["d"]] * 4)  # 16 of 166
    assert (only(judge(some, schema, before)).value, only(judge(some, schema, before)).fails) == (0.096385542, False)
    # Values that are new are counted though they are rarer than the thousandth, and known ones aren't taken for new.
    replaced = statistics([[f"new {n}"] for n in range(4000)], baseline=before)
    assert only(judge(replaced, schema, before)).value == 1
    grown = statistics([[f"maintainer {n % 150}", f"new {n}", f"new {n}"] for n in range(1500)], baseline=before)
    assert str(only(judge(grown, schema, before))).endswith(
        "is 0.6667 (threshold 0.1), new values: 'new 0', 'new 1', 'new 10' and 847 more"
    )
    twice = [[f"common {n}"] * 2 for n in range(1200)]
    rare = statistics([*twice, ["maintainer 7"]], baseline=before)
    assert only(judge(rare, schema, before)).value == pytest.approx(2400 / 2401, abs=1e-9)
    # Of more than 1,000 values the baseline tells the most common ones, here all but one of 1,001.
    many = statistics([[f"tag {n}"] for n in range(1001)])
    assert str(only(judge(now, schema, many))) == (
        "item/tags: drift (L-infinity) is 0.999 (threshold 0.1), values rare before: 'maintainer 0@', "
        "'maintainer 100@', 'maintainer 101@' and 147 more"
    )


def test_new_ids_are_usual_and_new_words_are_not() -> None:
    is_id = {column.name: column.is_id for column in described_columns(SPEC) if column.kind == "text"}
    assert is_id == {"item/tags": False, "query_id": True, "item_id": True, "pair/split": False}
    before = statistics([[f"w{n}" for n in range(20)]])
    now = statistics([[f"x{n}" for n in range(20)]], baseline=before)["item/tags"]
    earlier = by_feature(serialize(to_protos(before)))["item/tags"].string_stats
    words = replace(now.column, has_domain=False)  # as those of a text
    assert l_infinity(replace(now, column=words), earlier) == 1
    assert l_infinity(replace(now, column=replace(words, is_id=True)), earlier) == 0.05


def test_where_one_value_drifts_most_the_others_are_not_named() -> None:
    before = statistics(["aaaab"])  # a 4/5, b 1/5
    now = statistics(["abbbc"], baseline=before)  # a 1/5, b 3/5, and c, new, 1/5
    found = only(judge(now, 'feature { name: "item/tags" }', before))
    assert str(found) == "item/tags: drift (L-infinity) is 0.6 (threshold 0.1)"


def divergence_of(p: list[float], q: list[float]) -> float:
    """Of two distributions over some classes."""
    halves = [(share, (a + b) / 2) for a, b in zip(p, q, strict=True) for share in (a, b)]
    return sum(share * math.log2(share / middle) for share, middle in halves if share) / 2


def divergence(p: float, q: float) -> float:
    """Of two distributions over two classes, by the share of the first."""
    return divergence_of([p, 1 - p], [q, 1 - q])


def test_drift_of_numbers_is_jensen_shannons() -> None:
    # Quantiles of the earlier one: 1 | 2 | 3 | 4, a quarter each.
    earlier = by_feature(serialize(to_protos(statistics([], [1, 2, 3, 4]))))["item/price"].num_stats
    now = statistics([], [0, 1, 2.5, 2.5])["item/price"]  # 2 of 4 below 2, 2 of 4 below 3
    assert jensen_shannon(now, earlier) == pytest.approx(divergence_of([0.5, 0.5, 0, 0], [0.25] * 4), abs=1e-9)
    assert jensen_shannon(statistics([], [4, 3, 2, 1])["item/price"], earlier) == 0
    none = statistics(["a"])
    assert jensen_shannon(none["item/price"], earlier) == 1
    of_none = by_feature(serialize(to_protos(none)))["item/price"].num_stats
    assert (jensen_shannon(now, of_none), jensen_shannon(none["item/price"], of_none)) == (1, 0)
    # Everything in the first bucket: 1/2 log2(1 / 0.625) + 1/2 (1/4 log2(0.25 / 0.625) + 3/4 log2 2).
    expected = 0.5 * math.log2(1.6) + 0.125 * math.log2(0.4) + 0.375
    assert jensen_shannon(statistics([], [-7, -7])["item/price"], earlier) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([0.0] * 19 + [9.99], [9.99] * 20, divergence(0.95, 0)),
        ([0.0] * 19 + [9.99], [0.0] * 9 + [4.0], divergence(0.95, 0.9)),
        ([1.0] * 38 + [3.0] * 2, [3.0] * 20, divergence(0.925, 0)),  # less than 4 of 40 may be behind the ninth tenth
        ([1.0] * 38 + [3.0] * 2, [1.0] * 37 + [2.0] * 3, 0),  # 92.5% now, which they may have been then
        ([1.0] * 38 + [3.0] * 2, [1.0], 0),  # as all may have been
        ([0.0] * 38 + [3.0] * 2, [0.0] * 37 + [2.0] * 3, divergence(0.95, 0.925)),  # how many were 0 is told
        ([1.0] * 500 + [2.0] * 500, [1.0] * 405 + [2.0] * 595, divergence(0.5, 0.405)),  # rows that all are 1 were so
        ([2.0] * 20, [2.0] * 5 + [1.0, 3.0, 4.0, 5.0, 6.0], divergence(1, 0.5)),
        ([2.0] * 20, [2.0] * 3, 0),
        ([1_000_007.0] * 20, [1_000_007.0] * 3, 0),  # counted as 1,000,008
        ([*range(10), *[5.0] * 80], [*range(10), *[5.0] * 80], 0),
        # Of 90, 85 are from 5 to 9. All but 8 of them or fewer must be 5; now one is.
        (
            [*range(10), *[5.0] * 80],
            [*range(10), *[8.5] * 80],
            divergence_of([5 / 90, 77 / 90, 8 / 90], [5 / 90, 1 / 90, 84 / 90]),
        ),
    ],
)
def test_drift_of_a_number_that_fills_several_quantiles(before: list[float], now: list[float], expected: float) -> None:
    earlier = by_feature(serialize(to_protos(statistics([], before))))["item/price"].num_stats
    assert jensen_shannon(statistics([], now)["item/price"], earlier) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("max_l_infinity", "max_jensen_shannon", "failing"),
    [
        (0.499999, 0.311278, {"item/tags", "item/price"}),
        (0.5, 0.311278, {"item/price"}),
        (0.499999, 0.311278124, {"item/tags"}),
        (None, 0.311278, {"item/price"}),
        (0.499999, None, {"item/tags"}),
    ],
)
def test_a_drift_fails_beyond_its_own_threshold_alone(
    max_l_infinity: float | None, max_jensen_shannon: float | None, failing: set[str]
) -> None:
    before, now = statistics(["a", "b"], [1, 2]), statistics(["a", "a"], [1, 1])
    schema = 'feature { name: "item/tags" } feature { name: "item/price" }'
    found = judge(now, schema, before, max_l_infinity=max_l_infinity, max_jensen_shannon=max_jensen_shannon)
    # Of prices: 1/2 log2(1 / 0.75) + 1/2 (1/2 log2(0.5 / 0.75) + 1/2 log2(0.5 / 0.25)).
    assert {finding.feature: finding.value for finding in found} == {"item/tags": 0.5, "item/price": 0.311278124}
    assert {finding.feature for finding in found if finding.fails} == failing
    proto = to_anomalies(found, text_format.Parse(schema, schema_pb2.Schema()))
    assert set(proto.anomaly_info) == failing
    told = {skew.path.step[0]: skew.drift_measurements[0].HasField("threshold") for skew in proto.drift_skew_info}
    assert told == {"item/tags": max_l_infinity is not None, "item/price": max_jensen_shannon is not None}


def test_texts_do_not_drift_from_numbers_nor_numbers_from_texts() -> None:
    now = statistics(["a"], [1.0])
    tags, price = now["item/tags"], now["item/price"]
    before = {found.column.name: found for found in (
        replace(price, column=replace(price.column, name="item/tags")),
        replace(tags, column=replace(tags.column, name="item/price")),
    )}  # fmt: skip
    assert judge(now, 'feature { name: "item/tags" } feature { name: "item/price" }', before) == []


def test_what_always_moves_on_does_not_drift() -> None:
    before, now = statistics(["a"], [1.0]), statistics(["b"], [2.0])
    time = replace(now["item/price"], column=replace(now["item/price"].column, drifts=False))
    schema = 'feature { name: "item/tags" } feature { name: "item/price" }'
    assert [finding.feature for finding in judge(now, schema, before)] == ["item/tags", "item/price"]
    assert [finding.feature for finding in judge(now | {"item/price": time}, schema, before)] == ["item/tags"]
    timed = small_spec(log={"timestamp": "at"}, item=ITEM)
    still = [column.name for column in described_columns(timed) if not column.drifts]
    assert still == ["pair/split", "pair/first", "pair/last"]


def test_the_proto_tells_errors_before_warnings_and_every_drift() -> None:
    schema = text_format.Parse(
        'feature { name: "item/tags" value_count { max: 1 } string_domain { value: "a" } }'
        'feature { name: "item/price" float_domain { max: 1 } }',
        schema_pb2.Schema(),
    )
    before, now = statistics(["a"] * 50, [1.0]), statistics(["a"] * 48 + ["ab", "b"], [1.0] * 199 + [2.0])
    proto = to_anomalies(judge(now, schema, before), schema)
    read = text_format.Parse(to_text(proto), anomalies_pb2.Anomalies())
    assert read == proto
    tags, price = read.anomaly_info["item/tags"], read.anomaly_info["item/price"]
    info = anomalies_pb2.AnomalyInfo
    assert [list(found.path.step) for found in (tags, price)] == [["item/tags"], ["item/price"]]
    assert (tags.severity, price.severity) == (info.ERROR, info.WARNING)
    assert tags.short_description == "Multiple errors"
    assert price.short_description == "the share of numbers above the range"
    assert [reason.type for reason in tags.reason] == [
        info.FEATURE_TYPE_HIGH_NUMBER_VALUES,
        info.ENUM_TYPE_UNEXPECTED_STRING_VALUES,
    ]
    assert [(reason.type, reason.short_description, reason.description) for reason in price.reason] == [
        (info.FLOAT_TYPE_BIG_FLOAT, price.short_description, price.description)
    ]
    drifts = {skew.path.step[0]: skew.drift_measurements[0] for skew in read.drift_skew_info}
    assert drifts["item/tags"].value == pytest.approx(2 / 51, abs=1e-9)
    assert drifts["item/tags"].threshold == 0.1
    assert drifts["item/tags"].type == anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY
    assert drifts["item/price"].value == pytest.approx(divergence(1, 0.995), abs=1e-9)
    assert read.baseline == schema
