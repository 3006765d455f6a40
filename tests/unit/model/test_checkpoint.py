"""When checkpoints are saved, and which are refused."""

import json
import re
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from model.network.npz import pack, unpack
from model.training.checkpoint import Checkpoints, checkpoint_path, is_resumable, start_run
from stage.errors import StageError
from stage.manifest import MadeFrom, Manifest


class Training:
    """Two variables."""

    def state(self):
        return {"step": tf.Variable(0), "table": tf.Variable(tf.zeros([1000]))}


MADE_FROM = MadeFrom("b", {"dataset": "a"}, job_options={}, spec_differs=lambda found: f"{found.spec['seed']} there")
BEGUN = Manifest(stage="model", run_id="r", spec={"seed": 3}, spec_digest="b", inputs={"dataset": "a"})
HISTORY = np.array(json.dumps([{"step": 4, "recall@50": 0.3}, {"step": 9, "recall@50": 0.2}]))
GOOD = {"step": np.array(9), "table": np.arange(1000.0), "history": HISTORY}


@pytest.fixture
def unfinished(tmp_path):
    """The checkpoints of a training whose best validation came after step 4, the latest after step 9."""
    (tmp_path / ".unfinished").touch()
    start_run(str(tmp_path), BEGUN)
    for step in (4, 9):
        pack(checkpoint_path(str(tmp_path), step=step), GOOD)
    return tmp_path / "checkpoints"


def test_overwrite_resumes_a_training_of_the_same_too(unfinished, capsys):
    for overwrite in (False, True):
        assert is_resumable(str(unfinished.parent), Training(), made_from=MADE_FROM, overwrite=overwrite)
    assert capsys.readouterr().err == ""


def test_checkpoints_that_no_training_left_are_none_to_go_on_from(unfinished, capsys):
    (unfinished / "run.json").unlink()
    (unfinished.parent / ".unfinished").unlink()
    for overwrite in (False, True):
        assert not is_resumable(str(unfinished.parent), Training(), made_from=MADE_FROM, overwrite=overwrite)
    assert capsys.readouterr().err == ""


def test_a_training_that_has_saved_nothing_is_started_anew_by_any_other(unfinished):
    for path in unfinished.glob("*.npz"):
        path.unlink()
    assert not is_resumable(
        str(unfinished.parent), Training(), made_from=replace(MADE_FROM, spec_digest="c"), overwrite=False
    )


def test_one_checkpoint_is_in_memory_at_a_time(unfinished, monkeypatch):
    tables, alive = [], []

    def unpack_and_look(path):
        alive.append(sum(table() is not None for table in tables))
        found = unpack(path)
        tables.append(weakref.ref(found["table"]))
        return found

    monkeypatch.setattr("model.training.checkpoint.unpack", unpack_and_look)
    assert is_resumable(str(unfinished.parent), Training(), made_from=MADE_FROM, overwrite=False)
    assert alive == [0, 0]


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _change(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:4000] + bytes([whole[4000] ^ 1]) + whole[4001:])


def _with(**arrays):
    return lambda path: pack(str(path), {name: array for name, array in (GOOD | arrays).items() if array is not None})


@pytest.mark.parametrize(
    ("spoil", "step", "reason"),
    [
        (
            lambda path: path.with_name("run.json").unlink(),
            4,
            r"^\S+: holds checkpoints without run\.json, which would say of what training they are",
        ),
        (
            lambda path: path.with_name("run.json").write_text("{"),
            4,
            r"checkpoints/run\.json: not a manifest: Expecting property name [^;]*",
        ),
        (_cut, 9, r"/step-000000009\.npz: not a whole \.npz file: [^;]*"),
        (_change, 4, r"/step-000000004\.npz: not a whole \.npz file: [^;]*"),
        (Path.unlink, 4, r"/step-000000004\.npz: expected the best checkpoint, found none"),
        (_with(history=None), 9, r"/step-000000009\.npz: expected a checkpoint, found no history in it"),
        (
            _with(table=None),
            4,
            r"/step-000000004\.npz: expected table \[1000\], found nothing: trained with another spec or version",
        ),
        (
            _with(table=np.zeros(9)),
            9,
            r"/step-000000009\.npz: expected table \[1000\], found an array \[9\]: .* or version",
        ),
    ],
)
def test_what_a_training_cannot_go_on_from_is_refused_and_with_overwrite_given_up(
    unfinished, capsys, spoil, step, reason
):
    spoil(unfinished / f"step-{step:09d}.npz")
    if step == 9 and "version" not in reason:
        reason += r"; if you delete it, the same command goes on from step-000000004\.npz"
    with pytest.raises(StageError, match=f"{reason}; --overwrite starts anew, another --output keeps it$"):
        is_resumable(str(unfinished.parent), Training(), made_from=MADE_FROM, overwrite=False)
    assert not is_resumable(str(unfinished.parent), Training(), made_from=MADE_FROM, overwrite=True)
    assert re.search(f"{reason}; --overwrite starts anew\n$", capsys.readouterr().err)


def test_what_cannot_be_read_now_is_never_given_up(unfinished, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("model.network.npz.storage.open_input", fail)
    with pytest.raises(StageError, match=r"step-000000009\.npz: cannot be read: Input/output error$"):
        is_resumable(str(unfinished.parent), Training(), made_from=MADE_FROM, overwrite=True)


def test_checkpoints_are_due_by_steps_or_by_what_they_cost(monkeypatch, tmp_path):
    assert [step for step in range(10) if Checkpoints("", every=4).is_due(step)] == [4, 8]
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    by_cost = Checkpoints(str(tmp_path), every=None)
    due = {}
    for now[0] in (109.9, 110.0):
        due[now[0]] = by_cost.is_due(1)
    assert due == {109.9: False, 110.0: True}

    class Slow:
        step = tf.constant(5)

        def __array__(self, *_, **__):
            now[0] += 0.5  # seconds, so that the next is due after 50
            return np.zeros(1)

        def state(self):
            return {"table": self}

    by_cost.save(Slow(), [])
    assert now[0] == 110.5
    for now[0] in (160.4, 160.5):
        due[now[0]] = by_cost.is_due(6)
    assert (due[160.4], due[160.5]) == (False, True)
