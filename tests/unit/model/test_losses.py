"""Goldens worked out by hand, and what must hold whatever the numbers."""

import math
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from model.training.columns import Columns, one_column_a_key
from model.training.losses import contrastive, in_batch_softmax
from model.training.softmax_loss import softmax_loss

QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0]])
ITEMS = tf.constant([[1.0, 0.0], [0.6, 0.8]])
PLAIN = {
    "logq": 1.0,
    "remove_accidental_hits": True,
    "copies_differ": False,
    "precision": "float32",
}
"""Of the main loss, where a test says nothing else."""
UPSTREAM = tf.constant(0.3, tf.float64)
"""What a loss counts for in what is differentiated, as in a mean."""


def _numbers(numbers):
    return tf.constant(numbers, tf.int64)


def _loss(queries, columns, *, query_of, column_of, **options):
    """The main loss, with a column for each key as a step has it, if copies don't differ."""
    options = PLAIN | {"examples": len(column_of)} | options
    if not options["copies_differ"]:
        columns, column_of = one_column_a_key(columns, column_of)
    return in_batch_softmax(queries, columns, query_of=query_of, column_of=column_of, **options)


def _main(queries=QUERIES, items=ITEMS, keys=(1, 2), frequency=(0.75, 0.25), copies=None, **options):
    """Of examples whose queries and items are the rows, by default each its own."""
    copies = tf.ones(len(items)) if copies is None else tf.constant(copies)
    columns = Columns(items, _numbers(keys), copies, tf.constant(frequency, tf.float64))
    every = tf.range(len(queries), dtype=tf.int64)
    return float(_loss(queries, columns, **({"query_of": every, "column_of": every, "temperature": 0.5} | options)))


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
    options = {"keys": (7, 8, 7), "frequency": (1, 1, 1), "temperature": 1.0, "logq": 0.0}
    expected = pytest.approx((0.513015 + 0.641147 + 0.913015) / 3, abs=1e-6)
    assert _main(queries, items, **options) == expected
    assert _main(queries, items, copies_differ=True, **options) == expected
    once = {"column_of": _numbers([0, 1, 0]), "copies": [2.0, 1.0]}
    assert _main(queries, items[:2], **(options | {"keys": (7, 8), "frequency": (1, 1)} | once)) == expected
    # Kept as negatives, they add a column of 1 to row 0 and one of 0.6 to row 2:
    # log(2 + e^-0.4) = 0.982198 and log(2 + e^0.4) = 1.250424
    kept = _main(queries, items, remove_accidental_hits=False, **options)
    assert kept == pytest.approx((0.982198 + 0.641147 + 1.250424) / 3, abs=1e-6)


def test_uniform_negatives_are_columns_but_no_examples():
    items = tf.constant([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [1.0, 0.0]])
    options = {"keys": (1, 2, 3, 1), "column_of": _numbers([0, 1])}
    # At temperature 1, logits less log frequency: row 0 [e^1 / 2, e^0.6 / 1, e^0 / 0.5], without its own item's second
    # column: log((1.359141 + 1.822119 + 2) / 1.359141) = 1.338195; row 1 [e^0 / 2, e^0.8 / 1, e^1 / 0.5, e^0 / 2]:
    # log((0.5 + 2.225541 + 5.436564 + 0.5) / 2.225541) = 1.358958
    options |= {"frequency": (2, 1, 0.5, 2), "temperature": 1.0}
    expected = pytest.approx((1.338195 + 1.358958) / 2, abs=1e-6)
    assert _main(items=items, **options) == expected
    assert _main(items=items, copies_differ=True, **options) == expected


def _contrastive(first, second, **options):
    """Of items whose views are the rows, by default each with its own."""
    every = tf.range(len(first), dtype=tf.int64)
    apart = {"first_of": every, "second_of": every, "copies": tf.ones(len(second), tf.int64), "temperature": 0.2}
    return contrastive(first, second, **({"twins": None, "precision": "float32"} | apart | options))


