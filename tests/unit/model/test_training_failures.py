"""What a training says where it can't go on."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from training_specs import Rig, batches_of, training_spec

from model.network.corpus import read_corpus
from model.network.diverged import Diverged
from model.train import main, train
from model.training.losses import in_batch_softmax
from model.training.memory import ExamplesSize
from model.training.training_step import TrainingStep
from model.training.uniform_items import uniform_items
from model.training.workers import Workers
from stage.errors import Interrupted, StageError


def test_stops_where_the_loss_is_not_finite(tiny_dataset, tmp_path):
    keys = (
        "train.learning_rate=1e38",
        "model.normalize=false",
        "train.checkpoint_every=1",
        "train.uniform_negatives=5",
    )
    spec = training_spec(tiny_dataset, *keys)
    with pytest.raises(Diverged, match=r"not finite at step \d, whose batch stands in .*: lower train.learning_rate"):
        train(tiny_dataset, spec, output=str(tmp_path / "model"))
    assert not (tmp_path / "model" / "manifest.json").exists()
    found = json.loads((tmp_path / "model" / "bad_batch.json").read_text())
    step = found["step"]
    # Saved after every step, but not after the bad one.
    assert max(int(path.stem[5:]) for path in (tmp_path / "model").glob("checkpoints/*.npz")) == step
    batch = next(iter(batches_of(tiny_dataset, spec.train).skip(step))).apart()
    corpus = read_corpus(tiny_dataset)
    assert [corpus.ids.index(e["item_id"].encode()) for e in found["examples"]] == _codes(batch.item)
    assert [corpus.ids.index(e["query_id"].encode()) for e in found["examples"]] == _codes(batch.query)
    drawn = next(uniform_items(corpus, spec=spec, start_step=step).as_numpy_iterator())
    assert len(drawn.ssl) == 60
    assert len(drawn.negatives) == 5
    assert [corpus.ids.index(i.encode()) for i in found["ssl_items"]] == drawn.ssl.tolist()
    assert [corpus.ids.index(i.encode()) for i in found["uniform_negatives"]] == drawn.negatives.tolist()


def test_a_worker_that_is_interrupted_promises_only_what_the_chief_does(tiny_dataset, tmp_path, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("model.training.training_loop.check_interrupted", interrupt)
    monkeypatch.setattr(Workers, "is_chief", False)
    said = "interrupted after step 0; the chief saves, and the same command goes on from there"
    with pytest.raises(Interrupted, match=f"^{said}$"):
        train(tiny_dataset, training_spec(tiny_dataset), output=str(tmp_path / "model"))
    assert not list((tmp_path / "model").glob("checkpoints/*.npz"))


def test_stops_where_the_loss_diverges_though_it_is_finite(tiny_dataset, tmp_path):
    """Trained to its end, losses were of 1e12, and no step's was anything but a number."""
    keys = ("train.learning_rate=30", "model.normalize=false", "train.temperature=1.0", "train.epochs=1")
    path = tmp_path / "model" / "bad_batch.json"
    said = (
        r"^the loss was \d\.\d+e\+1[12], more than 1,000 times that of equal scores, at step 1, whose batch stands in "
        rf"{path}: lower train.learning_rate, or raise train.temperature; what was trained so far can't be gone on "
        "from under other settings: give another --output, or --overwrite$"
    )
    sets = [word for key in keys for word in ("--set", key)]
    with pytest.raises(Diverged, match=said):
        main(["--dataset", tiny_dataset.directory, "--output", str(tmp_path / "model"), *sets])
    assert json.loads(path.read_text())["step"] == 1


def test_a_loss_diverges_beyond_1000_times_the_logarithm_of_its_columns(tiny_dataset, monkeypatch):
    """log(64 + 5) = 4.2341 for L_main, log(20) = 2.9957 for L_self."""
    main, ssl = tf.Variable(0.0, trainable=False), tf.Variable(0.0, trainable=False)
    monkeypatch.setattr("model.training.training_step.in_batch_softmax", lambda *_, **__: main.read_value())
    monkeypatch.setattr("model.training.training_step.contrastive", lambda *_, **__: ssl.read_value())
    rig = Rig(tiny_dataset, "ssl.augmentation=rfm", "ssl.batch_size=20", "train.uniform_negatives=5")
    training, take_steps = rig.training, rig.steps()

    def after_a_step(of_main, of_ssl):
        main.assign(of_main)
        ssl.assign(of_ssl)
        take_steps(1)
        return int(training.first_bad_step.numpy()), float(training.diverged_loss.numpy())

    assert after_a_step(4234.0, 2995.0) == (-1, 0)
    assert after_a_step(1.0, 2996.0) == (1, 2996)
    assert after_a_step(9000.0, 1.0) == (1, 2996)
    training.first_bad_step.assign(-1)
    assert after_a_step(4235.0, 1.0) == (3, 4235)


