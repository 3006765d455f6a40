"""The schema of the data, a tensorflow-metadata Schema: inferred from a dataset, or given and then held to."""

import hashlib
import math
from dataclasses import dataclass, field

import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from features.statistics.statistics import TABLES, Column, FeatureStatistics
from stage import storage
from stage.errors import StorageError, UsageError
from stage.manifest import Manifest, digest

STATISTICS = "statistics/statistics.pb"
SCHEMA = "statistics/schema.pbtxt"
ANOMALIES = "statistics/anomalies.pbtxt"
MAX_DOMAIN = 100
"""A feature of so many distinct values or fewer is taken to have no others."""

TYPES = {"text": schema_pb2.BYTES, "int": schema_pb2.INT, "float": schema_pb2.FLOAT}


@dataclass(frozen=True)
class Expected:
    """What a dataset is held to."""

    schema: str | None = None
    """A Schema in text form; None: it is inferred."""
    widens: bool = True
    """Whether a dataset that passes leaves the schema with what it has beyond it; false for one that was given."""
    baseline: bytes | None = None
    """The statistics.pb of the dataset to compare with."""
    digests: dict[str, str] = field(default_factory=dict)
    """For the manifest: schema, baseline -> digest."""

    @property
    def parsed_schema(self) -> schema_pb2.Schema:
        """The schema; an empty one if there is none."""
        return text_format.Parse(self.schema or "", schema_pb2.Schema())


def load_expected(*, schema: str | None, baseline: str | None) -> Expected:
    """Reads what the job options name.

    Args:
        schema: A file with a Schema in text form; without it the baseline's own is taken.
        baseline: The directory of an earlier dataset.

    Raises:
        UsageError: If the schema is none, or isn't there.
        StageError: If the schema can't be read, or the baseline is no finished dataset.
    """
    text, serialized, digests = None, None, {}
    if baseline is not None:
        manifest = Manifest.read(baseline, "dataset")
        serialized = storage.read_bytes(storage.join(baseline, STATISTICS))
        widened = storage.read_bytes(storage.join(baseline, SCHEMA))
        text = widened.decode()
        # The schema is no part of the content: it depends on what the baseline itself was held to.
        digests["baseline"] = digest([manifest.content_digest, hashlib.sha256(widened).hexdigest()])
    if schema is not None:
        if not storage.exists(schema):
            raise UsageError(f"--schema: there is no file {schema}")
        try:
            content = storage.read_bytes(schema)
        except StorageError as error:
            raise StorageError(f"--schema {error}") from None
        digests["schema"] = hashlib.sha256(content).hexdigest()
        try:
            text = content.decode()
            text_format.Parse(text, schema_pb2.Schema())
        except (UnicodeDecodeError, text_format.ParseError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"--schema {schema}: expected a tensorflow-metadata Schema in text form: {reason}"
            ) from None
    return Expected(text, widens=schema is None, baseline=serialized, digests=digests)


def complete_schema(schema: schema_pb2.Schema, found: dict[str, FeatureStatistics]) -> schema_pb2.Schema:
    """A schema with an entry, inferred, for each feature that it lacks.

    If it has none, each table becomes an environment, by which TFDV, which takes one table at a time, tells whose
    features it can expect; it knows no environment that isn't a default one.
    """
    completed = schema_pb2.Schema()
    completed.CopyFrom(schema)
    if not schema.feature:
        completed.default_environment.extend(TABLES)
    known = {feature.name for feature in schema.feature}
    completed.feature.extend(_infer(feature) for name, feature in found.items() if name not in known)
    return completed


def widen_schema(schema: schema_pb2.Schema, found: dict[str, FeatureStatistics]) -> schema_pb2.Schema:
    """A schema with all that a dataset has beyond it, and nothing of features that are gone, once that was accepted.

    So what is new slowly, such as years or tags, never adds up to more than a threshold allows. A feature of more than
    MAX_DOMAIN values has no domain any more.

    Args:
        schema: With an entry for each feature.
        found: Feature -> statistics.
    """
    widened = schema_pb2.Schema()
    widened.CopyFrom(schema)
    del widened.feature[:]
    widened.feature.extend(feature for feature in schema.feature if feature.name in found)
    texts = domains(schema)
    for feature in widened.feature:
        _widen(feature, found[feature.name], domain=texts.get(feature.name))
    return widened


def domains(schema: schema_pb2.Schema) -> dict[str, frozenset[str]]:
    """Feature -> the texts it may have; features without a domain are left out."""
    shared = {domain.name: domain for domain in schema.string_domain}
    found = {}
    for feature in schema.feature:
        if feature.HasField("string_domain"):
            found[feature.name] = frozenset(feature.string_domain.value)
        elif feature.domain in shared:
            found[feature.name] = frozenset(shared[feature.domain].value)
    return found


def _infer(found: FeatureStatistics) -> schema_pb2.Feature:
    """A feature's entry, to which the very table that it is inferred from keeps."""
    column: Column = found.column
    feature = schema_pb2.Feature(name=column.name, type=TYPES[column.kind])
    feature.in_environment.append(column.table)
    feature.not_in_environment.extend(table for table in TABLES if table != column.table)
    present = found.rows - found.missing
    feature.presence.min_fraction = _share_present(found) if found.rows else 0.0
    if present:
        feature.presence.min_count = 1
    feature.value_count.min = 1
    if not column.multivalued:
        feature.value_count.max = 1
    if column.has_domain and 0 < found.distinct <= MAX_DOMAIN:
        feature.string_domain.name = column.name
        feature.string_domain.value.extend(sorted(found.texts))
    if column.has_range and present:
        feature.float_domain.name = column.name
        feature.float_domain.min, feature.float_domain.max = _in_float32(least=found.minimum, greatest=found.maximum)
    return feature


def _in_float32(*, least: float, greatest: float) -> tuple[float, float]:
    """A range as a FloatDomain holds it, no narrower, so that its ends never count as out of it."""
    low, high = np.float32(least), np.float32(greatest)
    if float(low) > least:
        low = np.nextafter(low, np.float32(-np.inf))
    if float(high) < greatest:
        high = np.nextafter(high, np.float32(np.inf))
    return float(low), float(high)


def _widen(feature: schema_pb2.Feature, found: FeatureStatistics, *, domain: frozenset[str] | None) -> None:
    if found.rows and _share_present(found) < feature.presence.min_fraction:
        feature.presence.min_fraction = _share_present(found)
    if domain is not None and found.texts.keys() - domain:
        feature.ClearField("domain_info")
        values = sorted(domain | found.texts.keys())
        if len(values) <= MAX_DOMAIN:
            feature.string_domain.name = feature.name
            feature.string_domain.value.extend(values)
    if found.numbers.size:
        if feature.HasField("float_domain"):
            least, greatest = _in_float32(least=found.minimum, greatest=found.maximum)
            _widen_range(feature.float_domain, least=least, greatest=greatest)
        elif feature.HasField("int_domain"):
            _widen_range(feature.int_domain, least=math.floor(found.minimum), greatest=math.ceil(found.maximum))


def _widen_range(domain: schema_pb2.FloatDomain | schema_pb2.IntDomain, *, least: float, greatest: float) -> None:
    if domain.HasField("min"):
        domain.min = min(domain.min, least)
    if domain.HasField("max"):
        domain.max = max(domain.max, greatest)


def _share_present(found: FeatureStatistics) -> float:
    """Rounded down, so that the table keeps to it."""
    return math.floor((found.rows - found.missing) / found.rows * 10_000) / 10_000
