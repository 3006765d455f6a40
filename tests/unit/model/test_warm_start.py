"""Which models a training may start from; tests/integration/test_two_days.py starts from one."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from same_weights import assert_same_weights
from training_specs import training_spec

from features.dataset import Dataset, EncodedFeature
from features.spec.file import build_spec, load_spec
from features.spec.spec import Spec
from model.network.finished_model import FinishedModel
from model.network.npz import pack, unpack
from model.ranking.held_out import why_seen
from model.train import train
from model.training.checkpoint import checkpoint_path
from model.training.training_history import best_entry, read_history
from model.training.warm_start import _default, _indices_before, carry_over, open_warm_start
from stage.errors import Interrupted, StageError
from stage.manifest import Manifest


def spec_of(**split: Any) -> Spec:
    """Debian's with times and another split, its keys in the order of a manifest."""
    tree = json.loads(json.dumps(load_spec("debian").model_dump(mode="json"), sort_keys=True))
    tree["sources"]["interactions"]["timestamp"] = "at"
    tree["split"] |= split
    return build_spec(tree, source="test")


def write_model(directory: Path, spec: Spec, **job_options: str) -> str:
    made = Manifest(stage="model", run_id="r", spec=spec.model_dump(mode="json"), job_options=dict(job_options))
    made.write(str(directory))
    return str(directory)


def dataset_of(spec: Spec, test_start: str | None = None, **inputs: str) -> Dataset:
    options = {} if test_start is None else {"test_start": test_start}
    return Dataset("dataset", Manifest(stage="dataset", run_id="r", job_options=options, inputs=dict(inputs)), spec)


def test_a_model_that_was_trained_on_what_is_held_out_by_hash_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", spec_of(), data_end="2009-07-28")
    alike = spec_of(train_fraction=0.1, max_train_pairs_per_query=3)
    assert open_warm_start(model, alike, dataset=dataset_of(alike)).directory == model
    for split, found in (
        ({"seed": 1}, "split.seed was 0, is 1"),
        ({"validation": 0.05, "test": 0.2}, "split.validation was 0.03, is 0.05; split.test was 0.1, is 0.2"),
        ({"cold_items": 0.1}, "split.cold_items was 0.0, is 0.1"),
    ):
        with pytest.raises(StageError, match=f"seen nothing of this dataset's test split, but {found}; start from"):
            open_warm_start(model, spec_of(**split), dataset=dataset_of(spec_of(**split)))
    with pytest.raises(StageError, match="test split, but ids have other pseudonyms, of another key or other sources"):
        open_warm_start(model, alike, dataset=dataset_of(alike, pseudonyms="a"))


