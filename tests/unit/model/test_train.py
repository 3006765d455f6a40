"""The whole training on a small dataset: what it leaves, what it repeats, how it stops and goes on."""

import hashlib
import json
import re
import shutil
import signal
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from peak_memory import with_peak
from same_weights import assert_same_weights
from tensorflow.python.framework.config import is_op_determinism_enabled
from training_specs import training_spec

from model.network.corpus import read_corpus
from model.network.npz import pack, unpack
from model.network.two_tower import TwoTower, load_model
from model.train import _content, main, train
from model.training.checkpoint import Checkpoints
from model.training.softmax_loss import softmax_loss
from model.training.training_end import is_out_of_patience
from model.training.training_history import best_of
from model.training.training_step import TrainingStep
from stage.command_line import run_command
from stage.errors import StageError, UsageError
from stage.manifest import Manifest


def _weights(output):
    return unpack(f"{output}/weights.npz")


def test_leaves_what_evaluation_needs(trained, tiny_dataset):
    manifest = Manifest.read(trained, "model", verify=True)
    assert manifest.inputs == {"dataset": tiny_dataset.manifest.content_digest}
    assert manifest.transform_digest == "tiny transform"
    assert manifest.counts["steps"] == 24  # 3 epochs of 500 / 64, rounded up
    names = {file.name for file in manifest.files}
    assert {"weights.npz", "history.json", "transform/placeholder.txt"} <= names
    assert list(Path(trained, "logs").glob("events.out.tfevents*"))
    assert not any(name.startswith("logs/") for name in names)  # so that they may be deleted

    history = json.loads(Path(trained, "history.json").read_text())
    assert [entry["step"] for entry in history] == [8, 16, 24]
    best = history[best_of(history)]["step"]
    assert manifest.counts["best_step"] == best
    assert [name for name in names if name.startswith("checkpoints/step")] == [f"checkpoints/step-{best:09d}.npz"]
    assert history[-1].keys() == {
        "step", "loss", "main_loss", "ssl_loss", "recall@10", "recall@50", "examples/s",
        "recall@50/head", "recall@50/tail", "recall@50/cold", "uniformity", "alignment",
        "row_norm/page", "row_norm/topic", "row_norm/item_words",
    }  # fmt: skip
    for entry in history:
        assert entry["loss"] == pytest.approx(entry["main_loss"] + 0.3 * entry["ssl_loss"], rel=1e-5)
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["recall@10"] > 0.42  # popularity alone: 21 of 50


def test_a_loaded_model_has_the_weights_of_the_best_validation(trained, tiny_dataset):
    two_tower = load_model(trained)
    assert_same_weights({name: v.numpy() for name, v in two_tower.weights().items()}, _weights(trained))
    assert two_tower.encode_items(read_corpus(tiny_dataset).features).shape == (60, 8)


def test_weights_are_hashed_one_array_in_memory_at_a_time(tmp_path):
    path = str(tmp_path / "weights.npz")
    pack(path, {"b": np.arange(3, dtype="<f4").reshape(3, 1), "a": np.array(7, "<i8")})
    read = b"a()int64\x07" + bytes(7) + b"b(3, 1)float32" + bytes(6) + b"\x80\x3f" + bytes(3) + b"\x40"  # 7; 0, 1, 2
    assert _content(path) == (hashlib.sha256(read).hexdigest(), 4)

    pack(path, {name: np.zeros([2, 1 << 20], np.float32) for name in "abc"})  # 8 MiB each
    content, peak = with_peak(lambda: _content(path))
    assert content[1] == 6 << 20
    assert 8 << 20 <= peak < 12 << 20


