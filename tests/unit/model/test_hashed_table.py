"""Hashed tables: rows by hand, the law of collisions, and training against a table that isn't hashed."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from ragged_lists import ragged
from training_specs import Rig, training_spec

from features.dataset import EncodedFeature
from features.spec.spec import Spec
from features.spec.training import HashedTable
from model.network.corpus import read_corpus
from model.network.hashed_table import HashedRows, hashed_rows, rows_of_terms
from model.network.npz import assign, unpack
from model.network.touched_rows import TouchedRows, number_codes, read_rows
from model.network.two_tower import TwoTower, load_model
from model.train import train

HASHED = "model.hashed_tables={page: {rows: 20}, item_words: {rows: 5, hashes: 3}}"


def _terms(*terms):
    return pa.array([term.encode() for term in terms], pa.large_binary())


def test_rows_are_hashes_of_the_term_and_behind_them_of_the_bucket():
    # XXH3-64, times SplitMix64's constant, with 0 or 1 added, behind SplitMix64's finaliser: by Python's own integers
    # that ends with the digits 8 and 9 for cat, 1 and 9 for dog, 3 and 1 for the bucket.
    found = rows_of_terms(_terms("cat", "dog"), HashedTable(rows=10, hashes=2), buckets=1)
    assert found.tolist() == [[8, 9], [1, 9], [3, 1]]
    # A term of another code has the same rows.
    assert rows_of_terms(_terms("dog", "new", "cat"), HashedTable(rows=10), buckets=0)[[2, 0]].tolist() == [
        [8, 9],
        [1, 9],
    ]


def test_terms_that_share_a_row_seldom_share_all():
    """Of 5,000 terms on 1,000 rows nearly all share one hash; pairs that share both, in whichever order, come to
    5,000^2 / 2 * 2 / 1,000^2.
    """
    rows = rows_of_terms(_terms(*map(str, range(5000))), HashedTable(rows=1000, hashes=2), buckets=0)
    assert (rows.min(), rows.max()) == (0, 999)
    for column in rows.T:
        assert np.bincount(column, minlength=1000).std() == pytest.approx(5**0.5, rel=0.15)  # as if drawn
    _, times = np.unique(np.sort(rows, axis=1), axis=0, return_counts=True)
    assert 9 <= np.sum(times * (times - 1) / 2) <= 45


@pytest.mark.parametrize("form", ["{:03}", "P{:07}"])  # of 3 and 8 bytes
@pytest.mark.parametrize("hashes", [2, 4])
def test_on_many_rows_no_terms_share_any(form, hashes):
    terms = _terms(*map(form.format, range(1000)))
    rows = np.sort(rows_of_terms(terms, HashedTable(rows=2**31 - 1, hashes=hashes), buckets=0), axis=1)
    assert len(np.unique(rows)) == 1000 * hashes


def test_touched_codes_are_means_of_touched_rows():
    table = tf.Variable([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0], [0.0, 9.0]])
    hashed = {"page": tf.constant([[0, 1], [3, 3], [1, 0], [2, 1]])}
    feature = EncodedFeature("item/page", "page", "multivalued", "page", 4)
    sides = [({"item/page": ragged([[3, 0], [], [3]])}, [feature])]
    touched, (values,) = number_codes(["page"], sides, hashed=hashed)
    rows = read_rows({"page": table}, touched)
    assert values["item/page"].to_list() == [[0, 1], [], [0]]
    assert rows["page"].ids.numpy().tolist() == [2, 1, 0]
    with tf.GradientTape() as tape:
        tape.watch(rows["page"].values)
        codes = rows["page"].of_codes(rows["page"].values)
        loss = tf.reduce_sum(codes * [[1.0], [10.0]])
    np.testing.assert_allclose(codes, [[4, 6.5], [2, 4]])
    # Row 2 is half of code 3, row 1 half of both, row 0 half of code 0.
    np.testing.assert_allclose(
        tf.convert_to_tensor(tape.gradient(loss, rows["page"].values)), [[0.5, 0.5], [5.5, 5.5], [5, 5]]
    )


def test_a_row_that_stands_twice_in_a_code_counts_twice():
    rows = TouchedRows(tf.constant([4, 7]), tf.constant([[3.0], [9.0]]), parts=tf.constant([[0, 0, 1]]))
    np.testing.assert_allclose(rows.of_codes(rows.values), [[5.0]])


def test_embeds_as_a_table_of_the_means_would(tiny_dataset):
    spec = training_spec(tiny_dataset, HASHED)
    vocabularies = tiny_dataset.manifest.vocabularies
    directory = tiny_dataset.transform_directory
    hashed = hashed_rows(spec, vocabularies, transform_directory=directory)
    small = TwoTower(spec, vocabularies, transform_directory=directory)
    plain = TwoTower(tiny_dataset.spec, vocabularies)
    weights = {name: variable.numpy() for name, variable in small.weights().items()}
    assert weights["table/page"].shape == (20, 8)
    assert weights["table/item_words"].shape == (5, 8)
    for name, rows in hashed.items():
        weights[f"table/{name}"] = weights[f"table/{name}"][rows.of_code].mean(axis=1)
    assign(plain.weights(), weights, source="test")
    features = read_corpus(tiny_dataset).features
    np.testing.assert_allclose(small.encode_items(features), plain.encode_items(features), atol=1e-6)
    queries = {key: features[key.replace("query", "item")] for key in ("query/page", "query/topic")}
    np.testing.assert_allclose(small.encode_queries(queries), plain.encode_queries(queries), atol=1e-6)


def test_trains_as_a_plain_table_where_each_term_has_a_row_of_its_own(tiny_dataset, monkeypatch):
    hashed = {"page": HashedRows(60, np.repeat(np.arange(59, -1, -1, dtype=np.int32)[:, np.newaxis], 2, axis=1))}
    plain = Rig(tiny_dataset, "train.learning_rate=0.1")
    monkeypatch.setattr("model.network.two_tower.hashed_rows", lambda *_, **__: hashed)
    small = Rig(tiny_dataset, "train.learning_rate=0.1", "model.hashed_tables={page: {rows: 60}}")
    start = {name: variable.numpy() for name, variable in plain.training.state().items()}
    assign(small.training.state(), start | {"table/page": start["table/page"][::-1]}, source="test")
    steps = [rig.steps({"page": ["page", "words"]}) for rig in (plain, small)]
    for _ in range(5):
        np.testing.assert_allclose(*(take_steps(1).numpy() for take_steps in steps), rtol=1e-5)
    for name, variable in plain.training.state().items():
        expected = variable.numpy()[::-1] if "page" in name and "default" not in name else variable.numpy()
        np.testing.assert_allclose(small.training.state()[name], expected, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_goes_on_and_is_loaded_with_the_same_rows(tiny_dataset, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    history = train(tiny_dataset, training_spec(tiny_dataset, HASHED), output=str(whole))
    assert history[-1]["loss"] < history[0]["loss"]
    train(tiny_dataset, training_spec(tiny_dataset, HASHED, "train.epochs=1"), output=str(stopped))
    (stopped / "manifest.json").unlink()
    (stopped / ".unfinished").touch()
    shutil.copy(whole / "checkpoints" / "run.json", stopped / "checkpoints" / "run.json")
    train(tiny_dataset, training_spec(tiny_dataset, HASHED), output=str(stopped))
    weights = unpack(f"{whole}/weights.npz")
    for name, array in unpack(f"{stopped}/weights.npz").items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)

    found = load_model(str(whole)).embeddings.hashed
    terms = Path(tiny_dataset.transform_directory, "transform_fn", "assets", "page").read_text().split()
    assert found["page"].numpy().tolist() == rows_of_terms(_terms(*terms), HashedTable(rows=20), buckets=0).tolist()
    assert json.loads((whole / "manifest.json").read_text())["counts"]["weights"] == sum(
        a.size for a in weights.values()
    )


def test_a_context_s_vocabulary_may_be_hashed(tiny_dataset):
    tree = tiny_dataset.spec.model_dump()
    context = {"features": {"mood": {"kind": "categorical", "vocabulary": "topic"}}}
    tree |= {"query": {}, "session": {"context": context}, "split": {"method": "query_hash"}}
    tree["sources"] |= {"queries": None, "interactions": tree["sources"]["interactions"] | {"timestamp": "at"}}
    del tree["item"]["features"]["topic"]
    tree["model"] |= {"hashed_tables": {"topic": {"rows": 4}}}
    found = hashed_rows(
        Spec.model_validate(tree),
        {"page": 60, "topic": 6, "item_words": 12},
        transform_directory=tiny_dataset.transform_directory,
    )
    terms = _terms(*(f"topic-{code}" for code in range(6)))
    assert found["topic"].of_code.tolist() == rows_of_terms(terms, HashedTable(rows=4), buckets=0).tolist()
