"""Items drawn from the corpus, and what the main task makes of them."""

from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from training_specs import Rig, batches_of, training_spec

from features.spec.file import load_spec
from model.network.corpus import Corpus, read_corpus
from model.network.draws import Rows, draw_key, uniform_rows
from model.network.kept_values import keep_values
from model.training.uniform_items import uniform_items


@cache
def _seeded(seed, batch_size):
    return load_spec("synthetic", [f"train.seed={seed}", f"ssl.batch_size={batch_size}"])


def _positions(first_step, steps, *, seed, corpus_size, batch_size):
    corpus = Corpus(ids=[b""] * corpus_size, train_count=np.zeros(corpus_size, np.int64), features={})
    drawn = uniform_items(corpus, spec=_seeded(seed, batch_size), start_step=first_step).take(steps)
    return [items.ssl for items in drawn.as_numpy_iterator()]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 30), st.integers(0, 5))
def test_items_never_repeat_in_a_batch_nor_in_a_pass(corpus_size, batch_size, step, seed):
    batch_size = min(batch_size, corpus_size)
    per_pass = corpus_size // batch_size
    first = step - step % per_pass
    of = {"seed": seed, "corpus_size": corpus_size, "batch_size": batch_size}
    one_pass = _positions(first, per_pass, **of)
    together = np.concatenate(one_pass)
    assert len(set(together.tolist())) == len(together) == per_pass * batch_size
    assert set(together.tolist()) <= set(range(corpus_size))
    (again,) = _positions(step, 1, **of)
    np.testing.assert_array_equal(again, one_pass[step - first])


def test_items_are_uniform_and_shuffled_anew():
    counts = np.zeros(10)
    for positions in _positions(0, 900, seed=0, corpus_size=10, batch_size=3):
        counts[positions] += 1
    np.testing.assert_allclose(counts, 270, atol=45)
    first, second, of_another_seed = (
        _positions(step, 1, seed=seed, corpus_size=50, batch_size=50)[0].tolist()
        for step, seed in ((0, 0), (1, 0), (0, 1))
    )
    assert second != first != of_another_seed


def _first(corpus, spec, *, start_step=0):
    return next(uniform_items(corpus, spec=spec, start_step=start_step).as_numpy_iterator())


def test_each_purpose_has_a_draw_of_its_own_as_large_as_is_wanted(tiny_dataset):
    corpus = read_corpus(tiny_dataset)
    spec = training_spec(tiny_dataset, "ssl.batch_size=20", "train.uniform_negatives=20")
    drawn = _first(corpus, spec, start_step=3)
    assert len(drawn.ssl) == len(drawn.negatives) == 20
    assert set(drawn.ssl.tolist()) != set(drawn.negatives.tolist())
    every = _first(corpus, training_spec(tiny_dataset, "train.uniform_negatives=1000"), start_step=3)
    assert sorted(every.negatives.tolist()) == list(range(60))
    assert len(_first(corpus, training_spec(tiny_dataset, "train.batch_size=24")).ssl) == 24
    none = _first(corpus, training_spec(tiny_dataset, "ssl.alpha=0"), start_step=3)
    assert (none.ssl.tolist(), none.negatives.tolist()) == ([], [])
    ending = training_spec(tiny_dataset, "ssl.decay_epochs=2", "ssl.batch_size=20", "train.uniform_negatives=20")
    # 2 epochs are 2 * 500 / 64 = 15.6 steps: the last with an SSL task is number 15.
    (last,) = uniform_items(corpus, spec=ending, start_step=15).as_numpy_iterator()
    after = _first(corpus, ending, start_step=16)
    assert [(len(step.ssl), len(step.negatives)) for step in (last, after)] == [(20, 20), (0, 20)]


@pytest.mark.parametrize("id_dropout", [pytest.param(0, marks=pytest.mark.slow), 0.5])
def test_uniform_negatives_join_the_batch_s_items_in_the_main_loss(tiny_dataset, id_dropout):
    keys = ("ssl.alpha=0", "train.uniform_negatives=25", "train.logq=0.6", f"train.item_id_dropout={id_dropout}")
    keys += ("train.seed=1",)
    rig = Rig(tiny_dataset, *keys)
    spec, corpus, two_tower = rig.spec, rig.corpus, rig.two_tower
    batch = next(iter(batches_of(tiny_dataset, spec.train))).apart()
    drawn = _first(corpus, spec)
    own = batch.item["item/page"].values.numpy()  # pages are in the order of the corpus
    examples, item = len(own), np.concatenate([own, drawn.negatives])
    # Every column, a negative's too, has a draw of its own that may hide its id.
    number = tf.range(examples + 25, dtype=tf.int64)
    draws = uniform_rows(draw_key(spec.train.seed, "id dropout", 0), rows=Rows(number, examples + 25), width=1)
    seen = {key: tf.gather(values, item) for key, values in corpus.features.items()}
    seen["item/page"] = keep_values(seen["item/page"], draws[:, 0] >= id_dropout)
    queries, items = two_tower.encode_queries(batch.query).numpy(), two_tower.encode_items(seen).numpy()
    columns = examples * corpus.train_count / corpus.train_count.sum() + 25 / 60
    losses = []
    for example in range(examples):
        logits = queries[example] @ items.T / spec.train.temperature - 0.6 * np.log(columns[item])
        kept = (item != own[example]) | (number == example)
        losses.append(np.log(np.sum(np.exp(logits[kept] - logits[example]))))
    np.testing.assert_allclose(rig.steps()(1), [np.mean(losses), np.mean(losses), 0], rtol=1e-5)