def test_a_gradient_that_is_not_finite_is_told_though_the_losses_are(tiny_dataset, monkeypatch):
    @tf.custom_gradient
    def lose_gradient(loss):
        return loss, lambda upstream: upstream * float("nan")

    monkeypatch.setattr(
        "model.training.training_step.in_batch_softmax",
        lambda *given, **named: lose_gradient(in_batch_softmax(*given, **named)),
    )
    rig = Rig(tiny_dataset, "ssl.alpha=0")
    assert np.isfinite(rig.steps()(1)).all()
    assert int(rig.training.first_bad_step.numpy()) == 0


def _beyond_memory(step):
    """The real error, for which TensorFlow waits ten seconds."""
    many = tf.ones([1 << 22, 1]) * tf.cast(step, tf.float32)
    return tf.matmul(many, many, transpose_b=True)


def _fails(error, message):
    def fail(_):
        raise error(None, None, message)

    return fail


_NO_ROOM = "a step on 64 examples: it doesn't fit into memory"
_LOWER = r"lower train\.batch_size \(64\), ssl\.batch_size or train\.uniform_negatives"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        pytest.param(
            _beyond_memory,
            rf"{_NO_ROOM} \(OOM when allocating tensor with shape\[4194304,.*\); {_LOWER}$",
            marks=pytest.mark.slow,
        ),
        (
            _fails(tf.errors.ResourceExhaustedError, "OOM when allocating tensor with shape[9] [Op:MatMul]"),
            rf"{_NO_ROOM} \(OOM when allocating tensor with shape\[9\]\); {_LOWER}$",
        ),
        (
            lambda step: tf.gather([0.0, 0.0], step + 5),
            r"after step 0 TensorFlow failed \(indices = 5 is not in \[0, 2\)\); --verbose shows where$",
        ),
        (
            _fails(tf.errors.InternalError, "Blas xGEMM launch failed [Op:MatMul]"),
            r"after step 0 TensorFlow failed \(Blas xGEMM launch failed\); --verbose shows where$",
        ),
        (
            _fails(tf.errors.UnavailableError, "Error executing an HTTP request\n\t [[{{node IteratorGetNext}}]]"),
            r".*/dataset: a file can't be read now \(Error executing an HTTP request\); the same command tries again$",
        ),
    ],
)
def test_a_step_that_tensorflow_cannot_do_is_no_matter_of_the_files(
    tiny_dataset, tmp_path, monkeypatch, result, message
):
    def run(self, _):
        return tf.zeros([3]) + tf.reduce_max(result(self.step.read_value()))

    monkeypatch.setattr(TrainingStep, "_run_replicas", run)
    with pytest.raises(StageError, match=rf"^{message}"):
        train(tiny_dataset, training_spec(tiny_dataset), output=str(tmp_path / "model"))


def test_a_validation_that_needs_too_much_memory_is_no_matter_of_the_batch(tiny_dataset, tmp_path, monkeypatch):
    def run(self, *_):
        self.step.assign_add(1)
        return tf.zeros([3])

    monkeypatch.setattr(TrainingStep, "_run_replicas", run)
    fail = _fails(tf.errors.ResourceExhaustedError, "OOM when allocating tensor with shape[9] [Op:MatMul]")
    monkeypatch.setattr("model.train.make_validation", lambda *_, **__: partial(fail, None))
    with pytest.raises(StageError, match=r"^a validation: it doesn't fit into memory .*lower the last number of model"):
        train(tiny_dataset, training_spec(tiny_dataset), output=str(tmp_path / "model"))


def test_a_record_that_a_step_cannot_read_is_a_matter_of_the_files(make_dataset, tmp_path, monkeypatch):
    # A validation reads training pairs too, and what is kept is read before the first step.
    monkeypatch.setattr("model.train.make_validation", lambda *_, **__: dict)
    monkeypatch.setattr("model.train.examples_size", lambda *_, **__: ExamplesSize(streaming=1))
    monkeypatch.setattr("model.training.training_examples._kept", lambda *_, **__: pytest.fail("it keeps them"))
    dataset = make_dataset(corrupt=True)
    with pytest.raises(StageError, match=r"/dataset: a record can't be read \(inflate\(\) failed .*--verify names"):
        train(dataset, training_spec(dataset), output=str(tmp_path / "model"))


def _codes(features):
    """Of pages, which are in the order of the corpus."""
    return next(values for key, values in features.items() if key.endswith("/page")).values.numpy().tolist()


def test_a_cut_shard_is_named(make_dataset, tmp_path):
    directory = make_dataset().directory
    shard = sorted(Path(directory, "train").iterdir())[3]
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(StageError, match=rf"{shard}: expected \d+ bytes, found \d+; make it again"):
        main(["--dataset", directory, "--output", str(tmp_path / "model")])


def test_tables_that_cannot_be_made_are_one_line(tiny_dataset, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr("model.train.TwoTower", fail)
    with pytest.raises(StageError, match=r"^embedding tables and optimizer: .*OOM when .*; lower model\.embedding_dim"):
        train(tiny_dataset, training_spec(tiny_dataset), output=str(tmp_path / "model"))
