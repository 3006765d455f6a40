"""What TensorBoard shows of a training, from `logs` in its model's directory."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from model.network.two_tower import TwoTower
from model.training.training_step import LOSSES, TrainingStep
from stage import storage

LOGS = "logs"


def summary_writer(output: str, *, is_chief: bool) -> tf.summary.SummaryWriter:
    """As whose default the others of this module write; of several workers the chief alone does.

    Args:
        output: The model directory.
        is_chief: Whether this worker is it.
    """
    if not is_chief:
        return tf.summary.create_noop_writer()
    return tf.summary.create_file_writer(storage.join(output, LOGS))


def write_steps(
    training: TrainingStep,
    two_tower: TwoTower,
    *,
    losses: npt.NDArray[np.float32],
    learning_rate: float,
    examples_a_second: float,
) -> None:
    """Writes where the training is.

    Args:
        training: After a step.
        two_tower: What is trained.
        losses: That step's, in the order of LOSSES.
        learning_rate: Of it.
        examples_a_second: Since the last validation.
    """
    step = int(training.step.numpy())
    for name, value in zip(LOSSES, losses.tolist(), strict=True):
        tf.summary.scalar(f"train/{name}", value, step=step)
    tf.summary.scalar("train/examples_per_second", examples_a_second, step=step)
    tf.summary.scalar("train/learning_rate", learning_rate, step=step)
    for part, norm in zip(("rows", "dense"), training.gradient_norms.numpy().tolist(), strict=True):
        tf.summary.scalar(f"train/gradient_norm_{part}", norm, step=step)
    for name in two_tower.log_temperatures:
        tf.summary.scalar(f"train/temperature_{name}", two_tower.temperature(name), step=step)


def write_validation(metrics: Mapping[str, float | None], *, step: int) -> None:
    """Writes what a validation after a step has found."""
    for name, value in metrics.items():
        if value is not None:
            tf.summary.scalar(f"validation/{name}", value, step=step)
