"""Items drawn from the corpus, and what the main task makes of them."""

from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec_file import build_spec, load_spec
from model.batch_streams import training_batches
from model.draws import Rows, draw_key, uniform_rows
from model.input import Corpus, read_corpus
from model.kept_values import keep_values
from model.training_step import TrainingStep
from model.two_tower import TwoTower
from model.uniform_items import uniform_items


@cache
def _seeded(seed, batch_size):
    return load_spec("synthetic", [f"train.seed={seed}", f"ssl.batch_size={batch_size}"])


def _positions(step, seed, corpus_size, batch_size):
    corpus = Corpus(ids=[b""] * corpus_size, train_count=np.zeros(corpus_size, np.int64), features={})
    return uniform_items(step, corpus, spec=_seeded(seed, batch_size)).ssl


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 30), st.integers(0, 5))
def test_items_never_repeat_in_a_batch_nor_in_a_pass(corpus_size, batch_size, step, seed):
    batch_size = min(batch_size, corpus_size)
    per_pass = corpus_size // batch_size
    first = step - step % per_pass
    one_pass = [_positions(s, seed, corpus_size, batch_size) for s in range(first, first + per_pass)]
    together = np.concatenate(one_pass)
    assert len(set(together.tolist())) == len(together) == per_pass * batch_size
    assert set(together.tolist()) <= set(range(corpus_size))
    again = _positions(step, seed, corpus_size, batch_size)
    np.testing.assert_array_equal(again, one_pass[step - first])


def test_items_are_uniform_and_shuffled_anew():
    counts = np.zeros(10)
    for step in range(900):
        counts[_positions(step, 0, 10, 3)] += 1
    np.testing.assert_allclose(counts, 270, atol=45)
    first, second, of_another_seed = (_positions(*at, 50, 50).tolist() for at in ((0, 0), (1, 0), (0, 1)))
    assert second != first != of_another_seed


def _spec(dataset, *keys):
    return build_spec(dataset.manifest.spec, keys, source="test")


def test_each_purpose_has_a_draw_of_its_own_as_large_as_is_wanted(tiny_dataset):
    corpus = read_corpus(tiny_dataset)
    spec = _spec(tiny_dataset, "ssl.batch_size=20", "train.uniform_negatives=20")
    drawn = uniform_items(3, corpus, spec=spec)
    assert len(drawn.ssl) == len(drawn.negatives) == 20
    assert set(drawn.ssl.tolist()) != set(drawn.negatives.tolist())
    every = uniform_items(3, corpus, spec=_spec(tiny_dataset, "train.uniform_negatives=1000"))
    assert sorted(every.negatives.tolist()) == list(range(60))
    assert len(uniform_items(3, corpus, spec=_spec(tiny_dataset, "train.batch_size=24")).ssl) == 24
    none = uniform_items(3, corpus, spec=_spec(tiny_dataset, "ssl.alpha=0"))
    assert (none.ssl.tolist(), none.negatives.tolist()) == ([], [])
    ending = _spec(tiny_dataset, "ssl.decay_epochs=2", "ssl.batch_size=20", "train.uniform_negatives=20")
    drawn = [uniform_items(step, corpus, spec=ending) for step in (15, 16)]  # 2 epochs are 2 * 500 / 64 = 15.6 steps
    assert [(len(step.ssl), len(step.negatives)) for step in drawn] == [(20, 20), (0, 20)]


@pytest.mark.parametrize("id_dropout", [pytest.param(0, marks=pytest.mark.slow), 0.5])
def test_uniform_negatives_join_the_batch_s_items_in_the_main_loss(tiny_dataset, id_dropout):
    keys = ("ssl.alpha=0", "train.uniform_negatives=25", "train.logq=0.6", f"train.item_id_dropout={id_dropout}")
    keys += ("train.seed=1",)
    spec, corpus = _spec(tiny_dataset, *keys), read_corpus(tiny_dataset)
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    batch = next(iter(training_batches(tiny_dataset, spec.train))).apart()
    drawn = uniform_items(0, corpus, spec=spec)
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
    training = TrainingStep(two_tower, corpus, spec=spec, groups=None)
    batches = iter(tf.data.Dataset.zip((training_batches(tiny_dataset, spec.train),)))
    found = training.run(batches, drawn).numpy()
    np.testing.assert_allclose(found, [np.mean(losses), np.mean(losses), 0], rtol=1e-5)
