"""Whether a new model may take the place of the published one, from how both ranked one test split.

Shapes: P pairs of the split, Q its queries, N items of the corpus.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from features.spec.gate import Gate
from model.ranking.bootstrap import Bootstrap, Estimate, Sampled, seed_terms
from model.ranking.cut_off import CUT_OFF, DECIDES
from model.ranking.metrics import Flags, Indices, RankedSplit, recall

Finding: TypeAlias = Literal["better", "within_margin", "worse", "too_little_data", "above_floor", "below_floor"]
Outcome: TypeAlias = Literal["replaces", "first_model", "worse", "too_little_data", "below_floor", "older_interval"]


@dataclass(frozen=True)
class SliceVerdict:
    """What one slice says."""

    challenger: float | None
    """Its Recall@50; None without a pair in the slice."""
    champion: float | None
    """None if there is none, too."""
    difference: Estimate
    """Challenger less champion, with its 95% interval."""
    bound: float
    """The margin, or for a first model the floor."""
    users: int
    """How many have a pair in the slice; without session mode every query is a user of its own."""
    needed: int
    """How many must have one: more by a narrow margin, one by a floor."""
    finding: Finding


@dataclass(frozen=True)
class Verdict:
    """What becomes of the challenger."""

    outcome: Outcome
    slices: Mapping[str, SliceVerdict]
    """`overall` and `tail`; neither where the interval alone decided."""

    @property
    def passes(self) -> bool:
        """Whether the challenger may be published."""
        return self.outcome in ("replaces", "first_model")


def decide(
    challenger: RankedSplit, champion: RankedSplit | None, *, slices: Mapping[str, Flags], users: Indices, gate: Gate
) -> Verdict:
    """Compares two rankings of the same pairs, or holds one to the floors.

    Args:
        challenger: [P] By the new model.
        champion: [P] By the published one, if there is one.
        slices: Name -> its items, [N]; `overall` and `tail` are used.
        users: [Q] Whose each query of the split is, numbered from 0: resamples are of users.
        gate: The spec's section.
    """
    margins = {"overall": gate.margin, "tail": gate.tail_margin}
    of_slices = {name: challenger.of_items(slices[name]) for name in margins}
    counts = {name: len(np.unique(users[ranked.query_index])) for name, ranked in of_slices.items()}
    if champion is None:
        floors = {"overall": gate.floor, "tail": gate.tail_floor}
        recalls = {name: recall(ranked, k=CUT_OFF) for name, ranked in of_slices.items()}
        found = {name: _against_floor(recalls[name], floor, users=counts[name]) for name, floor in floors.items()}
        return Verdict(_first_of(found, "below_floor", "too_little_data") or "first_model", found)
    keys = [f"{name}/{DECIDES}" for name in margins]
    terms = {
        f"{model}/{key}": term.by_user(users)
        for model, ranking in (("new", challenger), ("old", champion))
        for key, term in seed_terms([ranking], slices=slices, keys=keys, queries=len(users)).items()
    }
    # All at once, since many users' resamples are drawn for each sample.
    sampled = Bootstrap(int(users.max()) + 1).sample(terms)
    found = {
        name: _against_champion(
            sampled[f"new/{name}/{DECIDES}"], sampled[f"old/{name}/{DECIDES}"], margin=margin, users=counts[name]
        )
        for name, margin in margins.items()
    }
    return Verdict(_first_of(found, "worse", "too_little_data") or "replaces", found)


def _users_needed(margin: float) -> int:
    """Where none of so many differs, those that do are surely (95%) no more than the margin's share of all users.

    That is the rule of three. Resamples of those users can't say it: they are all alike, with an interval of no width.
    """
    return math.ceil(3 / margin)


def _against_champion(challenger: Sampled, champion: Sampled, *, margin: float, users: int) -> SliceVerdict:
    difference = challenger.difference_from(champion)
    needed = _users_needed(margin)
    finding: Finding
    if difference.low is None or difference.high is None:
        finding = "too_little_data"
    elif difference.high < -margin:
        finding = "worse"
    elif users < needed or difference.high - difference.low > margin:
        finding = "too_little_data"
    elif difference.low < -margin:
        finding = "worse"
    else:
        finding = "better" if difference.low > 0 else "within_margin"
    return SliceVerdict(
        challenger=challenger.value,
        champion=champion.value,
        difference=difference,
        bound=margin,
        users=users,
        needed=needed,
        finding=finding,
    )


def _against_floor(challenger: float | None, floor: float, *, users: int) -> SliceVerdict:
    finding: Finding = (
        "too_little_data" if challenger is None else "above_floor" if challenger >= floor else "below_floor"
    )
    nothing = Estimate(None, None, None)
    return SliceVerdict(
        challenger=challenger, champion=None, difference=nothing, bound=floor, users=users, needed=1, finding=finding
    )


def _first_of(
    found: Mapping[str, SliceVerdict], *outcomes: Literal["worse", "too_little_data", "below_floor"]
) -> Literal["worse", "too_little_data", "below_floor"] | None:
    """The first of some outcomes that a slice found."""
    return next((o for o in outcomes if any(verdict.finding == o for verdict in found.values())), None)
