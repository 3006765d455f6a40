"""Pooling and defaults, and reading just the rows that a step touches."""

import numpy as np
import tensorflow as tf
from ragged_lists import ragged

from features.dataset import EncodedFeature
from features.transform_graph import whole_vectors
from model.network.draws import draw_key
from model.network.embedding import EmbeddingTables, column_widths, pool, tower_columns
from model.network.lookups import lookups_of
from model.network.touched_rows import number_codes, read_rows

TABLE = tf.constant([[1.0, 2.0], [3.0, 6.0], [5.0, 7.0]])
DEFAULT = tf.constant([9.0, 9.0])


def _feature(key, vocabulary, codes=3):
    kind = "numeric" if vocabulary is None else "multivalued"
    return EncodedFeature(key, key.split("/")[1], kind, vocabulary, codes)


def _lookup(values):
    return lookups_of({"key": ragged(values)})["key"]


def test_pooling_is_the_mean_of_the_values_and_the_default_where_there_is_none():
    pooled = pool(_lookup([[0, 1], [], [2], [1, 1, 0]]), table=TABLE, default=DEFAULT)
    np.testing.assert_allclose(pooled, [[2, 4], [9, 9], [5, 7], [7 / 3, 14 / 3]], rtol=1e-6)


def test_the_default_has_the_gradient_of_empty_rows_only():
    with tf.GradientTape() as tape:
        tape.watch([TABLE, DEFAULT])
        total = tf.reduce_sum(pool(_lookup([[0, 1], [], []]), table=TABLE, default=DEFAULT))
    by_table, by_default = tape.gradient(total, [TABLE, DEFAULT])
    np.testing.assert_allclose(by_table, [[0.5, 0.5], [0.5, 0.5], [0, 0]])
    np.testing.assert_allclose(by_default, [2, 2])


def test_a_feature_that_no_entity_shows_has_no_gradient():
    # TensorFlow's own gradient is whatever lay in memory, so look at it more than once.
    for size in (3, 300, 3000):
        table = tf.ones([size, 64])
        with tf.GradientTape() as tape:
            tape.watch(table)
            total = tf.reduce_sum(pool(_lookup([[], []]), table=table, default=tf.zeros([64])))
        gradient = tape.gradient(total, table, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        assert not np.any(gradient)


def test_a_tower_reads_each_feature_or_its_default():
    features = [_feature("item/tags", "tags"), _feature("item/size", None)]
    defaults = EmbeddingTables(features, dim=2, seed=0, hashed={}).defaults
    defaults["item/tags"].assign([9.0, 9.0])
    defaults["item/size"].assign(-4.0)
    values = {"item/tags": ragged([[0], []]), "item/size": ragged([[], [0.5]], tf.float32)}
    tags, size = tower_columns(lookups_of(values), features, tables={"tags": TABLE}, defaults=defaults)
    np.testing.assert_allclose(tags, [[1, 2], [9, 9]])
    np.testing.assert_allclose(size, [[-4], [0.5]])


def test_a_vector_is_read_at_length_1_or_as_its_default():
    features = [EncodedFeature("item/look", "look", "vector", None, 0, size=2), _feature("item/size", None)]
    defaults = EmbeddingTables(features, dim=5, seed=0, hashed={}).defaults
    assert defaults["item/look"].numpy().tolist() == [0, 0]
    defaults["item/look"].assign([7.0, 8.0])
    looks = whole_vectors(ragged([[], [3.0, -4.0], [0.0, 0.0], [], [0.0, 2e38]], tf.float32), 2)
    values = {"item/look": looks, "item/size": ragged([[1.0]] * 5, tf.float32)}
    assert column_widths(features, dim=5) == [2, 1]
    with tf.GradientTape() as tape:
        look, size = tower_columns(lookups_of(values), features, tables={}, defaults=defaults)
    np.testing.assert_allclose(look, [[7, 8], [0.6, -0.8], [0, 0], [7, 8], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(size, [[1]] * 5)
    np.testing.assert_allclose(tape.gradient(look, defaults["item/look"].value), [2, 2])


def test_one_table_per_vocabulary_and_one_default_per_feature():
    features = [_feature("query/page", "page", 7), _feature("item/page", "page", 7), _feature("item/size", None)]
    embeddings = EmbeddingTables(features, dim=4, seed=0, hashed={})
    assert {name: tuple(table.shape) for name, table in embeddings.tables.items()} == {"page": (7, 4)}
    shapes = {key: tuple(default.shape) for key, default in embeddings.defaults.items()}
    assert shapes == {"query/page": (4,), "item/page": (4,), "item/size": ()}
    query, item, size = (default.numpy() for default in embeddings.defaults.values())
    assert size == 0  # the mean of a normalised number
    assert len({*query.tolist(), *item.tolist()}) == 8  # each is drawn by itself


def test_a_table_starts_as_drawn_op_by_op():
    table = EmbeddingTables([_feature("item/page", "page", 70_000)], dim=5, seed=3, hashed={}).tables["page"]
    plain = tf.random.stateless_uniform([70_000, 5], draw_key(3, "initial page"), -0.05, 0.05)
    np.testing.assert_array_equal(table, plain)


def test_each_row_is_read_once_and_codes_are_renumbered():
    query, item = [_feature("query/page", "page")], [_feature("item/page", "page")]
    sides = [({"query/page": ragged([[2], [0]])}, query), ({"item/page": ragged([[2, 1], []])}, item)]
    touched, (first, second) = number_codes(["page"], sides, hashed={})
    rows = read_rows({"page": tf.Variable(TABLE)}, touched)
    assert rows["page"].ids.numpy().tolist() == [2, 0, 1]
    np.testing.assert_allclose(rows["page"].values, [[5, 7], [1, 2], [3, 6]])
    assert first["query/page"].to_list() == [[0], [1]]
    assert second["item/page"].to_list() == [[0, 2], []]
