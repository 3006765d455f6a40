"""Which keys of a split by hash choose the pairs that it holds out."""

import pytest

from features.spec.split import Split
from model.ranking.held_out import other_pairs_held_out


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({"method": "query_hash"}, "split.method was query_hash, is pair_hash"),
        ({"validation": 0.2}, "split.validation was 0.2, is 0.03"),
        ({"test": 0.2, "seed": 5}, "split.seed was 5, is 0; split.test was 0.2, is 0.1"),
        ({"cold_items": 0.3}, "split.cold_items was 0.3, is 0.0"),
        # Of what isn't held out less was trained on.
        ({"train_fraction": 0.5, "max_train_pairs_per_query": 3}, None),
    ],
)
def test_a_split_holds_other_pairs_out_by_some_keys(before: dict[str, object], said: str | None) -> None:
    assert other_pairs_held_out(Split.model_validate(before), Split(), same_pseudonyms=True) == said
