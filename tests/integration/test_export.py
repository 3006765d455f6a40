"""An export of the sample: what it holds, and that it scores as the trainer does."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import tensorflow as tf
from exports import Json, Sample, as_tensors, encoded, request_of
from google.protobuf.message import Message
from in_process import run
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from features.spec.file import load_spec
from features.spec.spec import Spec
from model import export
from model.serving.retriever import Retriever
from pipelines import publish
from stage.errors import StageError
from stage.manifest import Manifest


def test_scores_are_the_trainer_s_for_every_test_query(sample: Sample) -> None:
    examples = list({example["query_id"][0]: example for example in sample.examples("test")}.values())
    items = sample.examples("items")
    scores = sample.two_tower.encode_queries(encoded(examples, "query")).numpy()
    scores = scores @ sample.two_tower.encode_items(encoded(items, "item")).numpy().T
    column = {item["item_id"][0]: number for number, item in enumerate(items)}

    ids = [example["query_id"][0].decode() for example in examples]
    assert len(ids) > 1000
    itself = [column[one.encode()] for one in ids]
    for leaves_out_itself in (True, False):
        exclude = [[one] if leaves_out_itself else [] for one in ids]
        asked = request_of([sample.raw_queries[one] for one in ids], exclude)
        found = {k: v.numpy() for k, v in sample.served.signatures["serving_default"](**as_tensors(asked)).items()}
        assert found["score"].shape == (len(ids), 50)
        places = np.array([[column[item] for item in row] for row in found["item_id"]])
        assert all(len(set(row)) == 50 for row in places)
        best = np.take_along_axis(scores, places, axis=1)
        np.testing.assert_allclose(found["score"], best, rtol=0, atol=1e-5)
        left = scores.copy()
        np.put_along_axis(left, places, -np.inf, axis=1)
        if leaves_out_itself:
            left[range(len(ids)), itself] = -np.inf
        assert (left.max(axis=1) <= found["score"][:, -1] + 1e-5).all()
        with_itself = (places == np.array(itself)[:, None]).any(axis=1).sum()
        assert with_itself == 0 if leaves_out_itself else with_itself > 100
        assert found["title"].tolist() == found["item_id"].tolist()  # a package's title is its name


def tensors_of(message: Message) -> Iterator[TensorProto]:
    """Every tensor that stands in a message, however deep, in values of maps too."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            inner = [value] if isinstance(value, Message) else value.values() if isinstance(value, Mapping) else value
            for one in inner:
                if isinstance(one, Message):
                    yield from tensors_of(one)


def test_tables_are_variables(sample: Sample) -> None:
    """A graph ends at 2 GB, so nothing that grows with items or terms may stand in it."""
    saved = SavedModel.FromString((sample.exported / "saved_model.pb").read_bytes())
    sizes = [tensor.ByteSize() for tensor in tensors_of(saved)]
    assert len(sizes) > 100
    # A regular expression has 11 kB; the ids of 3,000 items 36 kB, their embeddings 192 kB.
    assert max(sizes) < 20_000


def test_what_is_read_of_a_graph_has_the_names_that_published_exports_hold(sample: Sample) -> None:
    # `history`, of session mode alone, is read in test_session_model.py.
    assert tuple(sample.served.items.embeddings.shape) == (3000, 16)


def test_the_sample_is_built_to_the_digest_that_it_always_had(sample: Sample) -> None:
    """With another digest, every dataset that is there would count as another one's."""
    dataset = Manifest.open(str(sample.directory / "dataset"), "dataset")
    assert dataset.content_digest == "c6a6c5575991504d4db30d757f33656d84381976871c3048ad8b2357eebb6f45"


def test_the_manifest_says_what_it_was_made_of(sample: Sample) -> None:
    manifest = json.loads((sample.exported / "manifest.json").read_text())
    assert (manifest["stage"], manifest["counts"]) == ("export", {"items": 3000, "projected": 3000})
    said = json.loads((sample.directory / "stdout").read_text())
    assert said == {"counts": {"items": 3000, "projected": 3000}, "measures": {}}
    model, dataset = (Manifest.open(str(sample.directory / name), name) for name in ("model", "dataset"))
    assert manifest["inputs"] == {"model": model.content_digest, "dataset": dataset.content_digest}
    assert manifest["job_options"] == model.job_options | {"model": str(sample.directory / "model")}
    assert manifest["transform_digest"] == model.transform_digest
    assert manifest["vocabularies"] == model.vocabularies
    named = {file["name"] for file in manifest["files"]}
    there = {str(path.relative_to(sample.exported)) for path in sample.exported.rglob("*") if path.is_file()}
    assert there == named | {"manifest.json"}


