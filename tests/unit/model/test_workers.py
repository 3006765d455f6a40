"""Several workers, each a process of its own, train the model that one trains."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from free_ports import free_ports
from same_weights import assert_same_weights
from tf_configs import tf_config
from waiting import killed_at_the_end, wait_for

from model.network.npz import unpack
from model.train import main
from model.training.tf_config import ALONE, Worker
from model.training.training_step import TrainingStep
from model.training.workers import Workers, _meet, connect
from stage.errors import StageError, UsageError

COMMAND = """
import os, sys, keras, tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
from stage.command_line import run_command
keras.config.set_floatx(sys.argv.pop(1))
devices = int(sys.argv.pop(1))
if devices > 1:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * devices
    )
import model.train, model.training.workers
model.train.keep_best = lambda *_, **__: set()  # the last checkpoint stays too
if devices > 1 and "TF_CONFIG" in os.environ:
    of = lambda _, resolver, worker: ([f"{worker}/device:CPU:{i}" for i in range(devices)], "CPU")
    CollectiveAllReduceExtended._initialize_local_devices = of
elif devices > 1:
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    model.train.connect = lambda train, *, gpus: model.training.workers.Workers(strategy)
sys.exit(run_command(model.train.main))
"""
EVERY_CORRECTION = (
    "ssl.exclude_identical=true", "ssl.seed_per=item", "ssl.batch_size=50", "train.learnable_temperature=true",
    "train.uniform_negatives=21",
)  # fmt: skip
WHAT_REPLICAS_SHARE = {
    "cfm": EVERY_CORRECTION,
    "hashed tables": ("model.hashed_tables={page: {rows: 7}, topic: {rows: 3, hashes: 3}}",),
    "self-supervision that ends": ("ssl.decay_epochs=0.5", "ssl.batch_size=3"),
    "plain with adagrad": ("ssl.alpha=0", "train.optimizer=adagrad"),
    "feature dropout": ("ssl.augmentation=feature_dropout", "train.logq=0.5", "train.remove_accidental_hits=false"),
    # Of 4 workers one has none of the negatives.
    "masked uniform negatives": ("ssl.alpha=0", "train.item_id_dropout=0.5", "train.uniform_negatives=3"),
}


def _start(workers, dataset, output, *keys, dtype="float64", devices=1, warm_start=None):
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    sets = [word for key in keys for word in ("--set", key)]
    command = [sys.executable, "-c", COMMAND, dtype, str(devices), "--dataset", dataset.directory, "--output", output]
    command += [] if warm_start is None else ["--warm-start", warm_start]
    processes = []
    for index in range(workers):
        task = {"TF_CONFIG": tf_config({"worker": addresses}, index=index)} if workers > 1 else {}
        processes.append(
            subprocess.Popen(
                [*command, *sets], env=os.environ | task, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    return processes


def _wait(processes):
    try:
        found = [process.communicate(timeout=900) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, found, strict=True)]


def _train(*args, **options):
    ended = _wait(_start(*args, **options))
    assert [code for code, _, _ in ended] == [0] * len(ended), ended
    return ended


def _losses(output):
    history = json.loads(Path(output, "history.json").read_text())
    steps = [entry for entry in history if entry["step"]]  # of a warm start's own ranking there is no loss
    return np.array([[entry[key] for key in ("loss", "main_loss", "ssl_loss")] for entry in steps])


def _step(output):
    """Of the latest checkpoint; 0 without one."""
    return max((int(path.stem[5:]) for path in Path(output, "checkpoints").glob("*.npz")), default=0)


def _assert_same_training(output, expected, *, within=1e-9):
    """Losses, the weights that are kept, and those of the last step with all else that the next would depend on."""
    np.testing.assert_allclose(_losses(output), _losses(expected), rtol=0, atol=within)
    for file in ("weights.npz", f"checkpoints/step-{_step(expected):09d}.npz"):
        arrays = unpack(f"{expected}/{file}")
        assert {arrays[name].dtype for name in arrays.keys() - {"history"}} <= {np.dtype("f8"), np.dtype("i8")}
        assert_same_weights(unpack(f"{output}/{file}"), arrays, within)


def test_two_workers_train_what_one_does(tiny_dataset, tmp_path):
    keys = ("train.epochs=1", "train.validate_every=4", *EVERY_CORRECTION)
    _train(1, tiny_dataset, f"{tmp_path}/one", *keys)
    (_, table, _), (_, nothing, _) = _train(2, tiny_dataset, f"{tmp_path}/two", *keys)
    _assert_same_training(f"{tmp_path}/two", f"{tmp_path}/one")
    assert "recall@50" in table
    assert nothing == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", WHAT_REPLICAS_SHARE)
def test_workers_and_devices_train_what_one_does(tiny_dataset, tmp_path, name):
    keys = ("train.epochs=1", *WHAT_REPLICAS_SHARE[name])
    _train(1, tiny_dataset, f"{tmp_path}/1", *keys)
    for workers, devices in ((2, 1), (4, 1), (1, 2), (2, 2)):
        output = f"{tmp_path}/{workers} x {devices}"
        _train(workers, tiny_dataset, output, *keys, devices=devices)
        _assert_same_training(output, f"{tmp_path}/1")


@pytest.mark.slow
def test_workers_start_from_another_model_as_one_does(tiny_dataset, tmp_path):
    _train(1, tiny_dataset, tmp_path / "other", "train.seed=5", "train.epochs=1")
    options = {"warm_start": str(tmp_path / "other")}
    _train(1, tiny_dataset, tmp_path / "1", **options)
    _train(2, tiny_dataset, tmp_path / "2", **options)
    _assert_same_training(tmp_path / "2", tmp_path / "1")
    first, firsts_of_two = (json.loads((tmp_path / name / "history.json").read_text())[0] for name in ("1", "2"))
    assert first == firsts_of_two
    assert (first["step"], first["loss"]) == (0, None)


@pytest.mark.slow
def test_in_float32_losses_differ_by_rounding_alone(tiny_dataset, tmp_path):
    keys = ("train.epochs=3", "train.validate_every=1", "train.patience=null")
    for workers in (1, 2, 4):
        _train(workers, tiny_dataset, f"{tmp_path}/{workers}", *keys, dtype="float32")
    one = _losses(f"{tmp_path}/1")
    for workers in (2, 4):
        found = _losses(f"{tmp_path}/{workers}")
        np.testing.assert_allclose(found[:10], one[:10], rtol=1e-5)
        for epoch in range(0, 24, 8):
            np.testing.assert_allclose(found[epoch:][:8].mean(0), one[epoch:][:8].mean(0), rtol=1e-4)


@pytest.mark.slow
def test_in_bfloat16_losses_differ_by_its_rounding_alone(tiny_dataset, tmp_path):
    keys = ("train.epochs=2", "train.validate_every=1", "train.patience=null", "train.precision=bfloat16")
    found = {}
    for workers, devices in ((1, 1), (2, 1), (1, 2)):
        output = f"{tmp_path}/{workers} x {devices}"
        _train(workers, tiny_dataset, output, *keys, dtype="float32", devices=devices)
        found[workers, devices] = _losses(output)
    one = found.pop((1, 1))
    for losses in found.values():
        np.testing.assert_allclose(losses, one, rtol=2e-3)  # 8 significant bits; 4e-4 was seen


LONG = ("train.epochs=30", "train.patience=null", "train.validate_every=50", "train.checkpoint_every=37")
"""240 steps."""


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset, tmp_path_factory):
    output = f"{tmp_path_factory.mktemp('undisturbed')}/model"
    _train(2, tiny_dataset, output, *LONG)
    return output


def _start_and_wait_for_checkpoint(dataset, output, *, devices=1):
    before = _step(output)
    processes = _start(2, dataset, output, *LONG, devices=devices)
    wait_for(lambda: _step(output) > before, "a later checkpoint", by=processes, seconds=600)
    return processes


@pytest.mark.slow
@pytest.mark.parametrize(("number", "devices", "go_on"), [(0, 1, 2), (1, 2, 1)])
def test_interrupted_and_killed_workers_train_what_undisturbed_ones_do(
    tiny_dataset, undisturbed, tmp_path, number, devices, go_on
):
    output = f"{tmp_path}/model"
    processes = _start_and_wait_for_checkpoint(tiny_dataset, output, devices=devices)
    processes[number].send_signal(signal.SIGTERM)
    for (code, _, error), said in zip(_wait(processes), ("; saved after", " after"), strict=True):
        assert code == 75
        assert error.splitlines()[-1].startswith(f"error: interrupted{said} step {_step(output)}")
    processes = _start_and_wait_for_checkpoint(tiny_dataset, output, devices=devices)
    time.sleep(0.1)  # some steps after it
    for process in processes:
        process.kill()
    assert [code for code, _, _ in _wait(processes)] == [-signal.SIGKILL] * 2
    assert not Path(output, "manifest.json").exists()
    _train(go_on, tiny_dataset, output, *LONG, devices=devices)
    _assert_same_training(output, undisturbed, within=0 if (devices, go_on) == (1, 2) else 1e-9)


def test_workers_ask_each_other_every_ten_steps_whether_to_stop(tiny_dataset, tmp_path, monkeypatch):
    steps, asked = [], []
    over = TrainingStep.over

    def counted(training, batches):
        take_steps = over(training, batches)
        return lambda count: steps.extend(range(count)) or take_steps(count)

    monkeypatch.setattr(TrainingStep, "over", counted)
    monkeypatch.setattr(Workers, "stop_if_interrupted", lambda _: asked.append(len(steps)))
    settings = ["--set", "train.epochs=3", "--set", "train.patience=null"]
    main(["--dataset", tiny_dataset.directory, "--output", str(tmp_path / "model"), *settings])
    assert (asked, len(steps)) == ([0, 10, 20], 24)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_lost_worker_ends_the_others(tiny_dataset, tmp_path, number):
    processes = _start_and_wait_for_checkpoint(tiny_dataset, f"{tmp_path}/model")
    processes[number].kill()
    code, _, error = _wait(processes)[1 - number]
    assert code == 75
    told = rf"^error: worker {1 - number}: another worker ended or can't be reached \((?!The error could)[^\n]+\);"
    assert re.search(told, error, re.MULTILINE)  # such as "Socket closed", and not TensorFlow's advice


@pytest.mark.slow
def test_all_workers_refuse_what_the_chief_refuses(tiny_dataset, tmp_path):
    output = f"{tmp_path}/model"
    _train(1, tiny_dataset, output, "train.epochs=1")
    (first, _, of_chief), (second, _, of_other) = _wait(_start(2, tiny_dataset, output, "train.epochs=1"))
    assert (first, second) == (1, 1)
    assert of_chief.splitlines()[-1] == f"error: {output}: is finished already; --overwrite makes it again"
    assert (
        of_other.splitlines()[-1]
        == f"error: the chief failed: {output}: is finished already; --overwrite makes it again"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "said"),
    [
        ("1e38", "the loss or its gradient was not finite"),
        ("30", r"the loss was \d\S+e\+\d+, more than 1,000 times that of equal scores,"),
    ],
    ids=["not finite", "too high"],
)
def test_all_workers_stop_where_the_loss_diverges(tiny_dataset, tmp_path, rate, said):
    output = f"{tmp_path}/model"
    keys = (f"train.learning_rate={rate}", "model.normalize=false", "train.checkpoint_every=1")
    ended = _wait(_start(2, tiny_dataset, output, *keys, dtype="float32"))
    found = json.loads(Path(output, "bad_batch.json").read_text())
    for code, _, error in ended:
        assert code == 1
        assert re.match(rf"error: {said} at step {found['step']}, whose batch", error.splitlines()[-1])
    assert len(found["examples"]) == 64  # of the global batch, not of the chief's share
    assert len(found["ssl_items"]) == 60
    assert not Path(output, "manifest.json").exists()


def test_a_worker_that_waits_for_the_others_can_be_interrupted(tiny_dataset, tmp_path):
    waits, other = _start(2, tiny_dataset, f"{tmp_path}/model")
    with killed_at_the_end(waits, other):
        other.kill()
        while "waiting for the others" not in waits.stderr.readline():
            assert waits.poll() is None
        waits.send_signal(signal.SIGTERM)
        ((code, _, _),) = _wait([waits])
    assert code == 75
    assert not (tmp_path / "model").exists()


def test_a_worker_says_again_for_whom_it_waits(capsys, monkeypatch):
    monkeypatch.setattr("model.training.workers._TOLD_AGAIN_SECONDS", 0.3)
    ports = free_ports(3)
    addresses = [f"localhost:{port}" for port in ports]
    _, *others = addresses
    meeting = threading.Thread(target=_meet, args=(addresses,), kwargs={"own": 0}, daemon=True)
    with socket.create_server(("localhost", ports[1])):
        meeting.start()
        told, end = "", time.monotonic() + 30
        while told.count("still") < 2 and time.monotonic() < end:
            told += capsys.readouterr().err
            time.sleep(0.05)
        with socket.create_server(("localhost", ports[2])):
            meeting.join(30)
    assert not meeting.is_alive()
    assert told.splitlines()[:3] == [
        f"worker 0 of 3: waiting for the others ({', '.join(others)})",
        *[f"worker 0 of 3: still waiting for the others ({others[1]})"] * 2,
    ]


def test_refuses_streams_that_the_workers_cannot_share_out(tiny_dataset, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1", "b:2", "c:3"]}))
    with pytest.raises(
        UsageError, match=r"input_streams: .* multiple of the replicas \(3 workers, 1 devices each\), got 8"
    ):
        connect(tiny_dataset.spec.train)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_tf_config_is_none(tiny_dataset, monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert connect(tiny_dataset.spec.train).own == ALONE
    tf.distribute.MirroredStrategy(["CPU:0"])  # reads TF_CONFIG too


def _lose(monkeypatch, error):
    """Has the first worker of two join, and TensorFlow raise that."""

    def join():
        raise error(None, None, "Socket closed")

    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1", "b:2"]}))
    monkeypatch.setattr("model.training.workers._meet", lambda *_, **__: None)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", join)


# Kubernetes counts a failure that exits with 1, and not one with 75.
@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(tf.errors.UnavailableError, 75), (tf.errors.AbortedError, 75), (tf.errors.InternalError, 1)],
)
def test_the_same_command_goes_on_after_a_worker_was_lost(tiny_dataset, monkeypatch, error, exit_code):
    with (
        pytest.raises(StageError, match=r"^worker 1: another worker .*\(Socket closed\); .* the same command") as lost,
        Workers(own=Worker(1, ("a:1", "b:2"))).together(),
    ):
        raise error(None, None, "Socket closed")
    assert lost.value.exit_code == exit_code
    assert ("or TensorFlow failed" in str(lost.value)) == (exit_code == 1)  # it may be an error of the worker's own
    _lose(monkeypatch, error)
    with pytest.raises(StageError, match=r"^worker 0: can't join .* \(Socket closed\)") as lost:
        connect(tiny_dataset.spec.train)
    assert lost.value.exit_code == exit_code


def _show_gpus(monkeypatch, *names):
    gpus = [tf.config.PhysicalDevice(f"/physical_device:GPU:{n}", "GPU") for n in range(len(names))]
    details = dict(zip(gpus, names, strict=True))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": details[gpu]})


def test_says_what_it_trains_on(tiny_dataset, monkeypatch, capsys):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    connect(tiny_dataset.spec.train)
    assert capsys.readouterr().err == "trains on the CPU: TensorFlow sees no GPU\n"
    _show_gpus(monkeypatch, "NVIDIA L4", "NVIDIA L4")
    mirrored = tf.distribute.MirroredStrategy(["CPU:0"])
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: mirrored)
    assert connect(tiny_dataset.spec.train, gpus=2).strategy is mirrored
    assert capsys.readouterr().err == "trains on 2 x NVIDIA L4\n"


def test_refuses_to_train_on_fewer_gpus_than_were_asked_for(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    # To be tried again, unlike wrong use: a node may have lost its GPU.
    with pytest.raises(StageError, match=r"^--gpus: expected 1 or more, TensorFlow sees 0; .*/nvidia/lib64") as refused:
        main(["--dataset", tiny_dataset.directory, "--output", str(tmp_path / "model"), "--gpus", "1"])
    _show_gpus(monkeypatch, "NVIDIA L4")
    assert refused.value.exit_code == 1
    with pytest.raises(StageError, match=r"^--gpus: expected 2 or more, TensorFlow sees 1; "):
        connect(tiny_dataset.spec.train, gpus=2)
