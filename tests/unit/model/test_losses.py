"""Goldens worked out by hand, and what must hold whatever the numbers."""

import math

import numpy as np
import pytest
import tensorflow as tf

from model.losses import contrastive, in_batch_softmax
from model.softmax_loss import softmax_loss

QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0]])
ITEMS = tf.constant([[1.0, 0.0], [0.6, 0.8]])


def _main(queries=QUERIES, items=ITEMS, keys=(1, 2), counts=(3, 1), **options):
    options = {"temperature": 0.5, "train_examples": 4} | options
    return float(
        in_batch_softmax(
            queries, items, item_keys=tf.constant(keys, tf.int64), train_count=tf.constant(counts, tf.int64), **options
        )
    )


def test_softmax_without_correction():
    # Scores / 0.5: [[2, 1.2], [0, 1.6]]. Row 0: log(1 + e^-0.8) = 0.371101, row 1: log(1 + e^-1.6) = 0.183900.
    assert _main(logq=0.0) == pytest.approx((0.371101 + 0.183900) / 2, abs=1e-6)


def test_correction_weighs_every_column_by_one_over_its_frequency():
    # e^logit / p: row 0 [e^2 / 0.75, e^1.2 / 0.25] = [9.852075, 13.280468] -> log(1 + 1.347987) = 0.853558
    #              row 1 [e^0 / 0.75, e^1.6 / 0.25] = [1.333333, 19.812130] -> log(1 + 0.067299) = 0.065131
    assert _main(logq=1.0) == pytest.approx((0.853558 + 0.065131) / 2, abs=1e-6)


def test_strength_of_the_correction():
    # Half strength: 1 / sqrt(p): row 0 [8.532148, 6.640234] -> log(1 + 0.778260) = 0.575635
    #                             row 1 [1.154701, 9.906065] -> log(1 + 0.116565) = 0.110257
    assert _main(logq=0.5) == pytest.approx((0.575635 + 0.110257) / 2, abs=1e-6)


