"""A sample of the Debian index that is small, and still dense enough to train on."""

import hashlib
import heapq
from collections.abc import Iterable, Sequence
from typing import Any

COLD_SHARE = 0.1
"""Of the sample: sources that no other source needs, in the sample or outside it."""


def choose_sources(pairs: Iterable[tuple[str, str]], sources: Sequence[str], *, size: int, seed: int) -> set[str]:
    """Chooses the sources that interact most among themselves, and some that nobody interacts with.

    The dense part is what is left after taking away, again and again, the source with the fewest pairs left (the order
    of the k-core decomposition). The cold part is drawn at random.

    Args:
        pairs: (query, item).
        sources: All of them.
        size: How many to choose, at most.
        seed: Of the draw, and of ties.

    Returns:
        The chosen sources.
    """
    neighbours: dict[str, set[str]] = {source: set() for source in sources}
    needed = set()
    for query, item in pairs:
        neighbours[query].add(item)
        neighbours[item].add(query)
        needed.add(item)
    by_draw = sorted(sources, key=lambda source: _draw(source, seed))
    cold = [source for source in by_draw if source not in needed][: round(size * COLD_SHARE)]
    return _dense_part(neighbours, by_draw, size=size - len(cold), without=set(cold)) | set(cold)


def _dense_part(neighbours: dict[str, set[str]], order: Sequence[str], *, size: int, without: set[str]) -> set[str]:
    rank = {source: place for place, source in enumerate(order)}
    left = set(order) - without
    degree = {source: len(neighbours[source] & left) for source in left}
    heap = [(degree[source], rank[source], source) for source in left]
    heapq.heapify(heap)
    while len(left) > size:
        _, _, source = heapq.heappop(heap)
        if source not in left:
            continue  # its degree fell after it was put here, so a newer entry came first
        left.remove(source)
        for other in neighbours[source] & left:
            degree[other] -= 1
            heapq.heappush(heap, (degree[other], rank[other], other))
    return left


def _draw(source: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{source}".encode()).digest()


def keep_sources(rows: Iterable[dict[str, Any]], kept: set[str]) -> list[dict[str, Any]]:
    """The rows whose every id is kept."""
    return [row for row in rows if row["item_id"] in kept and row.get("query_id", row["item_id"]) in kept]
