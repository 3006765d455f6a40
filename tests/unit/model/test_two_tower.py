"""The towers as functions of their features."""

import numpy as np
import pytest
import tensorflow as tf

from features.spec.spec import Spec
from model.network.corpus import read_corpus
from model.network.embedding import look_up
from model.network.feature_values import features_spec
from model.network.item_parts import item_parts
from model.network.tower import UnitNorm, run_tower_on_shown
from model.network.two_tower import TwoTower


@pytest.fixture
def two_tower(tiny_dataset):
    return TwoTower(tiny_dataset.spec, tiny_dataset.manifest.vocabularies)


def test_encodes_any_number_of_entities_to_unit_length(two_tower, tiny_dataset):
    features = read_corpus(tiny_dataset).features
    everything = two_tower.encode_items(features).numpy()
    assert everything.shape == (60, 8)
    np.testing.assert_allclose(np.linalg.norm(everything, axis=1), 1, rtol=1e-5)
    some = two_tower.encode_items({key: values[3:10] for key, values in features.items()})
    np.testing.assert_allclose(some, everything[3:10], rtol=1e-5, atol=1e-6)


def test_against_numpy(two_tower, tiny_dataset):
    weights = {name: variable.numpy() for name, variable in two_tower.weights().items()}
    features = read_corpus(tiny_dataset).features
    for item in (0, 7):  # item 7 has neither words nor size
        row = []
        for feature in tiny_dataset.features("item"):
            values = features[feature.key][item].numpy()
            if feature.kind == "numeric":
                row.append(values if len(values) else [weights["default/item/size"]])
            else:
                table = weights[f"table/{feature.vocabulary}"]
                row.append(table[values].mean(axis=0) if len(values) else weights[f"default/{feature.key}"])
        hidden = np.concatenate(row) @ weights["item_tower/0/kernel"] + weights["item_tower/0/bias"]
        raw = np.maximum(hidden, 0) @ weights["item_tower/1/kernel"] + weights["item_tower/1/bias"]
        one = two_tower.encode_items({key: values[item : item + 1] for key, values in features.items()})
        np.testing.assert_allclose(one[0], raw / np.linalg.norm(raw), rtol=1e-4, atol=1e-6)


def test_a_row_of_zeros_has_no_gradient_by_which_weights_would_never_move_again():
    rows = tf.constant([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        normal = UnitNorm()(rows)
        loss = tf.reduce_sum(normal * [[2.0, -1.0], [1.0, 0.0]])
    np.testing.assert_allclose(normal, [[0, 0], [0.6, 0.8]], rtol=1e-6)
    # (1 - 0.6 * 0.6) / 5 and -0.6 * 0.8 / 5.
    np.testing.assert_allclose(tape.gradient(loss, rows), [[2, -1], [0.128, -0.096]], rtol=1e-5)


def test_no_table_is_read_whole(two_tower):
    # After a step TensorFlow copies it for that.
    signature = [features_spec(two_tower.item_features)]
    graph = tf.function(two_tower.items, input_signature=signature).get_concrete_function().graph
    read = {tuple(op.outputs[0].shape) for op in graph.get_operations() if op.type == "ReadVariableOp"}
    tables = {tuple(table.shape) for table in two_tower.embeddings.tables.values()}
    assert len(tables) == 3
    assert not tables & read


def test_a_head_of_its_own_leaves_the_towers_alone(two_tower, tiny_dataset):
    ssl = tiny_dataset.spec.ssl.model_copy(update={"projection_head": 5})
    with_head = TwoTower(tiny_dataset.spec.model_copy(update={"ssl": ssl}), tiny_dataset.manifest.vocabularies)
    weights = {name: variable.numpy() for name, variable in with_head.weights().items()}
    assert set(weights) - set(two_tower.weights()) == {
        f"projection_head/{depth}/{name}" for depth in (0, 1) for name in ("kernel", "bias")
    }
    features = read_corpus(tiny_dataset).features
    embeddings = two_tower.encode_items(features).numpy()
    np.testing.assert_array_equal(with_head.encode_items(features), embeddings)
    assert two_tower.project(embeddings, precision="float32") is embeddings
    hidden = np.maximum(embeddings @ weights["projection_head/0/kernel"] + weights["projection_head/0/bias"], 0)
    raw = hidden @ weights["projection_head/1/kernel"] + weights["projection_head/1/bias"]
    found = with_head.project(tf.constant(embeddings), precision="float32").numpy()
    assert found.shape == (60, 5)
    np.testing.assert_allclose(found, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-3, atol=1e-5)


def test_in_bfloat16_embeddings_are_nearly_the_same_and_of_unit_length(two_tower, tiny_dataset):
    items = read_corpus(tiny_dataset).features
    tables, lookups = look_up(two_tower.embeddings, items, features=two_tower.item_features)
    exact, rounded = (
        two_tower.looked_up("item", lookups, tables=tables, precision=p).numpy() for p in ("float32", "bfloat16")
    )
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=1), 1, rtol=1e-6)
    errors = np.linalg.norm(rounded - exact, axis=1)
    assert 1e-4 < errors.max() < 2e-2  # 8 significant bits