def test_contrastive_negatives_are_the_second_views():
    first = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    second = tf.constant([[0.8, 0.6], [1.0, 0.0]])
    # Scores / 0.2: [[4, 5], [3, 0]]: log(1 + e^1) = 1.313262, log(1 + e^3) = 3.048587.
    assert float(_contrastive(first, second)) == pytest.approx((1.313262 + 3.048587) / 2, abs=1e-6)


def test_twins_are_left_out_except_oneself():
    first = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    second = tf.constant([[0.8, 0.6], [1.0, 0.0]])
    everyone = tf.ones([2, 2], tf.bool)
    assert float(_contrastive(first, second, twins=everyone)) == pytest.approx(0.0, abs=1e-6)


def test_views_that_items_share_count_as_often_as_items_have_them():
    draws = np.random.default_rng(5)
    first, second = (tf.constant(draws.normal(size=(n, 3)), tf.float64) for n in (2, 4))
    first_of, second_of = _numbers([0, 1, 0, 0, 1]), _numbers([0, 1, 1, 2, 3])
    found, expected = [], []
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([first, second])
        shared = _contrastive(first, second, first_of=first_of, second_of=second_of, copies=_numbers([1, 2, 1, 1]))
        apart = _contrastive(tf.gather(first, first_of), tf.gather(second, second_of))
    for loss, numbers in ((shared, found), (apart, expected)):
        numbers += [loss, *(tf.convert_to_tensor(g) for g in tape.gradient(loss, [first, second]))]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


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
    options = {"temperature": 0.3, "logq": 0.7, "copies_differ": True}
    found = _main(tf.constant(queries), tf.constant(items), keys, counts / 400, **options)
    assert found == pytest.approx(total / 9, rel=1e-5)


@pytest.mark.parametrize("remove_accidental_hits", [True, False])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_what_examples_share_counts_as_often_as_they_have_it(remove_accidental_hits, scale):
    draws = np.random.default_rng(4)
    queries, corpus = (tf.constant(scale * draws.normal(size=(n, 3)), tf.float64) for n in (4, 6))
    query_of, item_of = _numbers([0, 1, 0, 2, 3, 0, 1]), _numbers([0, 0, 1, 2, 0, 3, 4])
    keys, frequency = _numbers([9, 8, 7, 6, 5, 4]), tf.constant([0.3, 0.07, 0.16, 0.03, 0.1, 0.02], tf.float64)
    options = {"remove_accidental_hits": remove_accidental_hits, "temperature": 0.5, "logq": 0.8}
    found, expected = [], []
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([queries, corpus])

        def columns_at(which, copies):
            embeddings, column_keys, of_columns = (tf.gather(part, which) for part in (corpus, keys, frequency))
            return Columns(embeddings, column_keys, copies, of_columns)

        # Two uniform negatives: an item that three examples have, and one that none has.
        columns = columns_at([0, 1, 2, 3, 4, 0, 5], copies=tf.constant([3, 1, 1, 1, 1, 1, 1], tf.float64))
        shared = _loss(queries, columns, query_of=query_of, column_of=item_of, **options)
        columns = columns_at(tf.concat([item_of, [0, 5]], axis=0), copies=tf.ones(9, tf.float64))
        every = tf.range(7, dtype=tf.int64)
        options |= {"copies_differ": True}
        apart = _loss(tf.gather(queries, query_of), columns, query_of=every, column_of=every, **options)
    for loss, numbers in ((shared, found), (apart, expected)):
        numbers += [loss, *(tf.convert_to_tensor(g) for g in tape.gradient(loss, [queries, corpus]))]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_replicas_losses_add_up_to_that_of_the_global_batch():
    draws = np.random.default_rng(1)
    queries, items = (tf.constant(draws.normal(size=(6, 3)), tf.float64) for _ in range(2))
    keys, counts = [1, 2, 1, 3, 2, 1], [5, 2, 5, 1, 2, 5]
    items = tf.gather(items, [0, 1, 0, 3, 1, 0])
    alike = tf.constant(draws.random((6, 6)) < 0.3)

    def both(first, end, columns, item_of, copies):
        """Of some of the examples, the items of all of them at these columns."""
        main = _loss(
            queries[first:end],
            Columns(
                tf.gather(items, columns),
                keys=_numbers(np.take(keys, columns)),
                copies=tf.constant(copies, tf.float64),
                frequency=tf.constant(np.take(counts, columns) / 8),
            ),
            query_of=tf.range(end - first, dtype=tf.int64),
            column_of=_numbers(item_of),
            examples=6,
            temperature=tf.constant(0.5, tf.float64),
        )
        own = tf.range(first, end, dtype=tf.int64)
        options = {"first_of": own - first, "second_of": own, "temperature": 0.5, "twins": alike[first:end]}
        return [main, _contrastive(queries[first:end], items, **options)]

    # Examples 0; 1 to 3; 4 and 5: item 1 is in all parts, item 2 in two of them.
    columns, copies = [0, 1, 2, 3, 4, 5], [1] * 6
    parts = [both(first, end, columns, list(range(first, end)), copies) for first, end in ((0, 1), (1, 4), (4, 6))]
    whole = both(0, 6, [0, 1, 3], [0, 1, 0, 2, 1, 0], [3, 2, 1])
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-12)


