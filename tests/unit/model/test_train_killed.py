"""The train command, killed at any moment: the same command goes on to the weights of an undisturbed run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from same_weights import assert_same_weights
from waiting import killed_at_the_end

from model.network.npz import unpack

KILLS = 20
STEPS = 8 * 100  # 500 examples in batches of 64


def _command(dataset, output):
    settings = ["epochs=100", "validate_every=150", "checkpoint_every=5", "patience=null"]
    overrides = [part for setting in settings for part in ("--set", f"train.{setting}")]
    return [sys.executable, "-m", "pipelines.cli", "train", "--dataset", dataset, "--output", str(output), *overrides]


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _files(folder):
    return os.listdir(folder) if folder.exists() else []


def _last_step(output):
    return max((int(n[5:14]) for n in _files(output / "checkpoints") if n.endswith(".npz")), default=0)


def _stop(command, output, *, at, delay, while_saving, number):
    """Sends a signal once a training has come to a step, or is writing a checkpoint after it; its exit code."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, killed_at_the_end(process):
        while process.poll() is None:
            if (output / "checkpoints" / "run.json").exists() and _last_step(output) >= at:
                writing = any(name.endswith(".tmp") for name in _files(output / "checkpoints"))
                if writing or not while_saving:
                    break
            time.sleep(0.0002)
        time.sleep(delay)
        process.send_signal(number)
        _, messages = process.communicate()
    return process.returncode, messages


def _assert_same_models(first, second):
    assert_same_weights(unpack(f"{first}/weights.npz"), unpack(f"{second}/weights.npz"))
    histories = [json.loads(Path(output, "history.json").read_text()) for output in (first, second)]
    for history in histories:
        for entry in history:
            del entry["examples/s"]
    assert histories[0] == histories[1]


@pytest.mark.slow
def test_twenty_kills_change_nothing(tiny_dataset, tmp_path):
    _run(_command(tiny_dataset.directory, tmp_path / "whole"))
    output = tmp_path / "killed"
    command = _command(tiny_dataset.directory, output)
    draws = random.Random(5)
    resumed_at, in_a_write = [], 0
    for kill in range(KILLS):
        # Of every twentieth of the training a random step, the first before any checkpoint.
        at = draws.randrange(STEPS * kill // KILLS, STEPS * (kill + 1) // KILLS) if kill else 0
        resumed_at.append(_last_step(output))
        delay = 0.0 if kill % 2 else draws.uniform(0, 0.05)
        code, _ = _stop(command, output, at=at, delay=delay, while_saving=bool(kill % 2), number=signal.SIGKILL)
        in_a_write += any(path.suffix == ".tmp" for path in (output / "checkpoints").iterdir())
        if code == 0:  # it was through before the signal; so near the end only the last few may be
            assert kill >= KILLS - 3
            break
        assert code == -signal.SIGKILL
        assert not (output / "manifest.json").exists()
    if code != 0:
        _run(command)
    print(f"resumed at {resumed_at}, {in_a_write} times beside a half-written checkpoint")
    assert in_a_write >= 3
    assert len(set(resumed_at)) >= KILLS - 5
    assert not list(output.rglob("*.tmp"))
    _assert_same_models(output, tmp_path / "whole")


@pytest.mark.slow
def test_a_termination_saves_and_leaves_75(tiny_dataset, tmp_path):
    _run(_command(tiny_dataset.directory, tmp_path / "whole"))
    output = tmp_path / "stopped"
    command = _command(tiny_dataset.directory, output)
    code, messages = _stop(command, output, at=200, delay=0.003, while_saving=False, number=signal.SIGTERM)
    assert code == 75, messages
    last = messages.splitlines()[-1]
    assert last == f"error: interrupted; saved after step {_last_step(output)}, from which the same command goes on"
    assert 200 <= _last_step(output) < STEPS
    _run(command)
    _assert_same_models(output, tmp_path / "whole")
