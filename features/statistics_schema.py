"""The schema of the data, a tensorflow-metadata Schema: inferred from a dataset, or given and then held to."""

import hashlib
import math
from dataclasses import dataclass, field

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from features.statistics import Column, FeatureStatistics
from stage import storage
from stage.errors import StageError, UsageError
from stage.manifest import Manifest

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
        UsageError: If the schema is none.
        StageError: If the baseline is no finished dataset, or has no statistics.
    """
    text, serialized, digests = None, None, {}
    if baseline is not None:
        manifest = Manifest.read(baseline, "dataset")
        if not manifest.names("statistics", ".pb"):
            raise StageError(f"--baseline {baseline}: has no {STATISTICS}; build it again")
        serialized = storage.read_bytes(storage.join(baseline, STATISTICS))
        text = storage.read_bytes(storage.join(baseline, SCHEMA)).decode()
        digests["baseline"] = manifest.content_digest
    if schema is not None:
        content = storage.read_bytes(schema)
        digests["schema"] = hashlib.sha256(content).hexdigest()
        try:
            text = content.decode()
            text_format.Parse(text, schema_pb2.Schema())
        except (UnicodeDecodeError, text_format.ParseError) as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"--schema {schema}: expected a tensorflow-metadata Schema in text form: {reason}"
            ) from None
    return Expected(text, serialized, digests)


def complete_schema(schema: schema_pb2.Schema, found: dict[str, FeatureStatistics]) -> schema_pb2.Schema:
    """A schema with an entry, inferred, for each feature that it lacks."""
    completed = schema_pb2.Schema()
    completed.CopyFrom(schema)
    known = {feature.name for feature in schema.feature}
    completed.feature.extend(_infer(feature) for name, feature in found.items() if name not in known)
    return completed


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
    present = found.rows - found.missing
    feature.presence.min_fraction = math.floor(present / found.rows * 10_000) / 10_000 if found.rows else 0.0
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
        feature.float_domain.min, feature.float_domain.max = found.minimum, found.maximum
    return feature
