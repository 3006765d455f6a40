"""How many steps one call takes."""

import math
from itertools import count
from types import SimpleNamespace

import pytest
from training_specs import training_spec

from model.train import train
from model.training.steps_at_once import steps_at_once
from model.training.training_step import TrainingStep
from stage import progress


@pytest.mark.parametrize(
    ("step", "steps"),
    [
        (0, 8),  # before a validation
        (3, 5),  # a resumed training starts anywhere
        (8, 2),  # before all workers are asked
        (10, 3),  # before the SSL task ends
        (13, 3),
        (40, 7),  # before the last
    ],
)
def test_a_call_ends_where_something_is_due(step, steps):
    assert steps_at_once(step, due_every=[8, 10], due_at=[47, 13], seconds_a_step=0.001) == steps


@pytest.mark.parametrize(("seconds", "steps"), [(math.inf, 1), (0.6, 1), (0.13, 3), (0.05, 10), (0.001, 10)])
def test_a_call_takes_half_a_second_at_most_unless_a_step_takes_longer(seconds, steps):
    assert steps_at_once(20, due_every=[10], due_at=[], seconds_a_step=seconds) == steps


def test_a_training_takes_several_steps_a_call_and_counts_each(tiny_dataset, tmp_path, monkeypatch):
    after, bars, over, bar = [], [], TrainingStep.over, progress.bar

    def noted(training, batches):
        take = over(training, batches)

        def take_steps(number):
            losses = take(number)
            after.append(int(training.step.numpy()))
            return losses

        return take_steps

    def noted_bar(**options):
        bars.append((options["description"], bar(**options)))
        return bars[-1][1]

    monkeypatch.setattr(TrainingStep, "over", noted)
    monkeypatch.setattr("model.training.training_loop.progress.bar", noted_bar)
    clock = count(0, 0.25)  # seconds that a call takes, whatever it does
    monkeypatch.setattr("model.training.training_pace.time", SimpleNamespace(perf_counter=clock.__next__))
    # The SSL task ends after 12.8 steps.
    keys = ("train.validate_every=9", "train.checkpoint_every=7", "train.patience=null", "ssl.decay_epochs=1.6")
    history = train(tiny_dataset, training_spec(tiny_dataset, *keys), output=str(tmp_path / "model"))
    assert after == [1, 3, 7, 9, 10, 12, 13, 14, 16, 18, 20, 21, 23, 24]
    assert [entry["examples/s"] for entry in history] == [64 * 9 / 1, 64 * 9 / 1.5, 64 * 6 / 1]
    # Examples are decoded once, though batches are asked for anew where the SSL task ends.
    assert [(description, shown.n) for description, shown in bars] == [("train: decode", 500), ("train", 64 * 24)]