def _by_autodiff(rows, columns, *, bias, left_out, column):
    """The same loss of TensorFlow's own operations, and its gradients."""
    with tf.GradientTape() as tape:
        tape.watch([rows, columns])
        logits = tf.matmul(rows, columns, transpose_b=True) + bias
        logits = tf.where(left_out, tf.constant(-np.inf, tf.float64), logits)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=column, logits=logits)
        loss = tf.reduce_sum(losses)
    return loss, *tape.gradient(loss, [rows, columns], output_gradients=UPSTREAM)


@pytest.mark.parametrize("scale", [1.0, 40.0])  # at 40 most rows' own probability is below 1e-30
@pytest.mark.parametrize(
    "count", [7, 1000, 1024]
)  # of 1,024 columns, up to which 1,000 are filled, there are some more
def test_the_gradient_written_out_is_that_of_autodiff(scale, count):
    draws = np.random.default_rng(2)
    rows, columns = (tf.constant(scale * draws.normal(size=(n, 5)), tf.float64) for n in (4, count))
    bias = tf.constant(draws.normal(size=count), tf.float64)
    left_out = draws.random((4, count)) < 0.3
    row, column = tf.range(4, dtype=tf.int64), _numbers([2, 0, 2, 6])
    left_out[row, column] = False
    with tf.GradientTape() as tape:
        tape.watch([rows, columns])
        loss = softmax_loss(
            rows, columns, row=row, column=column, copies=tf.ones_like(bias), bias=bias, left_out=tf.where(left_out)
        )
    found = (loss, *tape.gradient(loss, [rows, columns], output_gradients=UPSTREAM))
    expected = _by_autodiff(rows, columns, bias=bias, left_out=left_out, column=column)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("others", [False, True])  # left out