def test_embeddings_that_do_not_fit_are_refused_before_anything_is_written(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 3,000 embeddings of 16 numbers of 4 bytes, twice, are 384,000.
    monkeypatch.setattr(export, "available", lambda: 100_000)
    code, out, err = run(export.main, *sample.inputs, "--output", tmp_path / "export")
    assert (code, out) == (1, "")
    assert err == (
        "error: embeddings of 3,000 items, and what searches them, need 0.4 MB of memory on this machine, 0.1 MB are "
        "available; a model with a lower last number of model.hidden needs less; export.max_hnsw_items (and "
        "max_exact_items) below 3,000 compress them\n"
    )
    assert not (tmp_path / "export").exists()


LACKS = {"debtags": None}
OTHER_KIND = {"debtags": {"kind": "numeric"}}


@pytest.mark.parametrize(
    ("spec", "changes", "pseudonyms", "message"),
    [
        ("wikispeedia-sessions", {}, {}, "MODEL: expected it and OTHER both to be of session mode or neither, got one"),
        (
            "debian", {}, {"pseudonyms": "of a key"},
            "OTHER: expected ids with the pseudonyms of MODEL, or none if it has none, got others (of another key, or "
            "other sources.pseudonymise.columns): the model would know none",
        ),
        *(
            ("debian", {side: LACKS}, {},
             f"OTHER: the model reads {side}.features.debtags as a list, this dataset lacks it: use a dataset whose "
             "spec declares the same, or a model of this dataset's spec")
            for side in ("item", "query")
        ),
        (
            "debian", {"item": OTHER_KIND, "query": OTHER_KIND}, {},
            "OTHER: the model reads item.features.debtags as a list, this dataset has a number: use a dataset whose "
            "spec declares the same, or a model of this dataset's spec",
        ),
    ],
)  # fmt: skip
def test_a_dataset_that_the_model_cannot_read_leaves_the_last_export_as_it_is(
    *, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, changes: Json, pseudonyms: Json,
    message: str,
) -> None:  # fmt: skip
    tree = load_spec(spec).model_dump(mode="json")
    for side, features in changes.items():
        both = {**tree[side]["features"], **features}
        tree[side]["features"] = {name: feature for name, feature in both.items() if feature is not None}
    manifest = SimpleNamespace(counts={"items": 1}, inputs=pseudonyms)
    other = SimpleNamespace(spec=Spec.model_validate(tree), directory="OTHER", manifest=manifest)
    monkeypatch.setattr(export, "Dataset", SimpleNamespace(open=lambda *_, **__: other))
    code, _, err = run(export.main, *sample.inputs, "--output", sample.exported, "--overwrite")
    assert (code, err) == (1, f"error: {message.replace('MODEL', str(sample.directory / 'model'))}\n")
    assert (sample.exported / "manifest.json").exists()


def test_queries_that_are_not_served_need_no_features() -> None:
    tree = load_spec("debian").model_dump(mode="json")
    del tree["query"]["features"]["debtags"]
    manifest = SimpleNamespace(counts={"items": 1}, inputs={})
    other = SimpleNamespace(spec=Spec.model_validate(tree), directory="OTHER", manifest=manifest)
    model = SimpleNamespace(spec=other.spec, manifest=manifest, directory="MODEL")
    spec = load_spec("debian", ["export.queries=false"], verb="export")
    export._check_fits(model, other, spec=spec, exact=True)
    # An index is measured with queries.
    with pytest.raises(StageError, match=r"^OTHER: the model reads query\.features\.debtags as a list, .* lacks it"):
        export._check_fits(model, other, spec=spec, exact=False)


def test_the_context_that_an_index_is_measured_with_is_looked_for_before_the_last_export_goes() -> None:
    context = {"session.context.features": '{"site": {"kind": "categorical"}}', "export.queries": "false"}
    spec = load_spec("wikispeedia-sessions", [f"{key}={value}" for key, value in context.items()])
    manifest = SimpleNamespace(counts={"items": 1}, inputs={})
    model = SimpleNamespace(spec=spec, manifest=manifest, directory="MODEL")
    other = SimpleNamespace(spec=load_spec("wikispeedia-sessions"), manifest=manifest, directory="OTHER")
    export._check_fits(model, other, spec=spec, exact=True)
    with pytest.raises(StageError, match=r"^OTHER: the model reads pair/site as .*, this dataset lacks it"):
        export._check_fits(model, other, spec=spec, exact=False)


def test_never_exports_over_a_model_that_is_published(sample: Sample, tmp_path: Path) -> None:
    base = tmp_path / "published"
    assert run(publish.main, "--export", sample.exported, "--to", base)[0] == 0
    before = {path: path.read_bytes() for path in base.rglob("*") if path.is_file()}
    code, _, err = run(export.main, *sample.inputs, "--output", base / "1", "--overwrite")
    wanted = f"error: {base}/1: is a published model; give another --output, and publish that"
    assert (code, err.splitlines()[-1]) == (1, wanted)
    assert {path: path.read_bytes() for path in base.rglob("*") if path.is_file()} == before
    assert Retriever.open(str(base)).directory == f"{base}/1"


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_a_finished_export_is_replaced_where_that_is_asked_for_and_one_taken_over_by_another_run_gets_no_file(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    def take_over(*_: object, **__: object) -> None:
        (tmp_path / ".unfinished").write_text('{"stage": "export", "run_id": "another"}')

    (tmp_path / "manifest.json").write_bytes((sample.exported / "manifest.json").read_bytes())
    for name in ("load_towers", "ServingGraph"):  # Both take seconds.
        monkeypatch.setattr(export, name, MagicMock())
    monkeypatch.setattr(export, "embed_items", take_over)
    code, _, err = run(export.main, *sample.inputs, "--output", tmp_path, *flags)
    taken_over = (
        "another run was started into it meanwhile and has taken it over; let that one end, or give each its own "
        "--output"
    )
    said = taken_over if flags else "is finished already; --overwrite makes it again"
    assert (code, err.splitlines()[-1]) == (1, f"error: {tmp_path}: {said}")
    assert [path.name for path in tmp_path.iterdir()] == [".unfinished" if flags else "manifest.json"]


def test_an_export_that_is_taken_over_while_it_writes_changes_nothing_there(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(_: object, directory: str, **__: object) -> None:
        Path(directory, "variables").mkdir(parents=True)
        Path(directory, "saved_model.pb").write_text("of the first run")
        (tmp_path / ".unfinished").unlink()
        (tmp_path / "saved_model.pb").write_text("of the second run")
        (tmp_path / "manifest.json").write_text('{"run_id": "another"}')

    for name in ("load_towers", "ServingGraph", "embed_items", "ItemTable"):
        monkeypatch.setattr(export, name, MagicMock())
    monkeypatch.setattr(export, "write_projector", lambda *_, **__: 0)
    monkeypatch.setattr(tf.saved_model, "save", save)
    code, _, err = run(export.main, *sample.inputs, "--output", tmp_path)
    assert (code, "another run was started into it meanwhile" in err) == (1, True), err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "saved_model.pb": "of the second run",
        "manifest.json": '{"run_id": "another"}',
    }


def test_the_projector_shows_the_most_frequent_items_first(sample: Sample) -> None:
    folder = sample.exported / "projector"
    header, *rows = [line.split("\t") for line in (folder / "metadata.tsv").read_text().split("\n")[:-1]]
    assert header[:3] == ["id", "title", "train_count"]
    assert {"feature/section", "feature/debtags"} <= set(header)
    assert {len(row) for row in rows} == {len(header)}
    counts = [int(row[2]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    vectors = np.loadtxt(folder / "embeddings.tsv", delimiter="\t")
    items = {item["item_id"][0].decode(): item for item in sample.examples("items")}
    wanted = sample.two_tower.encode_items(encoded([items[row[0]] for row in rows], "item"))
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    assert (folder / "projector_config.pbtxt").read_text().count('"') == 6
