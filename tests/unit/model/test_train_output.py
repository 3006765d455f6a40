"""What a training does where its output holds something: a model, an unfinished one, a dataset, another run's work."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from tqdm import tqdm
from training_specs import training_spec

from model.train import main, train
from model.training.checkpoint import Checkpoints
from model.training.training_loop import TrainingLoop
from model.training.workers import Workers
from stage.errors import StageError, UsageError

SHORT = "train.epochs=1"


@pytest.fixture(scope="module")
def short(tiny_dataset, tmp_path_factory):
    """A model of one epoch; beside it lies what the command printed."""
    output = tmp_path_factory.mktemp("short") / "model"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["--dataset", tiny_dataset.directory, "--output", str(output), "--json", "--set", SHORT])
    output.with_name("stdout").write_text(out.getvalue())
    return output


def test_refuses_a_finished_model_and_an_unfinished_one_of_another_spec_or_version(
    tiny_dataset, short, tmp_path, monkeypatch
):
    output = str(shutil.copytree(short, tmp_path / "model"))
    with pytest.raises(StageError, match="finished already; --overwrite"):
        train(tiny_dataset, training_spec(tiny_dataset, SHORT), output=output)
    os.replace(f"{output}/manifest.json", f"{output}/.unfinished")
    other = training_spec(tiny_dataset, SHORT, "ssl.alpha=0")
    with pytest.raises(
        StageError, match=r"training, made from another spec \(ssl.alpha is 0.3 there, 0.0 here\); --ov"
    ):
        train(tiny_dataset, other, output=output)
    with monkeypatch.context() as upgraded:
        upgraded.setattr("model.training.checkpoint.versions", lambda: {"ssl-two-tower": "0.2"})
        with pytest.raises(StageError, match=r"unfinished training of version 0\.1\.0, this is 0\.2; --over"):
            train(tiny_dataset, training_spec(tiny_dataset, SHORT), output=output)
    paced_from: list[int] = []
    monkeypatch.setattr(tqdm, "unpause", lambda shown: paced_from.append(shown.n))
    history = train(tiny_dataset, other, output=output, overwrite=True)
    assert history[-1]["ssl_loss"] == 0
    assert paced_from == [0]  # from after the first step, whose tracing isn't its pace


@pytest.fixture
def at_its_end(short, tmp_path):
    """`short` as a kill just before the manifest leaves it, so that no step is taken any more."""
    output = shutil.copytree(short, tmp_path / "at_its_end")
    os.replace(output / "manifest.json", output / ".unfinished")
    return output


def test_a_dataset_that_was_changed_meanwhile_finishes_no_model(tiny_dataset, at_its_end, tmp_path):
    """A build in place, of other terms of the same number and length."""
    dataset = shutil.copytree(tiny_dataset.directory, tmp_path / "dataset")
    path = dataset / "transform" / "transform_fn" / "assets" / "topic"
    before = path.read_bytes()
    path.write_bytes(b"jazz!-0\n" + before.removeprefix(b"topic-0\n"))
    command = ["--dataset", str(dataset), "--output", str(at_its_end), "--set", SHORT]
    sums = [hashlib.sha256(content).hexdigest() for content in (before, path.read_bytes())]
    told = (
        f"{path}: expected SHA-256 {sums[0]}, found {sums[1]}: the dataset was changed meanwhile, or damaged; see what "
        "validate says of it, and train again"
    )
    with pytest.raises(StageError, match=f"^{re.escape(told)}$"):
        main(command)
    assert not (at_its_end / "manifest.json").exists()
    path.write_bytes(before)
    (checkpoint,) = at_its_end.glob("checkpoints/*.npz")
    saved = checkpoint.stat().st_mtime_ns
    main(command)
    assert (at_its_end / "manifest.json").exists()
    assert checkpoint.stat().st_mtime_ns == saved  # what was just read is not written again


def test_a_finished_model_is_refused_before_anything_of_the_dataset_is_read(tiny_dataset, short, tmp_path, capsys):
    dataset = shutil.copytree(tiny_dataset.directory, tmp_path / "dataset")
    for path in dataset.glob("items/*"):
        path.write_bytes(b"?" * path.stat().st_size)
    with pytest.raises(StageError, match="finished already; --overwrite makes it again"):
        main(["--dataset", str(dataset), "--output", str(short), "--set", SHORT])
    (said,) = capsys.readouterr().err.splitlines()  # and no table of the memory that it would take
    assert said.startswith("trains on the ")


def test_streams_that_cannot_be_shared_out_are_refused_before_the_output_is_taken(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Workers, "replicas", 2)
    spec = training_spec(tiny_dataset, "train.batch_size=60", "train.input_streams=3")
    told = r"2 replicas can't share out the 8 files .* as 3 streams; set it to 2 or 4, or train"
    with pytest.raises(UsageError, match=told):
        train(tiny_dataset, spec, output=str(tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_never_trains_into_a_dataset(tiny_dataset, tmp_path):
    copied = tmp_path / "dataset"
    shutil.copytree(tiny_dataset.directory, copied)
    before = sorted(copied.rglob("*"))
    with pytest.raises(StageError, match="or a model to make again, found a finished dataset; give another --output"):
        main(["--dataset", str(copied), "--output", str(copied), "--overwrite"])
    assert sorted(copied.rglob("*")) == before


@pytest.mark.parametrize("lost_after", ["step 2", "step 4", "the last step"])
def test_a_training_that_another_one_has_taken_over_writes_no_more(
    tiny_dataset, at_its_end, tmp_path, monkeypatch, lost_after
):
    """It would next save step 4, write the history of step 5, or write the model's weights."""
    output, keys = tmp_path / "model", ("ssl.alpha=0", "train.checkpoint_every=2", "train.validate_every=5")
    if lost_after == "the last step":
        output, keys = at_its_end, ()
    save, run, left = Checkpoints.save, TrainingLoop.run, {}

    def files():
        paths = [p for p in output.rglob("*") if p.is_file() and p.parent.name != "logs"]
        return {path: path.stat().st_mtime_ns for path in paths}

    def lose():
        (output / ".unfinished").write_text('{"stage": "model", "run_id": "another"}')
        left.update(files())

    def save_and_lose(checkpoints, training, history):
        save(checkpoints, training, history)
        if lost_after == f"step {int(training.step)}":
            lose()

    def run_and_lose(loop):
        history = run(loop)
        if lost_after == "the last step":
            lose()
        return history

    monkeypatch.setattr(Checkpoints, "save", save_and_lose)
    monkeypatch.setattr(TrainingLoop, "run", run_and_lose)
    with pytest.raises(StageError, match=f"^{output}: another run was started into it meanwhile and has taken it over"):
        train(tiny_dataset, training_spec(tiny_dataset, SHORT, *keys), output=str(output))
    assert files() == left