@pytest.mark.parametrize("count", [1, 31, 33, 64, 100])
def test_in_halves_it_is_the_same(monkeypatch, count, others):
    """Rows fill up to 32, 64 or 128, of which the second half may have no row, or no pair; one pair is there often."""
    draws = np.random.default_rng(8)
    rows, columns = (tf.constant(draws.normal(size=(n, 5)), tf.float64) for n in (count, 40))
    row, column = draws.integers(0, min(count, 60), 50), draws.integers(0, 40, 50)
    left_out = draws.random((count, 40)) < 0.3
    left_out[row, column] = False
    row[25:30], column[25:30] = row[0], column[0]
    options = {
        "row": _numbers(row),
        "column": _numbers(column),
        "copies": tf.constant(np.bincount(column, minlength=40) + 1, tf.float64),
        "bias": tf.constant(draws.normal(size=40), tf.float64),
        "left_out": tf.where(left_out),
        "others_left_out": others,
    }

    def run():
        with tf.GradientTape() as tape:
            tape.watch([rows, columns])
            loss = softmax_loss(rows, columns, **options)
        return loss, *tape.gradient(loss, [rows, columns], output_gradients=UPSTREAM)

    found = {}
    for parts, on_gpus in ((1, True), (2, False)):
        monkeypatch.setattr("model.training.processors.has_gpus", lambda on_gpus=on_gpus: on_gpus)
        step = tf.function(run).get_concrete_function()
        assert Counter(op.type for op in step.graph.get_operations())["Softmax"] == parts
        found[parts] = step()
    for ours, theirs in zip(found[1], found[2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_in_bfloat16_the_loss_is_the_same_and_the_gradient_nearly():
    draws = np.random.default_rng(3)
    rows, columns = (tf.constant(draws.normal(size=(64, 16)) / 4, tf.float32) for _ in range(2))
    every = tf.range(64, dtype=tf.int64)
    found = {}
    for precision in ("float32", "bfloat16"):
        with tf.GradientTape() as tape:
            tape.watch([rows, columns])
            loss = softmax_loss(rows, columns, row=every, column=every, copies=tf.ones([64]), precision=precision)
        found[precision] = (float(loss), *(gradient.numpy() for gradient in tape.gradient(loss, [rows, columns])))
    (loss, *exact), (half_loss, *rounded) = found["float32"], found["bfloat16"]
    assert loss == half_loss
    for gradient, expected in zip(rounded, exact, strict=True):
        assert gradient.dtype == np.float32
        assert 1e-3 < np.linalg.norm(gradient - expected) / np.linalg.norm(expected) < 5e-3


@pytest.mark.parametrize("temperature", [0.1, 0.05])  # of losses of 0.04 and 0.0008
def test_in_bfloat16_the_gradient_of_nearly_equal_views_is_more_than_rounding(temperature):
    draws = np.random.default_rng(6)
    first = draws.normal(size=(64, 16))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = first + 0.01 * draws.normal(size=first.shape)
    pairs = _numbers([*range(64), 0, 0, 1])  # some of them more than once
    gradients = []
    for dtype, precision in ((tf.float64, "float32"), (tf.float32, "bfloat16")):
        rows, columns = tf.constant(first, dtype), tf.constant(second, dtype)
        with tf.GradientTape() as tape:
            tape.watch([rows, columns])
            loss = contrastive(
                rows,
                columns,
                first_of=pairs,
                second_of=pairs,
                copies=tf.ones([64], tf.int64),
                temperature=tf.constant(temperature, dtype),
                twins=None,
                precision=precision,
            )
        gradients.append([gradient.numpy() for gradient in tape.gradient(loss, [rows, columns])])
    for exact, rounded in zip(*gradients, strict=True):
        assert 1e-3 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 1e-2


def test_in_bfloat16_the_gradient_of_items_that_are_uniform_negatives_too_is_more_than_rounding():
    """Each of 64 items is an example's and a negative; at temperature 0.07 of losses of 0.02, nearly none."""
    draws = np.random.default_rng(7)
    queries = draws.normal(size=(64, 16))
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    corpus = queries + 0.05 * draws.normal(size=queries.shape)
    every = tf.range(64, dtype=tf.int64)
    keys = tf.concat([every, every], axis=0)
    gradients = []
    for dtype, precision in ((tf.float64, "float32"), (tf.float32, "bfloat16")):
        sides = tf.constant(queries, dtype), tf.constant(corpus, dtype)
        with tf.GradientTape() as tape:
            tape.watch(sides)
            columns = Columns(
                tf.gather(sides[1], keys), keys, copies=tf.ones(128, dtype), frequency=tf.ones(128, tf.float64)
            )
            options = {"temperature": tf.constant(0.07, dtype), "precision": precision}
            loss = _loss(sides[0], columns, query_of=every, column_of=every, **options)
        gradients.append([tf.convert_to_tensor(gradient).numpy() for gradient in tape.gradient(loss, sides)])
    for exact, rounded in zip(*gradients, strict=True):
        assert 1e-5 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 1e-2
