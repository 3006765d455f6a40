import pytest

from model.ranking.beaten_by import describe_better_baseline


def result(own: float | None, **baselines: float) -> dict[str, object]:
    found = {name: {"overall": {"recall@50": recall}} for name, recall in baselines.items()}
    return {"overall": {"recall@50": own}, "baselines": found}


@pytest.mark.parametrize(
    ("own", "more_epochs", "first"),
    [(0.3911, False, ""), (0.4107, True, "more train.epochs (the last validation was the best), ")],
)
def test_the_best_baseline_is_named_where_the_model_finds_no_more(own: float, more_epochs: bool, first: str) -> None:
    assert describe_better_baseline(result(own, popularity=0.2, co_occurrence=0.4107), more_epochs=more_epochs) == (
        f"no better than co-occurrence: recall@50 {own:.3f}, co-occurrence 0.411; {first}another train.temperature "
        "(0.2 or 0.3 in a small log), train.learning_rate, train.weight_decay or train.batch_size may find more"
    )


def test_nothing_is_told_of_a_model_that_finds_more_or_has_nothing_to_be_compared_with() -> None:
    for found in (
        result(0.4108, popularity=0.2, co_occurrence=0.4107),
        result(0.1),
        result(1.0, popularity=1.0),  # of 50 items all rankings find all
        {"overall": {"recall@50": None}, "baselines": {}},
    ):
        assert describe_better_baseline(found, more_epochs=True) is None
