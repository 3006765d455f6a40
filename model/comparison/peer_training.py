"""When a peer's training ends, and which of its epochs is ranked: as for our own models, by `best_of`."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from features.spec.training import Train
from model.comparison.peer_embeddings import PeerEmbeddings
from model.training.training_history import History, best_of
from stage.manifest import Json


@dataclass(frozen=True)
class BestEpoch:
    """The epoch of a training that did best on validation."""

    epoch: int
    """From 1 on."""
    embeddings: PeerEmbeddings
    ranking: Json
    """Of validation."""


def best_epoch(
    trained: Generator[PeerEmbeddings, None, None],
    rank: Callable[[PeerEmbeddings], Json],
    *,
    train: Train,
    steps_an_epoch: int,
) -> tuple[BestEpoch, int]:
    """Lets a peer train until it has had `train.patience` validations of ours without a better one.

    Args:
        trained: What it has learned, epoch by epoch, one at least; closed when no more is asked for.
        rank: Ranks the validation split.
        train: With patience, validate_every and epochs of the comparison's trainings.
        steps_an_epoch: Batches that the training pairs fill.

    Returns:
        The best epoch, and how many there were.
    """
    patience = (train.patience or 1) * (train.validate_every or steps_an_epoch)
    history: History = []
    with closing(trained):
        for epoch, embeddings in enumerate(trained, 1):
            ranking = rank(embeddings)
            history.append(ranking["metrics"]["overall"])
            if best_of(history) == epoch - 1:
                best = BestEpoch(epoch, embeddings, ranking)
            if epoch >= train.epochs or (epoch - best.epoch) * steps_an_epoch >= patience:
                break
    return best, epoch