def _interrupt_in_the_step_after(monkeypatch, steps, *, becomes):
    """Becomes nothing, or another error: as in TensorFlow now and then. Returns whence trainings begin, each call's."""
    began = []

    def over(training, batches):
        began.append(int(training.step.numpy()))
        compiled = compile_step(training, batches)

        def take_steps(count):
            assert count == 1
            if int(training.step.numpy()) == steps:
                with suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
                if becomes is not None:
                    raise becomes
            return compiled(count)

        return take_steps

    monkeypatch.undo()
    compile_step = TrainingStep.over
    monkeypatch.setattr(TrainingStep, "over", over)
    monkeypatch.setattr("model.training.steps_at_once._SECONDS", 0.0)
    return began


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_goes_on_after_an_interruption_to_the_same_weights(
    trained, tiny_dataset, tmp_path, capsys, monkeypatch, precision
):
    whole, last, keys = Path(trained), Path(trained).with_name("at_step_24"), ()
    if precision != "float32":
        monkeypatch.setattr("model.train.keep_best", lambda *_, **__: set())
        whole = last = tmp_path / "whole"
        keys = (f"train.precision={precision}", "train.uniform_negatives=21")
        train(tiny_dataset, training_spec(tiny_dataset, *keys), output=str(whole))
    output = tmp_path / "stopped"
    sets = [word for key in keys for word in ("--set", key)]
    command = ["--dataset", tiny_dataset.directory, "--output", str(output), *sets]
    # Between the ends of epochs, the steps 8, 16 and 24, after which it validates.
    others = ((0, 12, KeyboardInterrupt, 12), (12, 15, SystemError("bad argument to internal function"), 15))
    for start, steps, becomes, saved in (*others, (15, 18, None, 19)):
        began = _interrupt_in_the_step_after(monkeypatch, steps, becomes=becomes)
        assert run_command(main, command) == 75
        assert began == [start]
        said = f"error: interrupted; saved after step {saved}, from which the same command goes on\n"
        assert capsys.readouterr().err.endswith(said)
        assert not (output / "manifest.json").exists()
        latest = max((output / "checkpoints").glob("*.npz"))
        assert int(unpack(str(latest))["step"]) == saved
    monkeypatch.undo()
    monkeypatch.setattr("model.train.keep_best", lambda *_, **__: set())
    assert run_command(main, command) == 0
    assert_same_weights(*(unpack(f"{o}/checkpoints/step-000000024.npz") for o in (output, last)))
    assert_same_weights(_weights(output), _weights(whole))
    history, of_whole = (json.loads((folder / "history.json").read_text()) for folder in (output, whole))
    for entry in [*history, *of_whole]:
        del entry["examples/s"]
    assert history == of_whole
    assert is_op_determinism_enabled()  # for more cores than one, on which sums come in any order


def test_bfloat16_trains_alike(trained, tiny_dataset, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "model.training.losses.softmax_loss", lambda *a, **k: asked.append(k["precision"]) or softmax_loss(*a, **k)
    )
    half = train(tiny_dataset, training_spec(tiny_dataset, "train.precision=bfloat16"), output=str(tmp_path / "half"))
    assert asked == ["bfloat16"] * 2  # of both losses, traced once
    full = json.loads(Path(trained, "history.json").read_text())
    for key in ("main_loss", "ssl_loss"):  # bfloat16 has 8 significant bits; float32 alone differs by 1e-7
        losses = np.array([[entry[key] for entry in history] for history in (half, full)])
        np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
        assert np.abs(losses[0] - losses[1]).max() > 1e-5
    assert {array.dtype.name for name, array in _weights(tmp_path / "half").items()} == {"float32"}


def test_a_kill_goes_on_from_the_last_checkpoint(tiny_dataset, tmp_path, trained):
    """As after SIGKILL: no manifest, a checkpoint, files of later steps, and one that was being written."""
    output = tmp_path / "killed"
    shutil.copytree(Path(trained).with_name("at_step_8"), output)
    began = (output / "checkpoints" / "run.json").stat().st_mtime_ns
    (output / "weights.npz").write_bytes(b"of a later step")
    (output / "checkpoints" / "step-000000020.npz.0123abcd.tmp").write_bytes(b"half of a later")
    history = train(tiny_dataset, training_spec(tiny_dataset), output=str(output))
    assert not list(output.rglob("*.tmp"))
    assert (output / "checkpoints" / "run.json").stat().st_mtime_ns == began  # what need not be written can't be lost
    assert [entry["step"] for entry in history] == [8, 16, 24]
    assert history[0] == json.loads(Path(trained, "history.json").read_text())[0]  # its speed too: not trained again
    assert_same_weights(_weights(output), _weights(trained))


