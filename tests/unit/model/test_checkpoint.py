"""When checkpoints are saved, and which are refused."""

import numpy as np
import pytest
import tensorflow as tf

from model.checkpoint import Checkpoints, restore_checkpoint
from model.npz import pack
from stage.errors import StageError


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "step-000000001.npz"
    pack(str(path), {"step": np.array(1)})
    with pytest.raises(StageError, match=r"step-000000001\.npz: expected a checkpoint, found no history"):
        restore_checkpoint(str(tmp_path), None)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path, damage):
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "step-000000009.npz"
    pack(str(path), {"table": np.arange(1000.0), "history": np.array("[]")})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage == "cut" else whole[:4000] + b"x" + whole[4001:])
    match = r"step-000000009\.npz: not a whole .*; delete it, and the same command goes on from the start"
    with pytest.raises(StageError, match=match):
        restore_checkpoint(str(tmp_path), None)
    (tmp_path / "checkpoints" / "step-000000004.npz").write_bytes(whole)
    with pytest.raises(StageError, match=r"goes on from step-000000004\.npz"):
        restore_checkpoint(str(tmp_path), None)


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
