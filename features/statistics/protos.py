"""Statistics as tensorflow-metadata's DatasetFeatureStatisticsList, the format of TFDV and Facets."""

import math

import numpy as np
import numpy.typing as npt
from tensorflow_metadata.proto.v0 import statistics_pb2

from features.quantile_bounds import quantile_places
from features.statistics.statistics import FeatureStatistics

BUCKETS = 10
_TOP_VALUES = 20
_TYPES = {
    "text": statistics_pb2.FeatureNameStatistics.STRING,
    "int": statistics_pb2.FeatureNameStatistics.INT,
    "float": statistics_pb2.FeatureNameStatistics.FLOAT,
}


def to_protos(found: dict[str, FeatureStatistics]) -> statistics_pb2.DatasetFeatureStatisticsList:
    """One dataset for each table: items, queries, pairs."""
    datasets: dict[str, statistics_pb2.DatasetFeatureStatistics] = {}
    for feature in found.values():
        name = feature.column.table
        dataset = datasets.setdefault(
            name, statistics_pb2.DatasetFeatureStatistics(name=name, num_examples=feature.rows)
        )
        dataset.features.append(_feature(feature))
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=datasets.values())


def serialize(protos: statistics_pb2.DatasetFeatureStatisticsList) -> bytes:
    """The bytes of statistics.pb: the same for the same statistics."""
    return protos.SerializeToString(deterministic=True)


def by_feature(serialized: bytes) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """Feature -> what statistics.pb says of it.

    Raises:
        google.protobuf.message.DecodeError: If the bytes are none of such a file.
    """
    protos = statistics_pb2.DatasetFeatureStatisticsList.FromString(serialized)
    return {feature.path.step[0]: feature for dataset in protos.datasets for feature in dataset.features}


def _feature(found: FeatureStatistics) -> statistics_pb2.FeatureNameStatistics:
    proto = statistics_pb2.FeatureNameStatistics(type=_TYPES[found.column.kind])
    proto.path.step.append(found.column.name)
    if found.column.kind == "text":
        _tell_texts(found, proto.string_stats)
        _tell_valency(found, proto.string_stats.common_stats)
    else:
        _tell_numbers(found, proto.num_stats)
        _tell_valency(found, proto.num_stats.common_stats)
    return proto


def _tell_valency(found: FeatureStatistics, proto: statistics_pb2.CommonStatistics) -> None:
    present = {size: rows for size, rows in found.valency.items() if size}
    rows = sum(present.values())
    proto.num_missing, proto.num_non_missing = found.missing, rows
    proto.tot_num_values = found.values
    if present:
        proto.min_num_values, proto.max_num_values = min(present), max(present)
        proto.avg_num_values = found.values / rows
        sizes, counts = np.array(list(present), np.float64), np.array(list(present.values()), np.int64)
        proto.num_values_histogram.CopyFrom(
            _quantiles(sizes, counts, low=float(min(present)), high=float(max(present)))
        )


def _tell_texts(found: FeatureStatistics, proto: statistics_pb2.StringStatistics) -> None:
    proto.unique = found.distinct
    proto.avg_length = found.bytes / found.values if found.values else 0.0
    for rank, (text, count) in enumerate(found.top_texts.items()):
        if rank < _TOP_VALUES:
            proto.top_values.add(value=text, frequency=count)
        proto.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=text, sample_count=count)


def _tell_numbers(found: FeatureStatistics, proto: statistics_pb2.NumericStatistics) -> None:
    numbers, counts = found.numbers, found.number_counts
    if len(numbers) == 0:
        return
    total = int(counts.sum())
    # fsum rounds once, so nothing depends on the order in which a processor adds up.
    mean = math.fsum(numbers * counts) / total
    proto.mean = mean
    proto.std_dev = math.sqrt(math.fsum((numbers - mean) ** 2 * counts) / total)
    proto.num_zeros = int(counts[numbers == 0].sum())
    proto.min, proto.max = found.minimum, found.maximum
    proto.median = float(numbers[np.searchsorted(np.cumsum(counts), (total + 1) // 2)])
    proto.histograms.append(_equal_widths(numbers, counts, low=found.minimum, high=found.maximum))
    proto.histograms.append(_quantiles(numbers, counts, low=found.minimum, high=found.maximum))


def _equal_widths(
    numbers: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], *, low: float, high: float
) -> statistics_pb2.Histogram:
    edges = np.linspace(low, high, BUCKETS + 1) if high > low else np.array([low, high])
    return _histogram(statistics_pb2.Histogram.STANDARD, numbers, counts=counts, edges=edges)


def _quantiles(
    numbers: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], *, low: float, high: float
) -> statistics_pb2.Histogram:
    """Fewer buckets where one number alone would fill several."""
    places = np.unique(quantile_places(counts, BUCKETS))
    inner = np.minimum(numbers[places[1:]], high)  # the greatest number may have been rounded up
    edges = np.array([low, *inner, high])
    return _histogram(statistics_pb2.Histogram.QUANTILES, numbers, counts=counts, edges=edges)


def _histogram(
    kind: statistics_pb2.Histogram.HistogramType,
    numbers: npt.NDArray[np.float64],
    *,
    counts: npt.NDArray[np.int64],
    edges: npt.NDArray[np.float64],
) -> statistics_pb2.Histogram:
    proto = statistics_pb2.Histogram(type=kind)
    for low, high, rows in zip(edges[:-1], edges[1:], rows_between(numbers, counts, bounds=edges[1:-1]), strict=True):
        proto.buckets.add(low_value=low, high_value=high, sample_count=rows)
    return proto


def rows_between(
    numbers: npt.NDArray[np.float64], counts: npt.NDArray[np.int64], *, bounds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """How many numbers lie in each class; one belongs to the class after the last bound not above it.

    Args:
        numbers: float64 [n].
        counts: int64 [n].
        bounds: Rising, float64 [b].

    Returns:
        float64 [b + 1], whole numbers.
    """
    places = np.searchsorted(bounds, numbers, side="right")
    return np.bincount(places, weights=counts, minlength=len(bounds) + 1).astype(np.float64)