def test_an_accidental_hit_is_no_negative_but_the_positive_stays():
    queries = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    items = tf.constant([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    # Rows 0 and 2 hold the same item 7, so neither is the other's negative. At temperature 1:
    # row 0: 1 against 0.6: log(1 + e^-0.4) = 0.513015
    # row 1: 0.8 against 0 and 0: log(1 + 2 e^-0.8) = 0.641147
    # row 2: 0.6 against 0.36 + 0.64 = 1: log(1 + e^0.4) = 0.913015
    options = {"keys": (7, 8, 7), "counts": (1, 1, 1), "temperature": 1.0, "logq": 0.0}
    assert _main(queries, items, **options) == pytest.approx((0.513015 + 0.641147 + 0.913015) / 3, abs=1e-6)
    # Kept as negatives, they add a column of 1 to row 0 and one of 0.6 to row 2:
    # log(2 + e^-0.4) = 0.982198 and log(2 + e^0.4) = 1.250424
    kept = _main(queries, items, remove_accidental_hits=False, **options)
    assert kept == pytest.approx((0.982198 + 0.641147 + 1.250424) / 3, abs=1e-6)


def test_contrastive_negatives_are_the_second_views():
    first = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    second = tf.constant([[0.8, 0.6], [1.0, 0.0]])
    # Scores / 0.2: [[4, 5], [3, 0]]: log(1 + e^1) = 1.313262, log(1 + e^3) = 3.048587.
    assert float(contrastive(first, second, temperature=0.2)) == pytest.approx((1.313262 + 3.048587) / 2, abs=1e-6)


def test_twins_are_left_out_except_oneself():
    first = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    second = tf.constant([[0.8, 0.6], [1.0, 0.0]])
    everyone = tf.ones([2, 2], tf.bool)
    assert float(contrastive(first, second, temperature=0.2, twins=everyone)) == pytest.approx(0.0, abs=1e-6)


def test_against_a_plain_loop():
    draws = np.random.default_rng(0)
    queries, items = draws.normal(size=(2, 9, 4)).astype(np.float32)
    keys, counts = draws.integers(0, 4, 9), draws.integers(1, 50, 9)
    total = 0.0
    for i in range(9):
        columns = [
            queries[i] @ items[j] / 0.3 - 0.7 * math.log(counts[j] / 400)
            for j in range(9)
            if j == i or keys[j] != keys[i]
        ]
        own = queries[i] @ items[i] / 0.3 - 0.7 * math.log(counts[i] / 400)
        total += math.log(sum(math.exp(c - own) for c in columns))
    found = _main(tf.constant(queries), tf.constant(items), keys, counts, temperature=0.3, logq=0.7, train_examples=400)
    assert found == pytest.approx(total / 9, rel=1e-5)


def test_the_replicas_losses_add_up_to_that_of_the_global_batch():
    draws = np.random.default_rng(1)
    queries, items = (tf.constant(draws.normal(size=(6, 3)), tf.float64) for _ in range(2))
    options = {
        "item_keys": tf.constant([1, 2, 1, 3, 2, 1], tf.int64),
        "train_count": tf.constant([5, 2, 5, 1, 2, 5], tf.int64),
        "train_examples": 8,
        "temperature": tf.constant(0.5, tf.float64),
    }
    alike = tf.constant(draws.random((6, 6)) < 0.3)
    whole = [in_batch_softmax(queries, items, **options), contrastive(queries, items, temperature=0.5, twins=alike)]
    parts = [
        [
            in_batch_softmax(queries[first:end], items, first_row=first, **options),
            contrastive(queries[first:end], items, temperature=0.5, twins=alike[first:end], first_row=first),
        ]
        for first, end in ((0, 1), (1, 4), (4, 6))
    ]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-12)


def _by_autodiff(rows, columns, *, bias, left_out, first_row):
    """The same loss of TensorFlow's own operations, and its gradients."""
    with tf.GradientTape() as tape:
        tape.watch([rows, columns])
        logits = tf.matmul(rows, columns, transpose_b=True) + bias
        logits = tf.where(left_out, tf.constant(-np.inf, tf.float64), logits)
        labels = first_row + tf.range(rows.shape[0])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        loss = tf.reduce_sum(losses) / columns.shape[0]
    return loss, *tape.gradient(loss, [rows, columns])


@pytest.mark.parametrize("first_row", [0, 2])
@pytest.mark.parametrize("scale", [1.0, 40.0])  # at 40 most rows' own probability is below 1e-30
def test_the_gradient_written_out_is_that_of_autodiff(first_row, scale):
    draws = np.random.default_rng(2)
    rows, columns = (tf.constant(scale * draws.normal(size=(n, 5)), tf.float64) for n in (4, 7))
    bias = tf.constant(draws.normal(size=7), tf.float64)
    left_out = draws.random((4, 7)) < 0.3
    left_out[np.arange(4), first_row + np.arange(4)] = False
    with tf.GradientTape() as tape:
        tape.watch([rows, columns])
        loss = softmax_loss(rows, columns, bias=bias, left_out=tf.where(left_out), first_row=first_row)
    found = (loss, *tape.gradient(loss, [rows, columns]))
    expected = _by_autodiff(rows, columns, bias=bias, left_out=left_out, first_row=first_row)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_in_bfloat16_the_loss_is_the_same_and_the_gradient_nearly():
    draws = np.random.default_rng(3)
    rows, columns = (tf.constant(draws.normal(size=(64, 16)) / 4, tf.float32) for _ in range(2))
    found = {}
    for precision in ("float32", "bfloat16"):
        with tf.GradientTape() as tape:
            tape.watch([rows, columns])
            loss = softmax_loss(rows, columns, precision=precision)
        found[precision] = (float(loss), *(gradient.numpy() for gradient in tape.gradient(loss, [rows, columns])))
    (loss, *exact), (half_loss, *rounded) = found["float32"], found["bfloat16"]
    assert loss == half_loss
    for gradient, expected in zip(rounded, exact, strict=True):
        assert gradient.dtype == np.float32
        assert 1e-5 < np.linalg.norm(gradient - expected) / np.linalg.norm(expected) < 5e-3
