"""What a build's counts warn of, though it has ended well: each a line on stderr."""

import sys
from collections.abc import Iterator, Mapping

from features.dataset import POSITIVE, WITHOUT_ROW
from features.spec.features import NumericFeature, VectorFeature, VocabularyFeature, key_in_spec, vocabulary_of
from features.spec.file import spec_of
from features.spec.sources import Sources, TableSource
from features.spec.spec import Spec
from features.spec.split import Split
from features.statistics.protos import by_feature
from features.statistics.schema import STATISTICS
from features.vocabularies import NOTHING, digest_terms, vocabularies
from pipelines.aggregation.counts import positive_lines, rejects_of
from pipelines.aggregation.cut_off import CUT_OFF
from pipelines.aggregation.input_checks import compare_ids, cure_of_unknown_items, early_times
from pipelines.aggregation.partition_lines import OUTSIDE
from pipelines.aggregation.times_in_words import compare_units
from stage.manifest import Manifest
from stage.storage import join, read_bytes

_OF_NO_TERM = digest_terms([NOTHING.encode()])
_MANY_UNKNOWN = 10
"""One unknown item in so many is more than what has left a catalogue since."""


def print_warnings(manifest: Manifest, directory: str) -> None:
    """Says what the counts of a dataset, or of what aggregate-spark left, warn of, and a dataset's statistics."""
    for said in _warnings(manifest, directory):
        print(f"warning: {said}", file=sys.stderr)


def _warnings(manifest: Manifest, directory: str) -> Iterator[str]:
    counts, spec = manifest.counts, spec_of(manifest, directory)
    sources = spec.sources
    if manifest.stage == "dataset":
        yield from _of_empty_splits(counts, spec.split)
        yield from _of_empty_vocabularies(manifest.content, spec)
        yield from _of_numbers(directory, spec)
    yield from _of_absent_events(counts)
    yield from _of_unknown_items(manifest, sources)
    if early := early_times(counts, sources.interactions):
        yield early
    yield from _of_partitions_outside(counts, sources)
    yield from _of_files_cut_off(counts)
    if WITHOUT_ROW in counts:
        yield from _of_queries_without_rows(manifest, sources)


def _of_empty_splits(counts: Mapping[str, int], split: Split) -> Iterator[str]:
    """Which splits have no example, though the spec asks for some."""
    for name, told in (
        ("validation", "train keeps its last weights, and train.patience never ends it"),
        ("test", "evaluate has no pairs to rank"),
    ):
        if name in split.asked_for and not counts[f"examples/{name}"]:
            yield f"no {name} example is left, so {told}; check the section split"


def is_empty(vocabulary: str, content: Mapping[str, str]) -> bool:
    """Whether a vocabulary has no term, by a manifest's digests: its file holds a line that stands for none."""
    return content.get(f"vocabularies/{vocabulary}") == _OF_NO_TERM


def _of_empty_vocabularies(content: Mapping[str, str], spec: Spec) -> Iterator[str]:
    """Which vocabularies have no term, so that of some features the model learns nothing."""
    sharing: dict[str, list[str]] = {}
    for key, feature in spec.features.items():
        if isinstance(feature, VocabularyFeature) and not feature.oov_buckets:
            sharing.setdefault(vocabulary_of(key, feature), []).append(key)
    rules = vocabularies(spec)
    for name, keys in sharing.items():
        if is_empty(name, content):
            least = rules[name].min_count
            often = f"{least:,} times" if least > 1 else "once"
            features = [key_in_spec(key) for key in keys]
            these = "all values of this feature are" if len(features) == 1 else "all values of these features are"
            yield (
                f"{', '.join(features)}: expected terms that are counted {often} or more (min_count), but none is, "
                f"so {these} unknown; lower min_count, or leave the feature out"
            )