def test_a_model_that_was_trained_on_what_comes_later_is_refused(tmp_path: Path) -> None:
    by_time = spec_of(method="time", validation_seconds=3600)
    by_hash = spec_of()
    yesterday = write_model(tmp_path / "time", by_time, test_start="2009-07-28", data_end="2009-07-29")
    mixed = write_model(tmp_path / "hash", by_hash, data_end="2009-07-29T00:00:00Z")
    unknown = write_model(tmp_path / "unknown", by_hash)
    # Of a split by time nothing is trained on from its test split on, nor from where its data ends.
    early = write_model(tmp_path / "early", by_time, test_start="2009-07-28", data_end="2009-07-27")
    for model, test_start in ((yesterday, "2009-07-28"), (mixed, "2009-07-29"), (early, "2009-07-27")):
        assert open_warm_start(model, by_time, dataset=dataset_of(by_time, test_start)).directory == model
    for model, test_start, found in (
        (
            yesterday,
            "2009-07-27",
            "ends 2009-07-28T00:00:00+00:00, and the test split begins 2009-07-27T00:00:00+00:00",
        ),
        (mixed, "2009-07-28", "ends 2009-07-29T00:00:00+00:00, and the test split begins 2009-07-28T00:00:00+00:00"),
        (unknown, "2009-07-31", "it doesn't say where its data ends"),
    ):
        with pytest.raises(StageError, match=re.escape(found)):
            open_warm_start(model, by_time, dataset=dataset_of(by_time, test_start))
    with pytest.raises(StageError, match=r"split\.method was time, is pair_hash"):
        open_warm_start(yesterday, by_hash, dataset=dataset_of(by_hash))


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_what_a_training_started_from_is_ranked_once_and_kept_if_nothing_is_better(
    tiny_dataset: Dataset,
    trained: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps at so low a rate change no ranking."""
    spec = training_spec(tiny_dataset, "train.learning_rate=1e-6", "train.patience=1", "train.validate_every=2")
    best = best_entry(read_history(trained))
    output = str(tmp_path / "model")
    with monkeypatch.context() as patch:
        patch.setattr("model.training.training_loop.check_interrupted", _interrupt)
        with pytest.raises(Interrupted, match="saved after step 0, from which"):
            train(tiny_dataset, spec, output=output, warm_start=trained)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("starts from")]
    assert told == [
        f"starts from {trained}, with 78 of 78 embedding rows carried over",
        f"starts from recall@50 {best['recall@50']:.3f} on validation",
    ]

    first, second = train(tiny_dataset, spec, output=output, warm_start=trained)
    assert "starts from" not in capsys.readouterr().err
    measured = best.keys() - {"step", "loss", "main_loss", "ssl_loss", "examples/s"}
    assert {key: first[key] for key in measured} == {key: best[key] for key in measured}
    nothing = {"loss": None, "main_loss": None, "ssl_loss": None}
    assert first.items() >= ({"step": 0, "examples/s": 0} | nothing).items()
    assert (second["step"], second["recall@50"]) == (2, first["recall@50"])
    assert read_history(output) == [first, second]
    assert Manifest.read(output, "model").counts.items() >= {"steps": 2, "best_step": 0}.items()
    assert_same_weights(unpack(f"{output}/weights.npz"), unpack(f"{trained}/weights.npz"))


def test_a_start_that_may_know_the_validation_split_is_not_ranked(
    tiny_dataset: Dataset,
    trained: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_time = spec_of(method="time", validation_seconds=3600)
    yesterday = FinishedModel.open(
        write_model(tmp_path / "time", by_time, test_start="2009-07-28", data_end="2009-07-29")
    )
    for day, why in (
        ("2009-07-28T01", None),
        (
            "2009-07-28T00:59:59",
            "ends 2009-07-28T00:00:00+00:00, and the validation split begins 2009-07-27T23:59:59+00:00",
        ),
    ):
        found = why_seen(yesterday.manifest, by_time, dataset=dataset_of(by_time, day), split="validation")
        assert found == (why and f"what it was trained on {why}")
    monkeypatch.setattr("model.train.why_seen", lambda *_, split, **__: f"it knows {split}")
    monkeypatch.setattr("model.training.training_loop.check_interrupted", _interrupt)
    with pytest.raises(Interrupted):
        train(tiny_dataset, tiny_dataset.spec, output=str(tmp_path / "model"), warm_start=trained)
    told = (
        "the start isn't ranked, since it may have been trained on pairs of the validation split: it knows validation"
    )
    assert told in capsys.readouterr().err.splitlines()
    assert not (tmp_path / "model" / "history.json").exists()


NAMES = (
    "'debtags', 'description_words', 'homepage_host', 'installed_size', 'maintainer', 'name_words', 'package', "
    "'section', 'size'"
)


@pytest.mark.parametrize(
    ("kind", "change", "found"),
    [
        ("numeric", "item.features.size.log1p=true", "item.features.size.log1p was False, is True"),
        ("categorical", "item.features.size.oov_buckets=2", "item.features.size.oov_buckets was 0, is 2"),
        ("categorical", "item.features.size.vocabulary=host", "item.features.size.vocabulary was item_size, is host"),
        ("text", "item.features.size.hash_buckets=7", "item.features.size.hash_buckets was None, is 7"),
        (
            "categorical",
            "item.features.size.kind=multivalued",
            "item.features.size.kind was categorical, is multivalued",
        ),
        (
            "text",
            "item.features.zip={kind: numeric}",
            f"item.features was [{NAMES}], is [{NAMES}, 'zip']; item.features.zip.kind was None, is numeric; "
            "item.features.zip.log1p was None, is False",
        ),
        ("vector", "item.features.size.size=9", "item.features.size.size was 8, is 9"),
        ("text", "ssl.projection_head=8", "ssl.projection_head was None, is 8"),
        ("text", "train.learnable_temperature=true", "train.learnable_temperature was False, is True"),
    ],
)
def test_what_gives_a_weight_its_meaning_must_stay(tmp_path: Path, kind: str, change: str, found: str) -> None:
    tree = spec_of().model_dump(mode="json")
    keys = {"kind": kind} | ({"size": 8} if kind == "vector" else {})
    tree["item"]["features"] = dict(sorted((tree["item"]["features"] | {"size": keys}).items()))
    model = write_model(tmp_path / "model", build_spec(tree, source="test"))
    spec = build_spec(tree, [change], source="test")
    with pytest.raises(StageError, match=f"same features and sizes, but {re.escape(found)}; set them as they were"):
        open_warm_start(model, spec, dataset=dataset_of(spec))


def test_of_many_differences_the_first_are_named(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", spec_of())
    changes = ["train.optimizer=adagrad", "model.hidden=[9]", "model.embedding_dim=7", "ssl.projection_head=8"]
    for count, said in ((3, "adagrad; set them"), (4, "adagrad; and 1 more; set them")):
        spec = build_spec(spec_of().model_dump(mode="json"), changes[:count], source="test")
        sizes = r"model\.embedding_dim was 64, is 7; model\.hidden was \[256, 128\], is \[9\]"
        with pytest.raises(StageError, match=f"{sizes}; train.optimizer was adam, is {said}"):
            open_warm_start(model, spec, dataset=dataset_of(spec))


def test_a_new_term_starts_where_items_without_a_value_are() -> None:
    features = [
        EncodedFeature(key, key.partition("/")[2], "categorical", vocabulary, 3)
        for key, vocabulary in (("query/a", "a"), ("item/a", "a"), ("item/b", "a"), ("query/c", "c"), ("item/d", "d"))
    ]
    values = {"query/a": [9, 9], "item/a": [1, 2], "item/b": [3, 6], "query/c": [5, 7], "item/d": [8, 8]}
    learned = {f"default/{key}": np.array(value, np.float32) for key, value in values.items()}
    assert _default("a", features, learned=learned).tolist() == [2, 4]
    assert _default("c", features, learned=learned).tolist() == [5, 7]


def test_buckets_of_unknown_terms_lie_behind_the_terms_of_either_day(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = {"yesterday/transform": [b"a", b"b", b"c"], "today/transform": [b"c", b"x"]}
    monkeypatch.setattr("model.training.warm_start.read_terms", lambda folder, _: pa.array(terms[folder], pa.binary()))
    spec = spec_of().model_dump(mode="json")
    yesterday = FinishedModel("yesterday", Manifest(stage="model", run_id="r", spec=spec, vocabularies={"page": 3}))
    today = SimpleNamespace(manifest=SimpleNamespace(vocabularies={"page": 2}), transform_directory="today/transform")
    found = _indices_before(yesterday, "page", dataset=today, rows=4)  # type: ignore[arg-type]
    assert found.tolist() == [2, -1, 3, 4]
    # Without a vocabulary a row is a bucket.
    found = _indices_before(yesterday, "words", dataset=today, rows=3)  # type: ignore[arg-type]
    assert found.tolist() == [0, 1, 2]


def test_each_term_s_row_and_slots_are_carried_over_and_a_vocabulary_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {str(tmp_path / "transform"): [b"a", b"b", b"c"], "today/transform": [b"c", b"x"]}
    read: list[str] = []

    def read_terms(folder: str, _: str) -> pa.Array:
        read.append(folder)
        return pa.array(terms[folder], pa.binary())

    monkeypatch.setattr("model.training.warm_start.read_terms", read_terms)
    monkeypatch.setattr("model.training.warm_start._ROWS_AT_ONCE", 1)
    manifest = Manifest(
        stage="model",
        run_id="r",
        spec=spec_of().model_dump(mode="json"),
        vocabularies={"page": 3},
        counts={"best_step": 8},
    )
    learned = {
        "default/query/page": [7.0, 8.0],
        "table/page": [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]],
        "row_optimizer/page/accumulator": [[0.1], [0.2], [0.3], [0.4]],
    }
    pack(checkpoint_path(str(tmp_path), step=8), {name: np.array(rows, np.float32) for name, rows in learned.items()})
    variables = {
        "default/query/page": tf.Variable([0.0, 0.0]),
        "table/page": tf.Variable(tf.zeros([3, 2])),
        "row_optimizer/page/accumulator": tf.Variable([[0.5], [0.5], [0.5]]),
    }
    today = SimpleNamespace(
        manifest=SimpleNamespace(vocabularies={"page": 2}),
        transform_directory="today/transform",
        features=lambda _: [],
        query_inputs=lambda: [EncodedFeature("query/page", "page", "categorical", "page", 3)],
    )
    training = SimpleNamespace(learned=lambda: dict(variables))
    found = carry_over(FinishedModel(str(tmp_path), manifest), training, dataset=today)  # type: ignore[arg-type]
    assert found == (2, 3)
    # Today's are c, x, and the bucket of unknown ones.
    assert variables["default/query/page"].numpy().tolist() == [7, 8]
    assert variables["table/page"].numpy().tolist() == [[3, 3], [7, 8], [4, 4]]
    assert (
        variables["row_optimizer/page/accumulator"].numpy().tolist()
        == np.array([[0.3], [0.5], [0.4]], np.float32).tolist()
    )
    assert sorted(read) == sorted(terms)
