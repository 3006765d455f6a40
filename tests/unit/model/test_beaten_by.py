import pytest

from model.ranking.beaten_by import describe_better_baseline


def result(own: float | None, **baselines: float) -> dict[str, object]:
    found = {name: {"overall": {"recall@50": recall}} for name, recall in baselines.items()}
    return {"overall": {"recall@50": own}, "baselines": found}


@pytest.mark.parametrize("own", [0.3911, 0.4107])
def test_the_best_baseline_is_named_where_the_model_finds_no_more(own: float) -> None:
    assert describe_better_baseline(result(own, popularity=0.2, co_occurrence=0.4107)) == (
        f"no better than co-occurrence: recall@50 {own:.3f}, co-occurrence 0.411; another train.temperature (0.2 or "
        "0.3 in a small log), train.learning_rate, train.weight_decay or train.batch_size may find more"
    )


def test_nothing_is_told_of_a_model_that_finds_more_or_has_nothing_to_be_compared_with() -> None:
    assert describe_better_baseline(result(0.4108, popularity=0.2, co_occurrence=0.4107)) is None
    assert describe_better_baseline(result(0.1)) is None
    # Of 50 items all rankings find all.
    assert describe_better_baseline(result(1.0, popularity=1.0)) is None
    assert describe_better_baseline({"overall": {"recall@50": None}, "baselines": {}}) is None
