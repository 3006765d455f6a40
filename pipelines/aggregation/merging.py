"""All lines of a shard merged into pairs, and these capped and counted."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import EMPTY_HISTORY
from features.latest_lines import are_beyond_latest
from features.pairs import cap_pairs, merge_lines, pair_counts, unknown_items
from features.sessions import session_pairs
from features.spec.spec import Spec
from features.split import SPLITS, TimeBounds
from features.sums import total
from pipelines.aggregation.counts import count_smallest
from pipelines.aggregation.lines_to_shuffle import OVER_MAX_LINES, without
from pipelines.aggregation.packing import Keyed, key_by_shard


@dataclass(frozen=True)
class MergedShard:
    """The pairs of a shard of lines."""

    pairs: pa.Table
    """Schema `pair_schema`."""
    rejected: pa.Table
    """Schema REJECTS."""
    counts: dict[str, int]
    """Of the lines that are in no pair."""


def merge_shard(
    lines: pa.Table, spec: Spec, *, bounds: TimeBounds | None, known: pa.ChunkedArray | pa.BooleanArray
) -> MergedShard:
    """Merges all lines of a shard, in session mode into examples, and counts those that go.

    Args:
        lines: As `lines_of_shard` gives them.
        spec: The dataset's spec.
        bounds: For a split by time.
        known: Whether the item of each line is in the item table.
    """
    counts: Counter[str] = Counter()
    if spec.session is not None:
        beyond = are_beyond_latest(lines, spec.session.max_lines)
        counts[OVER_MAX_LINES] = int(beyond.sum())
        lines, known = without(lines, beyond), known.filter(pa.array(~beyond))
    unknown = lines.filter(pc.invert(known))
    rejected = unknown_items(unknown)
    if spec.sources.rejects == "content":
        counts.update(count_smallest(unknown.column("item_id"), reason="unknown_item", of="log"))
    make = (
        partial(merge_lines, queries_are_items=spec.sources.queries == "items")
        if spec.session is None
        else partial(session_pairs, session=spec.session)
    )
    merged = make(
        # A filter copies, though mostly all items are known.
        lines if pc.all(known).as_py() else lines.filter(known),
        split=spec.split,
        bounds=bounds,
        drop_duplicates=spec.sources.interactions.drop_duplicates,
    )
    # What a part of a query's pairs has beyond the cap is beyond it in the whole, too, and isn't shuffled.
    pairs, over_cap = cap_shard(merged.rows, spec)
    counts.update({f"filtered/{rule}": lines for rule, lines in merged.filtered.items()} | over_cap)
    counts["rejected/unknown_item"] = total(rejected.column("lines"))
    return MergedShard(pairs, rejected, +counts)


def caps_apart(spec: Spec) -> bool:
    """Whether the cap needs another step, in which the pairs of a query meet that come from several shards."""
    return spec.split.max_train_pairs_per_query is not None and spec.session is None


def to_cap(pairs: pa.Table, shards: int) -> tuple[Iterable[Keyed], pa.Table]:
    """The training pairs, which the cap is for, by the shard of their query; and the others."""
    training = pc.equal(pairs.column("split"), SPLITS.index("train"))
    return key_by_shard(pairs.filter(training), "query_id", shards=shards), pairs.filter(pc.invert(training))


def cap_shard(pairs: pa.Table, spec: Spec) -> tuple[pa.Table, dict[str, int]]:
    """The pairs within the cap, if the spec has one, and the count of lines that go."""
    capped = cap_pairs(pairs, spec.split)
    return capped.rows, {f"filtered/{rule}": lines for rule, lines in capped.filtered.items()}


def count_by_split(pairs: pa.Table) -> dict[str, int]:
    """Counts pairs that no step drops any more, and their lines."""
    thinned = pairs.column("thinned")
    kept = pairs.filter(pc.invert(thinned))
    counts = {f"pairs/{name}": int((kept.column("split").to_numpy() == code).sum()) for code, name in enumerate(SPLITS)}
    counts["lines/kept"] = total(kept.column("count"))
    if lines := total(pairs.filter(thinned).column("count")):
        counts["filtered/thinned"] = lines
    if "history" in kept.column_names and (empty := total(pc.equal(pc.list_value_length(kept.column("history")), 0))):
        counts[EMPTY_HISTORY] = empty
    return counts


def counts_by(id_column: str, pairs: pa.Table, *, shards: int) -> Iterator[Keyed]:
    """The counts of pairs of each query or item, schema COUNTED, by the shard of its id."""
    counted = pair_counts(pairs, id_column).rename_columns({id_column: "id"})
    yield from key_by_shard(counted, "id", shards=shards)