def test_a_checkpoint_that_is_no_use_is_refused_and_with_overwrite_training_starts_anew(
    tiny_dataset, tmp_path, trained, capsys
):
    output = tmp_path / "damaged"
    shutil.copytree(Path(trained).with_name("at_step_8"), output)
    path = output / "checkpoints" / "step-000000008.npz"
    arrays = dict(unpack(str(path)))
    # The last that is assigned is missing, as in a checkpoint of other code.
    pack(str(path), {name: array for name, array in arrays.items() if name != "totals"})
    reason = f"{path}: expected totals [3], found nothing: trained with another spec or version"
    reason += "; --overwrite starts anew"
    with pytest.raises(StageError, match=f"^{re.escape(reason)}, another --output keeps it$"):
        train(tiny_dataset, training_spec(tiny_dataset), output=str(output))
    history = train(tiny_dataset, training_spec(tiny_dataset), output=str(output), overwrite=True)
    assert f"{reason}\n" in capsys.readouterr().err
    assert [entry["step"] for entry in history] == [8, 16, 24]
    assert_same_weights(_weights(output), _weights(trained))


def test_alpha_zero_does_no_work_of_the_ssl_task(make_dataset, tmp_path):
    """No key of the task makes a difference, nor does a damaged mutual information; no item is drawn for it."""
    dataset = make_dataset(spec={"query": {"features": {"topic": {"kind": "categorical", "vocabulary": "topic"}}}})
    plain = training_spec(dataset, "ssl.alpha=0", "train.epochs=1")
    train(dataset, plain, output=str(tmp_path / "a"))
    train(dataset, training_spec(dataset, "train.epochs=1"), output=str(tmp_path / "ssl"))
    information = Path(dataset.directory, "mutual_information.json")
    information.write_bytes(b"?" * information.stat().st_size)
    other = training_spec(dataset, "ssl.alpha=0", "train.epochs=1", "ssl.augmentation=cfm", "ssl.dropout_rate=0.9")
    train(dataset, other, output=str(tmp_path / "b"))
    assert_same_weights(_weights(tmp_path / "a"), _weights(tmp_path / "b"))
    # Queries show no page here, and the last five items are in no training pair.
    untrained = TwoTower(plain, dataset.manifest.vocabularies).weights()["table/page"].numpy()
    main_alone, with_ssl = (
        np.any(_weights(tmp_path / name)["table/page"] != untrained, axis=1) for name in ("a", "ssl")
    )
    assert main_alone[:-5].any()
    assert not main_alone[-5:].any()
    assert with_ssl[-5:].all()  # whatever comes of the task moves them


@pytest.mark.parametrize(
    "keys",
    [
        ("ssl.augmentation=dropout", "train.learnable_temperature=true", "ssl.temperature=0.3"),
        *(
            pytest.param(keys, marks=pytest.mark.slow)
            for keys in (
                ("ssl.augmentation=rfm", "ssl.complement=false", "ssl.seed_per=item"),
                ("ssl.augmentation=cfm", "ssl.exclude_identical=true", "ssl.seed_per=item", "ssl.mask_id=false"),
                ("ssl.augmentation=spread_out", "train.optimizer=adagrad", "ssl.batch_size=1000"),
                ("ssl.augmentation=feature_dropout", "train.remove_accidental_hits=false", "train.logq=0.5"),
            )
        ),
    ],
    ids=lambda keys: keys[0],
)
def test_every_variant_trains(tiny_dataset, tmp_path, keys):
    history = train(tiny_dataset, training_spec(tiny_dataset, *keys), output=str(tmp_path / "model"))
    assert history[-1]["main_loss"] < history[0]["main_loss"]
    assert (history[-1]["ssl_loss"] > 0) == ("feature_dropout" not in keys[0])
    temperatures = [_weights(tmp_path / "model")[f"log_temperature/{loss}"] for loss in ("main", "ssl")]
    if "train.learnable_temperature=true" in keys:
        assert abs(temperatures[0] - np.log(0.1)) > 1e-3
        assert abs(temperatures[1] - np.log(0.3)) > 1e-3
    else:
        np.testing.assert_allclose(temperatures, np.log(0.1), rtol=1e-6)


