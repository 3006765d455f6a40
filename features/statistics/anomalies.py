"""Anomalies: where a dataset breaks its schema, or has drifted from an earlier one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from features.spec.statistics import Statistics
from features.statistics.counts import round_numbers
from features.statistics.drift import growth_of_others, jensen_shannon, l_infinity, told_texts
from features.statistics.protos import by_feature
from features.statistics.schema import TYPES, domains
from features.statistics.statistics import FeatureStatistics

_Info = anomalies_pb2.AnomalyInfo
_Drift = anomalies_pb2.DriftSkewInfo.Measurement
_TOLD = 10


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something measured of a feature that the schema or the baseline has another opinion on."""

    feature: str
    measure: str
    value: float | str
    limit: float | str | None
    """The threshold; None: this is only told."""
    kind: int
    """As `AnomalyInfo.Type` has it."""
    drift: int | None = None
    """As `DriftSkewInfo.Measurement.Type` has it."""
    detail: str = ""

    @property
    def fails(self) -> bool:
        """Beyond the limit, or another text than it."""
        if isinstance(self.value, float) and isinstance(self.limit, float):
            return self.value > self.limit
        return self.limit is not None

    def __str__(self) -> str:
        value, limit = (f"{v:.4g}" if isinstance(v, float) else v for v in (self.value, self.limit))
        against = "no threshold" if limit is None else f"threshold {limit}"
        return f"{self.feature}: {self.measure} is {value} ({against}){self.detail}"


def known_texts(schema: schema_pb2.Schema, *, baseline: bytes | None) -> dict[str, frozenset[str]]:
    """Feature -> texts whose counts `find_anomalies` needs, however rare: its domain's, and the baseline's."""
    known = domains(schema)
    for name, earlier in (by_feature(baseline) if baseline is not None else {}).items():
        known[name] = known.get(name, frozenset()) | told_texts(earlier.string_stats)
    return known


def find_anomalies(
    found: dict[str, FeatureStatistics],
    schema: schema_pb2.Schema,
    *,
    baseline: bytes | None,
    thresholds: Statistics,
) -> list[Finding]:
    """Compares statistics with a schema, and with those of an earlier dataset.

    Args:
        found: Feature -> statistics, with the counts of `known_texts`.
        schema: With an entry for each feature.
        baseline: The earlier dataset's statistics.pb.
        thresholds: The spec's section.

    Returns:
        What differs, and each drift measured: those that fail first, and of them counts of pairs last, which also
        follow from a longer or shorter window.
    """
    earlier = by_feature(baseline) if baseline is not None else {}
    texts = domains(schema)
    findings: list[Finding] = []
    for entry in schema.feature:
        finding = partial(Finding, feature=entry.name)
        feature = found.get(entry.name)
        if feature is None:
            gone = "absent from the spec"
            findings.append(finding(measure="the feature", value=gone, limit=None, kind=_Info.SCHEMA_MISSING_COLUMN))
            continue
        if entry.type not in (schema_pb2.TYPE_UNKNOWN, TYPES[feature.column.kind]):
            names = [schema_pb2.FeatureType.Name(t) for t in (TYPES[feature.column.kind], entry.type)]
            findings.append(
                finding(measure="the type", value=names[0], limit=names[1], kind=_Info.UNEXPECTED_DATA_TYPE)
            )
            continue
        findings += _check_entry(feature, entry, domain=texts.get(entry.name), thresholds=thresholds)
        if earlier and entry.name not in earlier:
            findings.append(finding(measure="the feature", value="new", limit=None, kind=_Info.SCHEMA_NEW_COLUMN))
        elif earlier and feature.column.drifts:
            findings += _check_drift(feature, earlier[entry.name], thresholds=thresholds)
    return sorted(findings, key=lambda finding: (not finding.fails, finding.feature.endswith("/train_count")))


def _check_entry(
    found: FeatureStatistics, entry: schema_pb2.Feature, *, domain: frozenset[str] | None, thresholds: Statistics
) -> Iterator[Finding]:
    finding = partial(Finding, feature=entry.name)
    # As it is inferred, so that a table keeps to its own schema: of 10 rows with one missing, 1 - 0.9 is less than 0.1.
    if found.rows and (found.rows - found.missing) / found.rows < entry.presence.min_fraction:
        # Rounded, or a share of 0.3 is beyond 1 - 0.8 + 0.1.
        limit = round(min(1 - entry.presence.min_fraction + thresholds.max_missing_increase, 1.0), 9)
        kind = _Info.FEATURE_TYPE_LOW_FRACTION_PRESENT
        missing = found.missing / found.rows
        yield finding(measure="the share of missing values", value=missing, limit=limit, kind=kind)
    for measure, bound, kind, breaks in _valency_rules(entry):
        share = sum(rows for size, rows in found.valency.items() if size and breaks(size)) / max(found.rows, 1)
        if share > 0:
            said = f"the share of rows with {measure} than {bound} values"
            yield finding(measure=said, value=share, limit=0.0, kind=kind)
    if domain is not None and found.values and found.column.kind == "text":
        share = (found.values - sum(found.texts.get(text, 0) for text in domain)) / found.values
        if share > 0:
            new = [repr(text) for text in found.texts if text not in domain]
            limit, kind = thresholds.max_new_values, _Info.ENUM_TYPE_UNEXPECTED_STRING_VALUES
            yield finding(measure="the share of new values", value=share, limit=limit, kind=kind, detail=_some(new))
    for where, share in _shares_out_of_range(found, entry).items():
        if share > 0:
            limit, kind = thresholds.max_out_of_range, _OUT[where, entry.HasField("int_domain")]
            yield finding(measure=f"the share of numbers {where}", value=share, limit=limit, kind=kind)


