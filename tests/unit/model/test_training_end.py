"""What a finished training says of its end."""

from features.spec.training import Train
from model.train import _show
from model.training.training_end import describe_end


def _history(*recalls):
    return [{"step": 1000 * n, "recall@50": recall} for n, recall in enumerate(recalls, start=1)]


def test_patience_is_named_with_the_validations_that_were_no_better():
    said = describe_end(_history(0.1, 0.8553, 0.8, 0.85, 0.8553), Train(patience=3, epochs=5))
    assert said == "kept: step 2,000, recall@50 0.855; ended by train.patience (3 validations without a better one)"
    said = describe_end(_history(0.2, 0.1), Train(patience=1, epochs=2))
    assert said == "kept: step 1,000, recall@50 0.200; ended by train.patience (1 validation without a better one)"


def test_epochs_are_named_and_whether_more_may_help():
    train = Train(patience=3, epochs=12)
    after = "ended after train.epochs (12)"
    assert describe_end(_history(0.1, 0.3, 0.2), train) == f"kept: step 2,000, recall@50 0.300; {after}"
    more = "the last validation was the best, so more epochs may help"
    assert describe_end(_history(0.1, 0.2), train) == f"kept: step 2,000, recall@50 0.200; {after}; {more}"
    assert describe_end(_history(0.2, 0.1, 0.1, 0.1, 0.1), Train(patience=None, epochs=12)).endswith(f"; {after}")


def test_a_warm_start_that_nothing_was_better_than_is_told_and_is_no_epoch():
    said = describe_end(
        [{"step": step, "recall@50": recall} for step, recall in ((0, 0.4), (8, 0.3))],
        Train(patience=1, batch_size=64),
    )
    assert said.splitlines() == [
        "kept: step 0, what it started from, recall@50 0.400; ended by train.patience (1 validation without a better "
        "one)",
        "an epoch has only 8 steps of 64: a smaller train.batch_size may find more",
    ]


def test_without_validation_pairs_the_last_weights_are_kept():
    said = describe_end([{"step": 80}, {"step": 160}], Train(epochs=2))
    assert said == "kept: step 160, the last, since no validation has recall@50; ended after train.epochs (2)"


def test_few_steps_an_epoch_are_told_where_validations_are_an_epoch_s():
    history = [{"step": 19, "recall@50": 0.1}, {"step": 38, "recall@50": 0.2}]
    few = "an epoch has only 19 steps of 512: a smaller train.batch_size may find more"
    assert describe_end(history, Train(batch_size=512)).splitlines()[1:] == [few]
    assert "\n" not in describe_end(history, Train(batch_size=512, validate_every=19))
    assert "\n" not in describe_end([{"step": 20, "recall@50": 0.1}], Train(batch_size=512))


def test_at_80_columns_no_number_and_no_name_of_one_is_cut(capsys, monkeypatch):
    monkeypatch.setattr("stage.console._WIDTH_OF_A_FILE", 80)
    start = {"step": 0, "recall@10": 0.125, "recall@50": 0.25, "examples/s": 0.0}
    losses = {"loss": 12.5, "main_loss": 11.25, "ssl_loss": 10.125}
    later = {"step": 1_234_567, "recall@10": 0.25, "recall@50": 0.5, "examples/s": 95_121.4} | losses
    _show([start, later], "model", settings=Train())
    lines = capsys.readouterr().out.replace("┃", "│").splitlines()
    rows = [[cell.strip() for cell in line[1:-1].split("│")] for line in lines if line[:1] == "│"]
    assert rows == [
        ["", "step", "loss", "main", "ssl", "recall@10", "recall@50", "examples/s"],
        ["", "0", "-", "-", "-", "0.125", "0.250", "-"],
        ["*", "1,234,567", "12.500", "11.250", "10.125", "0.250", "0.500", "95,121"],
    ]