def test_parts_that_hide_features_are_embedded_and_learned_from_as_whole_items_are(
    two_tower, tiny_dataset, monkeypatch
):
    items = read_corpus(tiny_dataset).features
    nothing = {key: values[:, :0] for key, values in items.items()}
    parts = [items, {**items, "item/words": nothing["item/words"]}, {**nothing, "item/topic": items["item/topic"]}]
    parts += [nothing]  # though a product needs some columns
    together = {key: tf.concat([part[key] for part in parts], axis=0) for key in items}
    tables, lookups = look_up(two_tower.embeddings, together, features=two_tower.item_features)
    shown = item_parts(parts, two_tower.item_features, dim=tiny_dataset.spec.model.embedding_dim)

    def whole(precision):
        return two_tower.looked_up("item", lookups, tables=tables, precision=precision)

    def in_parts(precision):
        found = two_tower.looked_up_items_in_parts(lookups, tables, parts=shown, precision=precision)
        assert [part.shape[0] for part in found] == [60, 60, 60, 60]
        return tf.concat(found, axis=0)

    def gradients(embed):
        with tf.GradientTape() as tape:
            tape.watch(tables)
            # Rows have unit length, so a plain sum would have hardly any gradient.
            embedded = embed("float32")
            total = tf.reduce_sum(embedded * tf.random.stateless_normal(tf.shape(embedded), [1, 2]))
        weights = [tables, two_tower.dense_weights()]
        found = tape.gradient(total, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient).numpy() for gradient in tf.nest.flatten(found)]

    asked = []
    run = "model.network.two_tower.run_tower_on_shown"
    monkeypatch.setattr(
        run, lambda *a, shown, **o: asked.append(shown.numpy()) or run_tower_on_shown(*a, shown=shown, **o)
    )
    np.testing.assert_allclose(in_parts("float32"), whole("float32"), atol=1e-6)
    np.testing.assert_array_equal(asked, shown.shown)  # each part multiplies what it shows alone
    np.testing.assert_allclose(in_parts("bfloat16"), whole("bfloat16"), atol=2e-2)  # 8 significant bits
    for found, expected in zip(gradients(in_parts), gradients(whole), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_without_normalisation_lengths_differ(tiny_dataset):
    model = tiny_dataset.spec.model.model_copy(update={"normalize": False})
    two_tower = TwoTower(tiny_dataset.spec.model_copy(update={"model": model}), tiny_dataset.manifest.vocabularies)
    lengths = np.linalg.norm(two_tower.encode_items(read_corpus(tiny_dataset).features), axis=1)
    assert np.ptp(lengths) > 1e-3


def test_towers_share_tables_by_vocabulary_but_no_layer(two_tower):
    names = set(two_tower.weights())
    assert {"table/page", "table/topic", "table/item_words"} == {n for n in names if n.startswith("table/")}
    assert {"default/query/page", "default/item/page", "query_tower/0/kernel", "item_tower/1/bias"} <= names


def test_initial_weights_are_a_function_of_the_seed(tiny_dataset):
    vocabularies = tiny_dataset.manifest.vocabularies

    def weights(seed):
        train = tiny_dataset.spec.train.model_copy(update={"seed": seed})
        found = TwoTower(tiny_dataset.spec.model_copy(update={"train": train}), vocabularies).weights()
        return {name: variable.numpy() for name, variable in found.items()}

    first, again, other = weights(0), weights(0), weights(1)
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    for name in ("table/page", "query_tower/0/kernel", "item_tower/1/kernel", "default/item/words"):
        assert not np.array_equal(first[name], other[name])
    assert not np.array_equal(first["query_tower/0/kernel"][:8, :8], first["query_tower/1/kernel"][:8, :8])


def test_towers_of_one_shape_start_as_one_function(tiny_dataset):
    page_and_topic = tiny_dataset.spec.model_copy(update={"item": tiny_dataset.spec.query})
    two_tower = TwoTower(page_and_topic, tiny_dataset.manifest.vocabularies)
    features = read_corpus(tiny_dataset).features
    as_queries = {key.replace("item/", "query/"): values for key, values in features.items()}
    np.testing.assert_array_equal(two_tower.encode_queries(as_queries), two_tower.encode_items(features))


@pytest.mark.parametrize("latest_apart", [True, False])
def test_a_history_is_its_mean_and_its_latest_item(tiny_dataset, latest_apart):
    tree = tiny_dataset.spec.model_dump()
    tree |= {"query": {}, "session": {}, "split": {"method": "query_hash"}}
    tree["sources"] |= {"queries": None, "interactions": tree["sources"]["interactions"] | {"timestamp": "at"}}
    tree["model"] |= {"latest_apart": latest_apart}
    two_tower = TwoTower(Spec.model_validate(tree), tiny_dataset.manifest.vocabularies)
    weights = {name: variable.numpy() for name, variable in two_tower.weights().items()}
    assert ("default/pair/latest" in weights) == latest_apart
    history = tf.RaggedTensor.from_row_lengths(tf.constant([4, 9, 9, 2], tf.int64), tf.constant([4, 0], tf.int64))
    table = weights["table/page"]  # the item id's own
    mean, latest = (table[4] + 2 * table[9] + table[2]) / 4, table[2]
    defaults = [weights["default/pair/history"], weights.get("default/pair/latest")]
    for found, parts in zip(
        two_tower.encode_queries({"pair/history": history}), ([mean, latest], defaults), strict=True
    ):
        row = np.concatenate(parts[: 1 + latest_apart])
        hidden = row @ weights["query_tower/0/kernel"] + weights["query_tower/0/bias"]
        raw = np.maximum(hidden, 0) @ weights["query_tower/1/kernel"] + weights["query_tower/1/bias"]
        np.testing.assert_allclose(found, raw / np.linalg.norm(raw), rtol=1e-4, atol=1e-6)


def test_a_learned_temperature_stops_at_a_bound_and_can_come_back(tiny_dataset):
    train = tiny_dataset.spec.train.model_copy(update={"learnable_temperature": True})
    two_tower = TwoTower(tiny_dataset.spec.model_copy(update={"train": train}), tiny_dataset.manifest.vocabularies)
    log = two_tower.log_temperatures["main"].value
    log.assign(np.log(0.001))
    with tf.GradientTape() as tape:
        used = two_tower.temperature("main")
    assert [float(used), float(tape.gradient(used, log))] == pytest.approx([0.01, 0.01])


def test_products_keep_all_bits_of_float32(tiny_dataset):
    tf.config.experimental.enable_tensor_float_32_execution(True)
    TwoTower(tiny_dataset.spec, tiny_dataset.manifest.vocabularies)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
