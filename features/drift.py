"""Drift: how far the values of a feature lie from those of an earlier dataset."""

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from features.statistics import FeatureStatistics
from features.statistics_counts import round_numbers
from features.statistics_protos import BUCKETS, rows_between


def l_infinity(found: FeatureStatistics, earlier: statistics_pb2.StringStatistics) -> float:
    """The greatest difference between a value's two shares, over the most common values of either.

    What `new_values` finds counts as one value more, so that a feature without a common value can't change entirely.
    """
    before = {bucket.label: bucket.sample_count for bucket in earlier.rank_histogram.buckets}
    now = found.top_texts
    totals = max(found.values, 1), max(earlier.common_stats.tot_num_values, 1)
    differences = (abs(now.get(text, 0) / totals[0] - before.get(text, 0) / totals[1]) for text in now | before)
    new = sum(new_values(found, earlier).values()) / totals[0]
    return round(max([new, *differences]), 9)


def new_values(found: FeatureStatistics, earlier: statistics_pb2.StringStatistics) -> dict[str, int]:
    """The most common values that an earlier dataset lacks, with their counts.

    None of ids and words, of which new ones are usual, and none where the earlier dataset has more values than its
    statistics tell.
    """
    before = {bucket.label for bucket in earlier.rank_histogram.buckets}
    if not found.column.has_domain or not before or earlier.unique > len(before):
        return {}
    return {text: count for text, count in found.top_texts.items() if text not in before}


def jensen_shannon(found: FeatureStatistics, earlier: statistics_pb2.NumericStatistics) -> float:
    """The Jensen-Shannon divergence of two distributions over the earlier one's quantile buckets, in bits: 0 to 1.

    Where one number fills the only bucket: over that number and all others.
    """
    quantiles = [h for h in earlier.histograms if h.type == statistics_pb2.Histogram.QUANTILES]
    buckets = quantiles[0].buckets if quantiles else []
    if not buckets or not len(found.numbers):
        return 1.0 if buckets or len(found.numbers) else 0.0
    if len(buckets) == 1:
        now, before = _on_the_smallest(found, earlier, bucket=buckets[0])
    else:
        now = rows_between(
            found.numbers, found.number_counts, bounds=np.array([bucket.low_value for bucket in buckets[1:]])
        )
        before = np.array([bucket.sample_count for bucket in buckets])
    p, q = now / now.sum(), before / before.sum()
    middle = (p + q) / 2
    return round(max(0.0, (_divergence(p, middle) + _divergence(q, middle)) / 2), 9)


def _on_the_smallest(
    found: FeatureStatistics, earlier: statistics_pb2.NumericStatistics, *, bucket: statistics_pb2.Histogram.Bucket
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The shares of the earlier smallest number and of all others, now and before.

    Every quantile lay on it, so at least nine tenths of the earlier numbers were it. How many exactly is known of 0 and
    of a number alone; else what is nearest to its share now is taken, which measures no drift too many.
    """
    smallest = bucket.low_value
    is_smallest = found.numbers == round_numbers(np.array([smallest]))
    now = float(found.number_counts[is_smallest].sum() / found.number_counts.sum())
    if smallest == 0:
        before = earlier.num_zeros / bucket.sample_count
    else:
        before = 1.0 if smallest == bucket.high_value else max(now, 1 - 1 / BUCKETS)
    return np.array([now, 1 - now]), np.array([before, 1 - before])


def _divergence(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / q[some])))
