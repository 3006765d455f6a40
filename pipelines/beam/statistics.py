"""statistics/: what the tables hold, the schema they keep to, and where they break it or have drifted."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isqrt
from typing import TypeAlias

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsList

from features.spec.spec import Spec
from features.statistics.anomalies import find_anomalies, in_words, known_texts, to_anomalies, to_text
from features.statistics.counts import (
    FEATURE_COUNTS,
    count_distinct,
    count_entities,
    count_pairs,
    keep_most_common,
    merge_counts,
)
from features.statistics.protos import serialize, to_protos
from features.statistics.schema import ANOMALIES, SCHEMA, STATISTICS, Expected, complete_schema, widen_schema
from features.statistics.statistics import describe, described_columns
from pipelines.aggregation.elements import Grouped
from pipelines.aggregation.output import Target, Written, write_content
from pipelines.aggregation.packing import Keyed, Packed, concat, key_by_shard, pack, unpack
from pipelines.beam.gather import gather
from stage.errors import StageError

_OTHERS = "others"

KnownTexts: TypeAlias = Mapping[str, frozenset[str]]
"""Feature -> texts of which the counts are kept, however rare."""


def write_statistics(
    *,
    items: beam.PCollection,
    queries: beam.PCollection,
    pairs: beam.PCollection,
    checked: beam.PCollection,
    spec: Spec,
    target: Target,
    expected: Expected,
) -> beam.PCollection:
    """Counts the tables, and writes and judges their statistics.

    Args:
        items: (shard, entities) each.
        queries: (shard, entities) each.
        pairs: (shard, pairs) each.
        checked: What to wait for: rejects say more than anomalies.
        spec: The dataset's spec.
        target: Where statistics/ is written.
        expected: Schema and baseline.

    Returns:
        What was written, if no anomaly is beyond its threshold.
    """
    shards, parts = target.shards, isqrt(target.shards)
    known = known_texts(expected.parsed_schema, baseline=expected.baseline)
    counted = [
        table
        | f"Count_{name}" >> beam.FlatMap(_count, count, shards=shards, parts=parts).with_outputs(_OTHERS, main="texts")
        for name, table, count in (
            ("items", items, partial(count_entities, side_name="item", side=spec.item)),
            ("queries", queries, partial(count_entities, side_name="query", side=spec.query)),
            ("pairs", pairs, partial(count_pairs, context=spec.sides["pair"])),
        )
    ]
    texts = (
        [counts["texts"] for counts in counted]
        | "TextCounts" >> beam.Flatten()
        | "GroupTextCounts" >> beam.GroupByKey()
        | "KeepMostCommon" >> beam.Map(_keep_most_common, known, parts=parts)
    )
    # One step takes all, of which each shard of texts leaves up to MOST_COMMON a feature, and each shard of a table the
    # distinct numbers, which rounding keeps few: so first what some shards leave is put together, then these parts.
    return (
        [texts, *(counts[_OTHERS] for counts in counted)]
        | "StatisticsCounts" >> beam.Flatten()
        | "GroupStatistics" >> beam.GroupByKey()
        | "MergeStatistics" >> beam.Map(_merge, known)
        | "GatherStatistics" >> gather(FEATURE_COUNTS)
        | "WriteStatistics" >> beam.FlatMap(_write, spec, target=target, expected=expected, checked=AsList(checked))
    )


def _count(element: Keyed, count: Callable[[pa.Table], pa.Table], *, shards: int, parts: int) -> Iterable[Keyed]:
    """(shard, rows) -> (shard of texts, their counts), and (part, all other counts)."""
    counts = count(unpack(element[1]))
    is_text = pc.equal(counts.column("measure"), "text")
    yield from key_by_shard(counts.filter(is_text), "text", shards=shards)
    others = pack(counts.filter(pc.invert(is_text)))
    yield beam.pvalue.TaggedOutput(_OTHERS, (element[0] % parts, others))


def _keep_most_common(element: Grouped, known: KnownTexts, *, parts: int) -> Keyed:
    shard, counts = element
    merged = merge_counts(concat(counts, FEATURE_COUNTS))
    return shard % parts, pack(pa.concat_tables([keep_most_common(merged, known), count_distinct(merged)]))


def _merge(element: Grouped, known: KnownTexts) -> Keyed:
    return element[0], pack(keep_most_common(merge_counts(concat(element[1], FEATURE_COUNTS)), known))


def _write(counts: Packed, spec: Spec, *, target: Target, expected: Expected, checked: list[bool]) -> Iterable[Written]:
    """Writes the three files.

    Raises:
        StageError: If an anomaly is beyond its threshold, once the files are there to be looked at.
    """
    del checked
    given = expected.parsed_schema
    known = known_texts(given, baseline=expected.baseline)
    found = describe(unpack(counts), described_columns(spec), known=known)
    schema = complete_schema(given, found)
    findings = find_anomalies(found, schema, baseline=expected.baseline, thresholds=spec.statistics)
    write = partial(write_content, target=target)
    yield write(serialize(to_protos(found)), STATISTICS, content="statistics")
    # Neither is part of what makes two datasets identical: both depend on what this one was held to.
    failing = [finding for finding in findings if finding.fails]
    left = widen_schema(schema, found) if expected.widens and not failing else schema
    yield write(to_text(left), SCHEMA, content="")
    yield write(to_text(to_anomalies(findings, schema)), ANOMALIES, content="")
    if failing:
        raise StageError(
            f"{in_words(failing)}; see {target.directory}/{ANOMALIES}, mend the input, raise the threshold in "
            "the spec's section statistics, or give another --schema or --baseline"
        )