def test_what_only_the_ssl_task_has_is_trained_as_long_as_alpha_says(tiny_dataset, tmp_path):
    spec = training_spec(tiny_dataset, "ssl.projection_head=4", "ssl.decay_epochs=1", "train.item_id_dropout=0.3")
    first, *later = train(tiny_dataset, spec, output=str(tmp_path / "model"))
    assert first["loss"] > first["main_loss"] + 0.1
    # From step 500 / 64 = 7.8 on it is 0, and the first validation comes after 8 steps.
    assert [entry["loss"] for entry in later] == [entry["main_loss"] for entry in later]
    assert [entry["ssl_loss"] for entry in later] == [0, 0]
    before = TwoTower(spec, tiny_dataset.manifest.vocabularies).weights()["projection_head/1/kernel"]
    assert not np.array_equal(before, _weights(tmp_path / "model")["projection_head/1/kernel"])


def test_weight_decay_shrinks_every_weight_but_the_temperatures(tiny_dataset, tmp_path):
    """One step at rate 0.01 and decay 5 leaves 5% less of each weight than the step alone; of rows, those moved."""
    keys = ("train.batch_size=512", "train.epochs=1", "train.learnable_temperature=true", "ssl.alpha=0")
    start = TwoTower(training_spec(tiny_dataset, *keys), tiny_dataset.manifest.vocabularies).weights()
    train(tiny_dataset, training_spec(tiny_dataset, *keys), output=str(tmp_path / "a"))
    train(tiny_dataset, training_spec(tiny_dataset, *keys, "train.weight_decay=5"), output=str(tmp_path / "b"))
    without, found = _weights(tmp_path / "a"), _weights(tmp_path / "b")
    for name, weight in start.items():
        shrunk = 0 if name.startswith("log_temperature/") else 0.05 * weight.numpy()
        if name.startswith("table/"):
            shrunk *= np.any(without[name] != weight.numpy(), axis=1, keepdims=True)
        np.testing.assert_allclose(found[name], without[name] - shrunk, atol=1e-6, err_msg=name)


def test_stops_when_validation_no_longer_gets_better(tiny_dataset, tmp_path, capsys):
    spec = training_spec(tiny_dataset, "train.epochs=500", "train.patience=2", "train.validate_every=2")
    history = train(tiny_dataset, spec, output=str(tmp_path / "model"))
    best = best_of(history)
    assert len(history) == best + 3
    assert history[best]["recall@50"] == max(entry["recall@50"] for entry in history)
    assert history[-1]["step"] < 500 * 8
    shown = capsys.readouterr().err.splitlines()[-1]
    assert "train: 100%" in shown  # less would look like an abort
    assert "loss=" in shown
    output = tmp_path / "model"
    weights = _weights(output)
    (kept,) = map(unpack, map(str, output.glob("checkpoints/*.npz")))
    assert int(kept["step"]) == history[best]["step"]
    assert_same_weights(weights, {name: kept[name] for name in weights})
    # After a kill just before the manifest the last steps are taken again.
    (output / "manifest.json").rename(output / ".unfinished")
    again = train(tiny_dataset, spec, output=str(output))
    assert [entry | {"examples/s": 0} for entry in again] == [entry | {"examples/s": 0} for entry in history]
    assert_same_weights(_weights(output), weights)


