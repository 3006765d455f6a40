"""What each ranking recommends for some queries: all that the page's explorer shows.

Shapes: E queries of the split that are explored, K items found.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow.compute as pc

from features.dataset import Dataset, Entities
from model.ranking.metrics import Indices
from model.ranking.ranking import Scorer, candidate_scores
from model.ranking.split_scorers import SplitToRank, history_of_queries
from stage.manifest import Json

TOP_K = 10
MOST_KNOWN = 12
"""Items that are shown of what is known of a query, at most."""


def explore(split: SplitToRank, scorers: Mapping[str, Scorer], *, most: int) -> Json:
    """Looks queries up.

    Args:
        split: Whose queries; its first ones, whose order is that of a hash.
        scorers: Name -> scorer.
        most: E at most.

    Returns:
        `rankings`, their names; `items`, of each that is named [id, title, training examples]; `queries`, ordered by
        id, each with `id`, `title`, `relevant` (items of the split), `known` (items that came before, MOST_KNOWN at
        most), `known_count`, and `found` (for each ranking its K best candidates). Items are places in `items`.

    Raises:
        StageError: If a file of entities/ can't be read, or lacks an item or a query.
    """
    pairs, corpus = split.pairs, split.corpus
    queries = np.arange(min(most, len(pairs.query_ids)))
    found = {name: best_candidates(split, score, queries=queries) for name, score in scorers.items()}
    known = history_of_queries(split)[queries]
    relevant: list[list[int]] = [[] for _ in queries]
    for query, item in zip(pairs.query_index.tolist(), pairs.item_index.tolist(), strict=True):
        if query < len(queries):
            relevant[query].append(item)
    before = [known.indices[known.indptr[q] : known.indptr[q + 1]].tolist() for q in queries]
    shown = [items[:MOST_KNOWN] for items in before]
    named = np.unique([*chain(*relevant, *shown, *chain(*found.values()))]).astype(np.int64)
    place = {item: number for number, item in enumerate(named.tolist())}
    ids = [corpus.ids[item] for item in named]
    titles = _titles(split.dataset, "items", ids=ids)
    query_ids = pairs.query_ids[: len(queries)]
    query_titles = _titles(split.dataset, "queries", ids=query_ids)
    entries = [
        {
            "id": query_ids[query].decode(),
            "title": query_titles[query],
            "relevant": [place[item] for item in relevant[query]],
            "known": [place[item] for item in shown[query]],
            "known_count": len(before[query]),
            "found": [[place[item] for item in lists[query]] for lists in found.values()],
        }
        for query in queries
    ]
    return {
        "rankings": list(scorers),
        "items": [
            [item_id.decode(), title, count]
            for item_id, title, count in zip(ids, titles, corpus.train_count[named].tolist(), strict=True)
        ],
        "queries": sorted(entries, key=lambda entry: str(entry["id"])),
    }


def best_candidates(split: SplitToRank, score: Scorer, *, queries: Indices) -> list[list[int]]:
    """The K best candidates of each query, best first, ties in the order of the corpus.

    Fewer if there are no more, or if several share the last place: which of them came first would say nothing, and the
    metrics don't count them either.

    Args:
        split: Says what is no candidate.
        score: Scores the whole corpus.
        queries: [E].
    """
    best: list[list[int]] = []
    for _, scores in candidate_scores(split.pairs, score, queries=queries):
        order = np.argsort(-scores, kind="stable")[: TOP_K + 1]
        beyond = scores[order[TOP_K]] if len(order) > TOP_K else -np.inf
        best.append([int(item) for item in order[:TOP_K] if scores[item] > beyond])
    return best


def _titles(dataset: Dataset, table: Entities, *, ids: Sequence[bytes]) -> list[str]:
    """Of each id its title, "" where it has none."""
    titles: list[str] = pc.fill_null(dataset.entity_rows(table, ids, columns=["title"])["title"], "").to_pylist()
    return titles
