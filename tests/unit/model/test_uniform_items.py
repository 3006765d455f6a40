"""Items drawn from the corpus, and what the main task makes of them."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.spec_file import build_spec
from model.batch_streams import training_batches
from model.input import read_corpus
from model.training_step import TrainingStep
from model.two_tower import TwoTower
from model.uniform_items import corpus_positions, uniform_items


def _positions(step, seed, corpus_size, batch_size):
    return corpus_positions(step, seed=seed, purpose="ssl items", corpus_size=corpus_size, batch_size=batch_size)


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
    first, second = (_positions(s, 0, 50, 50).tolist() for s in (0, 1))
    assert first != second


def _spec(dataset, *keys):
    return build_spec(dataset.manifest.spec, keys, source="test")


def test_each_purpose_has_a_draw_of_its_own_as_large_as_is_wanted(tiny_dataset):
    corpus = read_corpus(tiny_dataset)
    drawn = uniform_items(3, _spec(tiny_dataset, "ssl.batch_size=20", "train.uniform_negatives=20"), corpus)
    assert len(drawn.ssl) == len(drawn.negatives) == 20
    assert set(drawn.ssl.tolist()) != set(drawn.negatives.tolist())
    assert len(uniform_items(3, _spec(tiny_dataset, "train.uniform_negatives=1000"), corpus).negatives) == 60
    none = uniform_items(3, _spec(tiny_dataset, "ssl.alpha=0"), corpus)
    assert (none.ssl.tolist(), none.negatives.tolist()) == ([], [])


@pytest.mark.parametrize("id_dropout", [0, 0.999999])
def test_uniform_negatives_join_the_batch_s_items_in_the_main_loss(tiny_dataset, id_dropout):
    keys = ("ssl.alpha=0", "train.uniform_negatives=25", "train.logq=0.6", f"train.item_id_dropout={id_dropout}")
    spec, corpus = _spec(tiny_dataset, *keys), read_corpus(tiny_dataset)
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    batch = next(iter(training_batches(tiny_dataset, spec.train))).apart()
    drawn = uniform_items(0, spec, corpus).negatives
    seen = dict(corpus.features)
    if id_dropout:  # all but surely every id is dropped, a negative's too
        seen["item/page"] = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int64), tf.zeros([60], tf.int64))
    queries, items = two_tower.encode_queries(batch.query).numpy(), two_tower.encode_items(seen).numpy()
    own = batch.item["item/page"].values.numpy()  # pages are in the order of the corpus
    examples, columns = len(own), [*own, *drawn]
    expected = examples * corpus.train_count / corpus.train_count.sum() + 25 / 60
    losses = []
    for example in range(examples):
        others = [c for n, c in enumerate(columns) if n == example or c != own[example]]
        logits = {c: queries[example] @ items[c] / spec.train.temperature - 0.6 * math.log(expected[c]) for c in others}
        total = sum(math.exp(logits[c] - logits[own[example]]) for c in others)
        losses.append(math.log(total))
    training = TrainingStep(two_tower, corpus, spec, groups=None)
    batches = iter(tf.data.Dataset.zip((training_batches(tiny_dataset, spec.train),)))
    found = training.run(batches, uniform_items(0, spec, corpus)).numpy()
    np.testing.assert_allclose(found, [np.mean(losses), np.mean(losses), 0], rtol=1e-5)
