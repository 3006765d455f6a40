"""What a build's counts warn of, though it has ended well: each a line on stderr."""

import sys
from collections.abc import Mapping

from features.spec import Spec
from features.spec_features import NumericFeature
from features.spec_file import spec_of
from features.spec_sources import Sources, TableSource
from features.spec_split import Split
from features.statistics_protos import by_feature
from features.statistics_schema import STATISTICS
from pipelines.aggregation.log import POSITIVE
from pipelines.aggregation.tables import WITHOUT_ROW
from stage.manifest import Manifest
from stage.storage import join, read_bytes


def print_warnings(manifest: Manifest, directory: str) -> None:
    """Says what the counts of a dataset, or of what aggregate-spark left, warn of, and a dataset's statistics."""
    counts = manifest.counts
    if manifest.stage == "dataset":
        spec = spec_of(manifest, directory)
        warn_of_empty_splits(counts, spec.split)
        if manifest.names("statistics", ".pb"):
            statistics = by_feature(read_bytes(join(directory, STATISTICS)))
            warn_of_negative_numbers({key: found.num_stats.min for key, found in statistics.items()}, spec)
    warn_of_absent_events(counts)
    if WITHOUT_ROW in counts:
        warn_of_queries_without_rows(counts, Sources.model_validate(manifest.spec["sources"]))


def warn_of_empty_splits(counts: Mapping[str, int], split: Split) -> None:
    """Says on stderr which splits have no example, though the spec asks for some.

    Args:
        counts: A dataset's, as its manifest has them.
        split: The spec's section.
    """
    for name, share, told in (
        ("validation", split.validation, "train keeps its last weights, and train.patience never ends it"),
        ("test", split.test, "evaluate has no pairs to rank"),
    ):
        if (share or split.method == "time") and not counts[f"examples/{name}"]:
            print(f"warning: no {name} example is left, so {told}; check the section split", file=sys.stderr)


def warn_of_negative_numbers(least: Mapping[str, float], spec: Spec) -> None:
    """Says on stderr of which numbers a logarithm is asked for though some are below 0.

    Args:
        least: Key of a numeric feature -> its least number.
        spec: The dataset's.
    """
    for key, feature in spec.features.items():
        number = least.get(key, 0.0)
        if isinstance(feature, NumericFeature) and feature.log1p and number < 0:
            side, name = key.split("/")
            place = "session.context" if side == "pair" else side
            print(
                f"warning: {place}.features.{name}: expected numbers of at least 0 with log1p, but the least is "
                f"{number:g}; all below 0 count as 0. Where such a number says that none is known, leave it out of the "
                "table",
                file=sys.stderr,
            )


def warn_of_absent_events(counts: Mapping[str, int]) -> None:
    """Says on stderr which events that the spec lists as positive no line has.

    Args:
        counts: As a manifest has them.
    """
    for name, lines in counts.items():
        if name.startswith(POSITIVE) and not lines:
            print(
                f"warning: sources.interactions.positive_events: expected lines with each event, but none of the "
                f"{counts['lines/read']:,} lines has '{name.removeprefix(POSITIVE)}'; check its spelling, "
                "upper and lower case too",
                file=sys.stderr,
            )


def warn_of_queries_without_rows(counts: Mapping[str, int], sources: Sources) -> None:
    """Says on stderr if there is a query table and no query has a row in it.

    Args:
        counts: As a manifest has them.
        sources: The spec's section.
    """
    table = sources.queries
    if isinstance(table, TableSource) and counts[WITHOUT_ROW] == counts["queries"] > 0:
        print(
            "warning: sources.queries: expected rows of the log's queries, but none of the "
            f"{counts['queries']:,} has one, so all of their features but the id are missing; check that column "
            f"{table.id} of the query table has ids exactly as column {sources.interactions.query_id} of the log has "
            "them",
            file=sys.stderr,
        )
