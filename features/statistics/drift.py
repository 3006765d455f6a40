"""Drift: how far the values of a feature lie from those of an earlier dataset."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from features.statistics.counts import round_numbers
from features.statistics.protos import BUCKETS, rows_between
from features.statistics.statistics import FeatureStatistics


def l_infinity(found: FeatureStatistics, earlier: statistics_pb2.StringStatistics) -> float:
    """The greatest difference between a value's two shares, over the most common values of either.

    All values together that the earlier dataset doesn't tell are one more, whose share may grow by as much, so that a
    feature without a common value can't change entirely.
    """
    before = {bucket.label: bucket.sample_count for bucket in earlier.rank_histogram.buckets}
    totals = max(found.values, 1), max(earlier.common_stats.tot_num_values, 1)
    differences = (
        abs(found.texts.get(text, 0) / totals[0] - before.get(text, 0) / totals[1])
        for text in found.top_texts.keys() | before.keys()
    )
    return round(max([growth_of_others(found, earlier), *differences]), 9)


def growth_of_others(found: FeatureStatistics, earlier: statistics_pb2.StringStatistics) -> float:
    """By how much the share of the values that an earlier dataset's statistics don't tell has grown, rare ones too.

    0 of ids, of which new ones are usual, and where there are no values at all.

    Args:
        found: With the counts of `told_texts(earlier)`.
        earlier: Of the same feature.
    """
    told, values = earlier.rank_histogram.buckets, earlier.common_stats.tot_num_values
    if found.column.is_id or not told or not found.values:
        return 0.0
    before = sum(bucket.sample_count for bucket in told) / values
    return max(0.0, before - sum(found.texts.get(bucket.label, 0) for bucket in told) / found.values)


def told_texts(earlier: statistics_pb2.StringStatistics) -> frozenset[str]:
    """The values of an earlier dataset that its statistics tell: the most common ones."""
    return frozenset(bucket.label for bucket in earlier.rank_histogram.buckets)


def jensen_shannon(found: FeatureStatistics, earlier: statistics_pb2.NumericStatistics) -> float:
    """The Jensen-Shannon divergence of two distributions over the earlier one's quantile buckets, in bits: 0 to 1.

    A number that fills a bucket nearly alone is one class, and the others of its bucket are another.
    """
    quantiles = [h for h in earlier.histograms if h.type == statistics_pb2.Histogram.QUANTILES]
    buckets = quantiles[0].buckets if quantiles else []
    if not buckets or not len(found.numbers):
        return 1.0 if buckets or len(found.numbers) else 0.0
    now, before = _rows_in_classes(found, earlier, buckets=buckets)
    p, q = now / now.sum(), before / before.sum()
    middle = (p + q) / 2
    return round(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2), 9)


def _rows_in_classes(
    found: FeatureStatistics,
    earlier: statistics_pb2.NumericStatistics,
    *,
    buckets: Sequence[statistics_pb2.Histogram.Bucket],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How many rows each class has, now and before: first the buckets, then the numbers taken out of them.

    A bucket of more rows than a quantile's begins with a number that fills the most of it: less than a quantile's rows
    are behind that. How many it has exactly is known of 0, and of a number alone; else it is taken for what is nearest
    to its share of the bucket now, which measures no drift too many.
    """
    low, high = (round_numbers(np.array([getattr(b, name) for b in buckets])) for name in ("low_value", "high_value"))
    before = np.array([float(bucket.sample_count) for bucket in buckets])
    now = rows_between(found.numbers, found.number_counts, bounds=low[1:])
    on_low_now = np.array([float(found.number_counts[found.numbers == number].sum()) for number in low])

    quantile = math.ceil(before.sum() / BUCKETS)
    like_now = np.clip(on_low_now * before / np.maximum(now, 1), before - quantile + 1, before)
    on_low_before = np.select([low == 0, low == high], [earlier.num_zeros, before], default=like_now)
    taken_out = (before > quantile) | (low == high)
    return _take_out(now, on_low_now, where=taken_out), _take_out(before, on_low_before, where=taken_out)


def _take_out(
    rows: npt.NDArray[np.float64], on_low: npt.NDArray[np.float64], *, where: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    return np.concatenate([rows - np.where(where, on_low, 0), on_low[where]])


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / q[some])))
