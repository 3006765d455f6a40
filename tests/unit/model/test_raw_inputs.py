"""Requests of every form end as an entity table would."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_specs import small_spec

from features.spec.features import (
    CategoricalFeature,
    IdFeature,
    MultivaluedFeature,
    NumericFeature,
    TextFeature,
    VectorFeature,
)
from model.serving.raw_entities import own_id, padded, to_tensors
from model.serving.raw_inputs import EXCLUDE, RAW_HISTORY, from_examples, from_tensors, tensor_specs
from model.serving.unknown_query import all_features, instead_of_unknown
from stage.errors import UsageError

KEYS: dict[str, Any] = {
    "item/app": IdFeature(kind="id"),
    "item/class": CategoricalFeature(kind="categorical"),
    "item/tags": MultivaluedFeature(kind="multivalued"),
    "item/words": TextFeature(kind="text"),
    "item/size": NumericFeature(kind="numeric"),
    "item/image": VectorFeature(kind="vector", size=2),
    RAW_HISTORY: None,
    EXCLUDE: None,
}
APPS = {"app": "id", "class": "categorical", "tags": "multivalued", "size": "numeric"}
CLEAN = {
    "item/app": [[b"a1"], [], [b"7"]],
    "item/class": [[b"x y"], [], [b" "]],
    "item/tags": [[b"t 1", b"t2"], [], [b"t3"]],
    "item/words": [[b"Two words"], [], [b"more"]],
    "item/size": [[1.5], [], [0.0]],
    "item/image": [[0.5, -1.0], [], []],
    RAW_HISTORY: [[b"a1", b"7"], [], [b"a1"]],
    EXCLUDE: [[b"7"], [], []],
}


def listed(found: dict[str, tf.RaggedTensor]) -> dict[str, Any]:
    return {key: values.to_list() for key, values in found.items()}


def test_plain_tensors_lose_their_padding() -> None:
    tensors = {
        "item_app": tf.constant(["a1", "", "7"]),
        "item_class": tf.constant(["x\t\ny", "", "\n"]),
        "item_tags": tf.constant([["t\x001", "t2"], ["", ""], ["", "t3"]]),
        "item_words": tf.constant(["Two\x7fwords", "", "more"]),
        "item_size": tf.constant([1.5, float("nan"), 0.0]),
        "item_image": tf.constant([[0.5, -1.0], [float("nan"), float("nan")], [2.0, float("inf")]]),
        "history": tf.constant([["a1", "7"], ["", ""], ["", "a1"]]),
        "exclude": tf.constant([["7"], [""], [""]]),
    }
    assert listed(from_tensors(tensors, KEYS)) == CLEAN
    for name, spec in tensor_specs(KEYS).items():
        assert spec.is_compatible_with(tensors[name]), name
    assert not tensor_specs(KEYS)["item_image"].is_compatible_with(tf.zeros([3, 3]))
    sizes = tf.constant([float("inf"), float("-inf"), 1.0])
    only = {"item/size": KEYS["item/size"]}
    assert listed(from_tensors({"item_size": sizes}, only)) == {"item/size": [[], [], [1.0]]}
    for rows, width in ((2, 0), (0, 2), (0, 0)):
        nothing = {EXCLUDE: tf.zeros([rows, width], tf.string)}
        assert listed(from_tensors(nothing, {EXCLUDE: None})) == {EXCLUDE: [[]] * rows}


@pytest.mark.parametrize("excluded", [1, 3])
def test_of_inputs_each_has_as_many_rows(excluded: int) -> None:
    tensors = {"item_app": tf.constant(["a1", "7"]), "exclude": tf.fill([excluded, 1], "7")}
    with pytest.raises(tf.errors.InvalidArgumentError, match="one number of rows of the inputs item_app, exclude"):
        from_tensors(tensors, {key: KEYS[key] for key in ("item/app", EXCLUDE)})


def test_serialized_examples_may_lack_any_key() -> None:
    def example(**lists: list[Any]) -> bytes:
        features = {}
        for key, values in lists.items():
            if isinstance(values[0], float):
                features[key.replace("item_", "item/")] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
            else:
                texts = tf.train.BytesList(value=[value.encode() for value in values])
                features[key.replace("item_", "item/")] = tf.train.Feature(bytes_list=texts)
        return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())

    serialized = [
        example(
            item_app=["a1"],
            item_class=["", "x\ny", "second"],
            item_tags=["t\n1", "", "t2"],
            item_words=["Two words"],
            item_size=[float("nan"), 1.5, 9.0],
            item_image=[0.5, -1.0],
            history=["a1", "7"],
            exclude=["7"],
        ),
        example(),
        example(
            item_app=["7"],
            item_class=["\n"],
            item_tags=["t3"],
            item_words=["more"],
            item_size=[0.0],
            item_image=[float("nan"), 2.0],
            history=["a1"],
        ),
    ]
    assert listed(from_examples(tf.constant(serialized), KEYS)) == CLEAN
    too_long = tf.constant([example(item_image=[0.5, -1.0, 2.0])])
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"Key: item/image.* Values size: 3 but output shape: \[2\]"
    ):
        from_examples(too_long, KEYS)


def test_texts_are_padded_to_one_width() -> None:
    assert padded([["a", "b"], [], ["c"]]).numpy().tolist() == [[b"a", b"b"], [b"", b""], [b"c", b""]]
    assert padded([[], []]).numpy().tolist() == [[b""], [b""]]
    assert padded([]).shape == (0, 1)


def test_entities_become_what_a_signature_takes(spec_of_apps: Any) -> None:
    found = to_tensors(
        [{"app": "a1", "tags": ("x", "y"), "size": 3}, {"class": None, "size": -(10**400)}], "item", spec=spec_of_apps
    )
    assert found["item_size"].numpy()[0] == 3
    assert math.isnan(found.pop("item_size").numpy()[1])  # beyond float32, so none
    assert {name: tensor.numpy().tolist() for name, tensor in found.items()} == {
        "item_app": [b"a1", b""],
        "item_class": [b"", b""],
        "item_tags": [[b"x", b"y"], [b"", b""]],
    }


def test_what_raw_tables_hold_is_taken_as_their_text(spec_of_apps: Any) -> None:
    given: list[dict[str, Any]] = [
        {"app": 5003, "class": True, "tags": [1, None, 2]},
        {"app": 0, "class": -7, "tags": (3,)},
        {"class": False, "tags": []},
    ]
    found = to_tensors(given, "item", spec=spec_of_apps)
    assert {name: tensor.numpy().tolist() for name, tensor in found.items() if name != "item_size"} == {
        "item_app": [b"5003", b"0", b""],
        "item_class": [b"true", b"-7", b"false"],
        "item_tags": [[b"1", b"2"], [b"3", b""], [b"", b""]],
    }
    assert [own_id(one, "item", spec=spec_of_apps) for one in given] == ["5003", "0", None]


def test_scalars_and_arrays_of_numpy_are_taken_as_python_s(spec_of_apps: Any) -> None:
    given: list[dict[str, Any]] = [
        {"app": np.int64(5003), "class": np.bool_(True), "tags": [np.int32(1), 2], "size": np.float32(1.5)},
        {"app": np.str_("a1"), "class": np.uint8(7), "tags": np.array(["x", "y"]), "size": np.int16(-2)},
        {"class": np.False_, "size": 0},
    ]
    found = to_tensors(given, "item", spec=spec_of_apps)
    assert found.pop("item_size").numpy().tolist() == [1.5, -2, 0]
    assert {name: tensor.numpy().tolist() for name, tensor in found.items()} == {
        "item_app": [b"5003", b"a1", b""],
        "item_class": [b"true", b"7", b"false"],
        "item_tags": [[b"1", b"2"], [b"x", b"y"], [b"", b""]],
    }
    assert [own_id(one, "item", spec=spec_of_apps) for one in given] == ["5003", "a1", None]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("app", True, "a text or an integer"),
        ("app", np.True_, "a text or an integer"),
        ("app", np.float64(5003), "a text or an integer"),
        ("class", np.float32(1.5), "a text, an integer, true or false"),
        ("tags", np.array([1.5]), "a list of texts, or of integers"),
        ("tags", [np.True_], "a list of texts, or of integers"),
        ("size", np.True_, "a number"),
        ("app", 5003.0, "a text or an integer"),
        ("class", 1.5, "a text, an integer, true or false"),
        ("class", ["a"], "a text, an integer, true or false"),
        ("class", "\ud800", "a text, an integer, true or false"),  # as JSON of half a pair
        ("tags", ["a", "\ud800"], "a list of texts, or of integers"),
        ("tags", "a", "a list of texts, or of integers"),
        ("tags", [1, "a"], "a list of texts, or of integers"),
        ("tags", [True], "a list of texts, or of integers"),
        ("tags", [1.0], "a list of texts, or of integers"),
        ("tags", b"ab", "a list of texts, or of integers"),
        ("tags", 7, "a list of texts, or of integers"),
        ("size", True, "a number"),
        ("size", "3", "a number"),
        ("size", Decimal("sNaN"), "a number"),
    ],
)
def test_values_of_another_kind_are_refused(spec_of_apps: Any, name: str, value: object, wanted: str) -> None:
    with pytest.raises(UsageError) as refused:
        to_tensors([{name: value}], "item", spec=spec_of_apps)
    assert str(refused.value) == f"item: {name}: expected {wanted}, got {value!r}"


@pytest.mark.parametrize(
    ("third", "message"),
    [({"size": "3"}, "size: expected a number, got '3'"), ({"sizes": 3}, "no feature 'sizes'; did you mean 'size'?")],
)
def test_of_several_the_one_that_is_refused_is_named(spec_of_apps: Any, third: Any, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        to_tensors([{}, {"size": 3}, third, third], "item", spec=spec_of_apps)
    assert str(refused.value) == f"item 3 of 4: {message}"


def test_vectors_are_lists_of_as_many_numbers_as_the_spec_says() -> None:
    spec = small_spec(item={"app": "id", "image": {"kind": "vector", "size": 3}})
    given: list[Any] = [
        [1, 2.5, Decimal("-0.5")],
        np.array([1, 2, 3], np.float16),
        (np.float64(1), np.int8(2), 3),
        [],
        np.array([]),
        None,
    ]
    found = to_tensors([*({"image": one} for one in given), {}], "item", spec=spec)["item_image"]
    assert (found.dtype, found.shape) == (tf.float32, (7, 3))
    assert found.numpy()[:3].tolist() == [[1, 2.5, -0.5], [1, 2, 3], [1, 2, 3]]
    assert np.isnan(found[3:]).all()
    assert to_tensors([], "item", spec=spec)["item_image"].shape == (0, 3)


@pytest.mark.parametrize(
    ("value", "got"),
    [
        ([1, 2], "a list of 2"),
        (np.zeros((1, 3)), "a list of 1"),
        ([0.0] * 512, "a list of 512"),
        ([1, "2", None], "a list with '2'"),
        ([1, None, 3], "a list with None"),
        ([0.5, True, 3], "a list with True"),
        ([[1], [2], [3]], "a list with [1]"),
        (np.array([1, np.nan, np.inf]), "a list with nan"),
        ([1, Decimal("sNaN"), 3], "a list with Decimal('sNaN')"),
        ([1, 2, -1e39], "a list with -1e+39"),  # beyond float32
        ([1, 10**400, 3], "a list with 100000000000000000...0000000000000000000"),
        ("1,2,3", "'1,2,3'"),
        ("x" * 512, f"'{'x' * 12}...{'x' * 13}'"),
        (b"abc", "b'abc'"),
        (7, "7"),
        ({1: 2, 3: 4, 5: 6}, "{1: 2, 3: 4, 5: 6}"),
    ],
)
def test_what_is_no_such_vector_is_told_in_few_words(value: object, got: str) -> None:
    spec = small_spec(query={"image": {"kind": "vector", "size": 3}}, sources={"queries": {"path": "users"}})
    with pytest.raises(UsageError) as refused:
        to_tensors([{"image": value}], "query", spec=spec)
    assert str(refused.value) == f"query: image: expected a list of 3 numbers, got {got}"


def test_who_asks_for_an_unknown_query_is_told_of_its_features(spec_of_apps: Any) -> None:
    near = "; did you mean 'a1'?"
    assert instead_of_unknown(spec_of_apps, near) == near
    assert instead_of_unknown(spec_of_apps, "") == (
        "; the model knows nothing of a new id: in the spec, give queries features, or use the section session"
    )
    users = {"user": "id", "country": "categorical", "age": "numeric", "face": {"kind": "vector", "size": 2}}
    spec = small_spec(sources={"queries": {"path": "users"}}, query=users, item=APPS)
    said = """ask with its features instead, as in '{"country": ..., "age": ..., "face": [...]}'"""
    assert instead_of_unknown(spec, "") == f"; {said}"
    assert instead_of_unknown(spec, near) == f"{near} Or {said}"
    listeners = small_spec(
        log={"timestamp": "at"},
        sources={"queries": {"path": "users"}},
        query={"country": "categorical"},
        item={"song": "id"},
        split={"method": "query_hash"},
        session={},
    )
    assert instead_of_unknown(listeners, "") == (
        """; ask with its features instead, as in '{"history": [...], "country": ...}'"""
    )
    told = """'{"user": "a\\"ü", "country": ..., "age": ..., "face": [...]}'"""
    assert all_features(spec, 'a"ü') == told
    assert all_features(spec_of_apps, "a1") == """'{"app": "a1"}'"""


@pytest.fixture
def spec_of_apps() -> Any:
    return small_spec(sources={"queries": "items"}, query={"app": "id"}, item=APPS)
