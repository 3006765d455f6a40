"""How a training ended: which weights it keeps, and why it went no further."""

from features.spec.training import Train
from model.ranking.cut_off import DECIDES
from model.training.training_history import History, best_entry, best_of

_FEW_STEPS = 20
"""Of an epoch. On a log of 6,000 lines, with 5 steps, patience ended a training that found 0.20;
batches of 64 found 0.69 (Recall@50, test)."""


def is_out_of_patience(history: History, patience: int | None) -> bool:
    """Whether so many validations in a row brought nothing better."""
    return patience is not None and len(history) - 1 - best_of(history) >= patience


def last_was_best(history: History) -> bool:
    """Whether the last validation was the best, so that more epochs may help."""
    return history[-1].get(DECIDES) is not None and best_of(history) == len(history) - 1


def describe_end(history: History, train: Train) -> str:
    """What is told of a finished training: a line, and another where an epoch, by default a validation's, is short.

    Args:
        history: At least one validation.
        train: What it was trained under.
    """
    best = best_entry(history)
    recall = best.get(DECIDES)
    why = f"the last, since no validation has {DECIDES}" if recall is None else f"{DECIDES} {recall:.3f}"
    step = f"step {best['step']:,}" if best["step"] else "step 0, what it started from"
    said = f"kept: {step}, {why}; {_reason(history, train)}"
    steps = next(entry["step"] for entry in history if entry["step"])
    if train.validate_every is not None or steps >= _FEW_STEPS:
        return said
    number = "1 step" if steps == 1 else f"{steps} steps"
    return f"{said}\nan epoch has only {number} of {train.batch_size:,}: a smaller train.batch_size may find more"


def _reason(history: History, train: Train) -> str:
    if is_out_of_patience(history, train.patience):
        validations = "1 validation" if train.patience == 1 else f"{train.patience} validations"
        return f"ended by train.patience ({validations} without a better one)"
    after = f"ended after train.epochs ({train.epochs})"
    if last_was_best(history):
        return f"{after}; the last validation was the best, so more epochs may help"
    return after
