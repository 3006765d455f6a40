"""Which query and slice each pair of a split belongs to: what stored ranks need to become metrics again.

Shapes: P pairs of the split, ordered by query id and then by item id; Q queries, in session mode one for each pair.
"""

from dataclasses import dataclass

import numpy as np

from model.comparison.json_part import JsonPart, if_known
from model.comparison.packed import pack_flags, pack_numbers, unpack_flags, unpack_numbers
from model.ranking.metrics import COLD_AMONG_COLD, Flags, Indices, RankedSplit
from stage.errors import StageError

DEEPEST = 50
"""Ranks beyond it are not stored."""
NEW_QUERIES = "new_queries"
"""Pairs whose query, in session mode whose user, has no training pair."""
_SLICES = ("head", "tail", "cold", NEW_QUERIES)
MOST_PAIRS = (1 << 16) - DEEPEST
"""Of a query or a user: a rank that `pack_last_ranks` keeps is below `DEEPEST` more, which `pack_numbers` must hold."""


@dataclass(frozen=True)
class SplitShape:
    """The pairs of a split, without their ids."""

    query_index: Indices
    """[P] Ascending."""
    slices: dict[str, Flags]
    """Name -> [P], whether the pair is in the slice, mostly by its item; overall too."""
    users: Indices | None = None
    """[Q] Ascending: whose each query is, in session mode, where a user has several; None: each is of its own."""

    def user_index(self) -> Indices:
        """[P] Whose each pair is, ascending from 0: what one user asks is correlated, so resamples are of users."""
        return self.query_index if self.users is None else self.users[self.query_index]


def cold_part(shape: SplitShape) -> SplitShape:
    """The pairs with a cold item, as the one slice of a split of their own."""
    query_index = shape.query_index[shape.slices["cold"]]
    return SplitShape(query_index, {COLD_AMONG_COLD: np.ones(len(query_index), dtype=bool)}, shape.users)


class PackedShape(JsonPart):
    """The same as text."""

    pairs: int
    pairs_per_query: str
    slices: dict[str, str]
    queries_per_user: str | None = if_known()


def pack_shape(shape: SplitShape) -> PackedShape:
    """As text.

    Raises:
        StageError: If a query, or in session mode a user, has so many pairs that their ranks couldn't be kept.
    """
    counts, of_users = np.bincount(shape.query_index), np.bincount(shape.user_index())
    if of_users.max(initial=0) > MOST_PAIRS:
        whose = "query" if shape.users is None else "user"
        raise StageError(
            f"expected at most {MOST_PAIRS:,} pairs of a {whose} in the validation split, and in the test split, got "
            f"{of_users.max():,}; lower split.validation and split.test, or leave the {whose} out of the log"
        )
    return PackedShape(
        pairs=len(shape.query_index),
        pairs_per_query=pack_numbers(counts),
        slices={name: pack_flags(shape.slices[name]) for name in _SLICES},
        queries_per_user=None if shape.users is None else pack_numbers(np.bincount(shape.users)),
    )


def unpack_shape(packed: PackedShape, *, source: str) -> SplitShape:
    """From text.

    Raises:
        StageError: If it isn't whole, naming the source.
    """
    try:
        counts = unpack_numbers(packed.pairs_per_query)
        if int(counts.sum()) != packed.pairs:
            raise StageError(f"expected {packed.pairs} pairs, found {counts.sum()}")
        slices = {name: unpack_flags(packed.slices[name], count=packed.pairs) for name in _SLICES}
        users = None if packed.queries_per_user is None else _repeated(unpack_numbers(packed.queries_per_user))
        if users is not None and len(users) != len(counts):
            raise StageError(f"expected {len(counts)} queries of users, found {len(users)}")
    except (StageError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise StageError(f"{source}: not the pairs of a split: {reason}; delete it, and it is made again") from None
    slices["overall"] = np.ones(packed.pairs, dtype=bool)
    return SplitShape(_repeated(counts), slices, users)


def _repeated(counts: Indices) -> Indices:
    """The number of each group, as often as it has members."""
    return np.repeat(np.arange(len(counts)), counts)


def pack_last_ranks(ranked: RankedSplit) -> str:
    """The ranks of a split's pairs, [P] in the order of its shape; 0 for one that no metric up to 50 counts."""
    # A pair in the top 50 may tie with all of its query's other pairs, which then come before it.
    deepest = DEEPEST + np.bincount(ranked.query_index)[ranked.query_index] - 1
    counted = ranked.last_rank <= deepest
    return pack_numbers(np.where(counted, ranked.last_rank, 0).astype(np.int64))


def unpack_ranked(last_ranks: str | None, shape: SplitShape, *, source: str) -> RankedSplit:
    """The ranked split again, whose items are numbered as its pairs are.

    Args:
        last_ranks: From `pack_last_ranks`.
        shape: Of the split, or of the part of it that was ranked.
        source: Whence it comes, for the error.

    Raises:
        StageError: If its ranks are missing, or not as many as the pairs.
    """
    ranks = unpack_numbers(last_ranks) if last_ranks is not None else np.zeros(0, np.int64)
    pairs = len(shape.query_index)
    if len(ranks) != pairs:
        raise StageError(f"{source}: expected the ranks of {pairs} pairs, found {len(ranks)}; delete it to train anew")
    return RankedSplit(shape.query_index, np.arange(pairs), np.where(ranks > 0, ranks.astype(np.float64), np.inf))