def _scalars(logs):
    """TensorBoard's: tag -> {step: value}."""
    found = {}
    for path in sorted(Path(logs).glob("events.out.tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_tensorboard_shows_what_the_history_says_and_how_the_training_goes(trained):
    history = json.loads(Path(trained, "history.json").read_text())
    found = _scalars(Path(trained, "logs"))
    validated = {tag.removeprefix("validation/"): values for tag, values in found.items() if "validation/" in tag}
    losses = ("loss", "main_loss", "ssl_loss")
    measured = {name for name, value in history[0].items() if value is not None}
    assert validated.keys() == measured - {"step", "examples/s", *losses}
    for name, values in validated.items():
        assert values == {entry["step"]: pytest.approx(entry[name], rel=1e-6) for entry in history}
    reported = {tag.removeprefix("train/"): values for tag, values in found.items() if "train/" in tag}
    assert reported.keys() == {
        *losses, "examples_per_second", "learning_rate", "gradient_norm_rows", "gradient_norm_dense",
        "temperature_main", "temperature_ssl",
    }  # fmt: skip
    assert all(values.keys() == {8, 16, 24} for values in reported.values())
    last = {name: values[24] for name, values in reported.items()}
    assert last["loss"] == pytest.approx(last["main_loss"] + 0.3 * last["ssl_loss"], rel=1e-5)
    assert (last["learning_rate"], last["temperature_main"]) == pytest.approx((0.01, 0.1), rel=1e-5)
    assert min(last[name] for name in ("examples_per_second", "gradient_norm_rows", "gradient_norm_dense")) > 0


def test_it_prints_the_best_validation_as_json(trained):
    history = json.loads(Path(trained, "history.json").read_text())
    assert json.loads(Path(trained).with_name("stdout").read_text()) == history[best_of(history)]


def test_without_validation_pairs_the_last_weights_are_the_best(make_dataset, tmp_path, monkeypatch):
    dataset = make_dataset(validation=False)
    saved, save = [], Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda *given: saved.append(int(given[1].step)) or save(*given))
    monkeypatch.setattr("model.training.training_loop._REPORT_EVERY", 1)
    # A step takes a second.
    monkeypatch.setattr("model.training.training_pace.time", SimpleNamespace(perf_counter=count().__next__))
    keys = ("train.checkpoint_every=2", "train.validate_every=4", "train.optimizer=adagrad")
    spec = training_spec(dataset, "train.epochs=1", "ssl.alpha=0", *keys)
    history = train(dataset, spec, output=str(tmp_path / "model"))
    assert not [name for name in history[0] if name.startswith("recall")]
    load_model(str(tmp_path / "model"))
    # Once each, though at step 4 a checkpoint is due as well, and step 8 is the end too.
    assert saved == [2, 4, 6, 8]
    # Adagrad adds up the squares of all gradients, from 0.1 on; of dense weights behind its steps and its rate.
    state, told = unpack(f"{tmp_path}/model/checkpoints/step-000000008.npz"), _scalars(tmp_path / "model" / "logs")
    for part, prefix in (("rows", "row_optimizer/"), ("dense", "dense_optimizer/")):
        sums = [v for name, v in state.items() if name.startswith(prefix) and v.ndim]
        norms = np.array(list(told[f"train/gradient_norm_{part}"].values()))
        assert (len(norms), np.sum(norms**2)) == (8, pytest.approx(sum(np.sum(v - 0.1) for v in sums), rel=1e-3))
    # What a validation tells is of the steps since the one before, 64 examples each.
    losses = [told["train/main_loss"][step] for step in (5, 6, 7, 8)]
    assert history[1]["main_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert [entry["examples/s"] for entry in history] == [64, 64]


def test_best_is_the_first_of_equals():
    assert best_of([{"recall@50": v} for v in (0.1, 0.3, 0.3, 0.2)]) == 1
    assert best_of([{"step": 1}, {"step": 2}]) == 1


def test_of_equal_recall_at_50_the_recall_at_10_decides_and_patience_counts_from_there():
    history = [{"recall@50": 1.0, "recall@10": v} for v in (0.2, 0.6, 0.6, 0.5)]
    history.insert(0, {"recall@50": 0.9, "recall@10": 0.9})
    assert best_of(history) == 2
    assert not is_out_of_patience(history, 3)
    assert is_out_of_patience(history, 2)


def test_refuses_masks_of_too_few_features_before_it_starts(tiny_dataset, make_dataset, tmp_path):
    features = tiny_dataset.manifest.spec["item"]["features"]
    directory = make_dataset(spec={"item": {"features": {"topic": features["topic"]}}}).directory
    for augmentation in ("rfm", "cfm", "dropout"):
        arguments = ["--dataset", directory, "--output", str(tmp_path / "model")]
        with pytest.raises(UsageError, match=r"ssl\.augmentation: "):
            main([*arguments, "--set", f"ssl.augmentation={augmentation}"])
    assert not (tmp_path / "model").exists()
