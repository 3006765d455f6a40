from features.spec.training import Train
from model.comparison.peer_training import best_epoch


class Epochs:
    """Embeddings that are the epoch's number, as many as are asked for."""

    def __init__(self):
        self.asked, self.closed = 0, False

    def __call__(self):
        try:
            while True:
                self.asked += 1
                yield self.asked
        finally:
            self.closed = True


def _best(recalls, **train):
    epochs = Epochs()
    rank = lambda epoch: {"metrics": {"overall": {"recall@50": recalls[epoch - 1]}}}  # noqa: E731
    found = best_epoch(epochs(), rank, train=Train(**train), steps_an_epoch=8)
    assert epochs.closed
    assert found[1] == epochs.asked
    return found


def test_ends_after_as_many_steps_without_a_better_epoch_as_ours_wait():
    # Validated every 2 steps, 8 of them without a better one: 16 steps are two epochs.
    best, epochs = _best([0.1, 0.3, 0.2, 0.3, 0.9], validate_every=2, patience=8, epochs=9)
    assert (best.epoch, best.embeddings, epochs) == (2, 2, 4)
    assert best.ranking["metrics"]["overall"]["recall@50"] == 0.3


def test_of_equal_recall_at_50_the_recall_at_10_decides():
    of = [{"metrics": {"overall": {"recall@50": 1.0, "recall@10": v}}} for v in (0.4, 0.6, 0.6, 0.5)]
    train = Train(validate_every=2, patience=8, epochs=9)
    best, epochs = best_epoch(Epochs()(), lambda epoch: of[epoch - 1], train=train, steps_an_epoch=8)
    assert (best.epoch, epochs) == (2, 4)


def test_ends_with_the_epochs_of_the_comparison():
    best, epochs = _best([0.1, 0.2, 0.3, 0.4], validate_every=2, patience=8, epochs=3)
    assert (best.epoch, epochs) == (3, 3)


def test_a_training_that_ends_by_itself_is_what_it_came_to():
    best, epochs = best_epoch(
        (e for e in ["only"]), lambda _: {"metrics": {"overall": {"recall@50": 0.0}}}, train=Train(), steps_an_epoch=8
    )
    assert (best.embeddings, epochs) == ("only", 1)