def _of_numbers(directory: str, spec: Spec) -> Iterator[str]:
    """Of which numbers a logarithm is asked for though some are below 0, and of which vectors some are zeros alone."""
    logarithms = [key for key, f in spec.features.items() if isinstance(f, NumericFeature) and f.log1p]
    vectors = [key for key, f in spec.features.items() if isinstance(f, VectorFeature)]
    statistics = by_feature(read_bytes(join(directory, STATISTICS))) if logarithms or vectors else {}
    for key in logarithms:
        number = statistics[key].num_stats.min
        if number < 0:
            source = "log" if key.startswith("pair/") else "table"
            yield (
                f"{key_in_spec(key)}: expected numbers of at least 0 with log1p, but the least is {number:g}; all "
                f"below 0 count as 0. Where such a number says that none is known, leave it out of the {source}"
            )
    for key in vectors:
        lengths = statistics[key].num_stats
        if lengths.num_zeros:
            yield (
                f"{key_in_spec(key)}: expected vectors with a direction, but {lengths.num_zeros:,} of "
                f"{lengths.common_stats.num_non_missing:,} are zeros alone, which count as known. Where such a vector "
                "says that none is known, leave it out of the table (null)"
            )


def _of_absent_events(counts: Mapping[str, int]) -> Iterator[str]:
    """Which events that the spec lists as positive no line has."""
    for name, lines in counts.items():
        if name.startswith(POSITIVE) and not lines:
            event = name.removeprefix(POSITIVE)
            written = (
                "numbers as they are written, where 4 isn't 4.0"
                if event.replace(".", "").isdecimal()
                else "upper and lower case too"
            )
            yield (
                "sources.interactions.positive_events: expected lines with each event, but none of the "
                f"{counts['lines/read']:,} lines has '{event}'; check its spelling, {written}"
            )


def _of_unknown_items(manifest: Manifest, sources: Sources) -> Iterator[str]:
    """Whether many of the lines that count are lost since their items have no row."""
    # sources.max_reject_ratio may allow them where few lines are positive, since it is a share of all lines.
    rejected = manifest.rejected
    unknown = rejected.get("unknown_item", 0)
    looked_up = positive_lines(manifest.counts) - sum(rejects_of("log", rejected).values()) + unknown
    bad_rows = sum(rejects_of("items", rejected).values())
    or_bad = f"; or their rows are among the item table's {bad_rows:,} rejected ones" if bad_rows else ""
    if _MANY_UNKNOWN * unknown >= looked_up > 0:
        yield (
            f"sources.items: expected rows of the log's items, but {unknown:,} of {looked_up:,} good lines "
            f"({unknown / looked_up:.0%}) are of items without one, and are rejected; "
            f"{cure_of_unknown_items(sources, manifest.ids_to_compare)}{or_bad}"
        )


def _of_partitions_outside(counts: Mapping[str, int], sources: Sources) -> Iterator[str]:
    """Of which partitions no line lies in the window, though it holds their day."""
    for name, lines in counts.items():
        if name.startswith(OUTSIDE):
            yield (
                f"{name.removeprefix(OUTSIDE)}: expected lines of --data-start to --data-end in this partition, but "
                f"all of its {lines:,} good lines are outside, and are filtered; "
                f"{compare_units(sources.interactions)}, and their day with the partition's name"
            )


def _of_files_cut_off(counts: Mapping[str, int]) -> Iterator[str]:
    """Which text files end within a line."""
    for name in counts:
        if name.startswith(CUT_OFF):
            yield (
                f"{name.removeprefix(CUT_OFF)}: expected its last line to be whole, but it is rejected, and no newline "
                "ends it; if the file was still being copied, build again, and copy it under a name that begins with ."
            )


def _of_queries_without_rows(manifest: Manifest, sources: Sources) -> Iterator[str]:
    """Whether there is a query table and half of the queries, or more, have no row in it."""
    of_items = sources.queries == "items"
    table, called = (sources.items, "item") if of_items else (sources.queries, "query")
    without, queries = manifest.counts[WITHOUT_ROW], manifest.counts["queries"]
    if isinstance(table, TableSource) and 2 * without >= queries > 0:
        check = compare_ids(
            f"column {table.id} of the {called} table",
            f"column {sources.interactions.query_id}",
            ids=manifest.ids_to_compare.get(WITHOUT_ROW),
        )
        yield (
            f"sources.queries: expected rows of the log's queries, but {without:,} of {queries:,} have none, "
            f"so all of their features but the id are missing; {check}"
        )