def test_a_finished_model_of_the_same_is_skipped_and_none_of_another(
    tiny_dataset, short, tmp_path, capsys, monkeypatch
):
    output = str(shutil.copytree(short, tmp_path / "model"))
    command = ["--dataset", tiny_dataset.directory, "--output", output, "--skip-done", "--set", SHORT]
    before = Path(output, "manifest.json").read_bytes()
    printed = short.with_name("stdout").read_text()
    main([*command, "--overwrite", "--json", "--set", "evaluate.batch_size=7"])
    assert capsys.readouterr() == (printed, f"train: done before, in {output}\n")
    assert json.loads(printed)["step"] == 8
    worker = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    with monkeypatch.context() as second:
        second.setenv("TF_CONFIG", json.dumps(worker))
        main([*command, "--json"])
    assert capsys.readouterr().out == ""
    main(command)
    *table, end, few = capsys.readouterr().out.splitlines()
    assert "Validations of" in table[0]
    (best,) = (line for line in table if "*" in line)
    recall = f"{json.loads(printed)['recall@50']:.3f}"
    assert recall in best
    assert end == (
        f"kept: step 8, recall@50 {recall}; ended after train.epochs (1); the last validation was the best, so more "
        "epochs may help"
    )
    assert few == "an epoch has only 8 steps of 64: a smaller train.batch_size may find more"
    assert Path(output, "manifest.json").read_bytes() == before
    another = "finished already, made from another spec (ssl.alpha is 0.3 there, 0.0 here); --overwrite makes it again"
    with pytest.raises(StageError, match=re.escape(another)):
        main([*command, "--set", "ssl.alpha=0"])
    Path(output, "weights.npz").write_bytes(b"")
    main([*command, "--overwrite"])
    assert Path(output, "weights.npz").stat().st_size > 0