def _valency_rules(entry: schema_pb2.Feature) -> Iterator[tuple[str, int, int, Callable[[int], bool]]]:
    least, most = entry.value_count.min, entry.value_count.max
    yield "fewer", least, _Info.FEATURE_TYPE_LOW_NUMBER_VALUES, lambda size: size < least
    if entry.value_count.HasField("max"):
        yield "more", most, _Info.FEATURE_TYPE_HIGH_NUMBER_VALUES, lambda size: size > most


_OUT = {
    ("below the range", False): _Info.FLOAT_TYPE_SMALL_FLOAT,
    ("below the range", True): _Info.INT_TYPE_SMALL_INT,
    ("above the range", False): _Info.FLOAT_TYPE_BIG_FLOAT,
    ("above the range", True): _Info.INT_TYPE_BIG_INT,
}


def _shares_out_of_range(found: FeatureStatistics, entry: schema_pb2.Feature) -> dict[str, float]:
    kind = next((kind for kind in ("float_domain", "int_domain") if entry.HasField(kind)), None)
    if kind is None or len(found.numbers) == 0:
        return {}
    domain = getattr(entry, kind)
    least = domain.min if domain.HasField("min") else -np.inf
    most = domain.max if domain.HasField("max") else np.inf
    # Numbers are counted rounded, so the bounds are too: one that is in range never counts as out of it.
    low, high = round_numbers(np.array([least, most], np.float64))
    outside = {"below the range": found.numbers < low, "above the range": found.numbers > high}
    total = found.number_counts.sum()
    return {where: float(found.number_counts[rows].sum() / total) for where, rows in outside.items()}


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return f": {', '.join(texts[:3])}{more}" if texts else ""


def _check_drift(
    found: FeatureStatistics, earlier: statistics_pb2.FeatureNameStatistics, *, thresholds: Statistics
) -> Iterator[Finding]:
    is_text = found.column.kind == "text"
    if is_text != earlier.HasField("string_stats"):
        return
    detail = ""
    if is_text:
        value, limit = l_infinity(found, earlier.string_stats), thresholds.max_l_infinity
        if 0 < value == round(growth_of_others(found, earlier.string_stats), 9):
            told = told_texts(earlier.string_stats)
            others = "new values" if earlier.string_stats.unique <= len(told) else "values rare before"
            detail = f", {others}{_some([repr(text) for text in found.top_texts if text not in told])}"
        measure, kind, drift = "drift (L-infinity)", _Info.COMPARATOR_L_INFTY_HIGH, _Drift.L_INFTY
    else:
        value, limit = jensen_shannon(found, earlier.num_stats), thresholds.max_jensen_shannon
        measure, kind = "drift (Jensen-Shannon)", _Info.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH
        drift = _Drift.JENSEN_SHANNON_DIVERGENCE
    yield Finding(
        feature=found.column.name,
        measure=measure,
        value=value,
        limit=limit,
        kind=kind,
        drift=drift,
        detail=detail,
    )


def in_words(findings: list[Finding]) -> str:
    """The first ten, and how many more there are."""
    more = [f"and {len(findings) - _TOLD} more"] if len(findings) > _TOLD else []
    return "; ".join([*map(str, findings[:_TOLD]), *more])


def to_anomalies(findings: list[Finding], schema: schema_pb2.Schema) -> anomalies_pb2.Anomalies:
    """The findings as TFDV shows them: an error where the build fails, else a warning; and every drift measured."""
    proto = anomalies_pb2.Anomalies(baseline=schema)
    for finding in findings:
        if finding.drift is not None:
            info = proto.drift_skew_info.add()
            info.path.step.append(finding.feature)
            measured = info.drift_measurements.add(type=finding.drift, value=finding.value)
            if isinstance(finding.limit, float):
                measured.threshold = finding.limit
            if not finding.fails:
                continue
        anomaly = proto.anomaly_info[finding.feature]
        if not anomaly.reason:  # those that fail come first
            anomaly.path.step.append(finding.feature)
            anomaly.severity = _Info.ERROR if finding.fails else _Info.WARNING
            anomaly.short_description, anomaly.description = finding.measure, str(finding)
        else:
            anomaly.short_description = "Multiple errors"
        anomaly.reason.add(type=finding.kind, short_description=finding.measure, description=str(finding))
    return proto


def to_text(proto: schema_pb2.Schema | anomalies_pb2.Anomalies) -> bytes:
    """The bytes of schema.pbtxt or anomalies.pbtxt."""
    return text_format.MessageToString(proto, as_utf8=True).encode()
