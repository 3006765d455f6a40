"""The TFT graph, analysed by a real pipeline over a few entities: codes and numbers by hand."""

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from small_specs import small_spec
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from features.entities import entity_schema
from features.preprocessing import preprocessing_fn
from features.spec.features import Side
from features.transform_inputs import to_transform_batch, transform_inputs, transform_schema
from features.vocabularies import vocabularies
from pipelines.aggregation.packing import pack
from pipelines.beam.learn import ConstantsForGraph, LearnVocabularies, learn_constants

SPEC = small_spec(
    sources={"queries": {"path": "x"}},
    query={
        "user": {"kind": "id", "min_count": 1},
        "seen": {"kind": "multivalued", "vocabulary": "tags", "min_count": 2, "max_values": 2},
    },
    item={
        "page": "id",
        "color": {"kind": "categorical", "oov_buckets": 2, "top_k": 1},
        "tags": {"kind": "multivalued", "vocabulary": "tags", "min_count": 2, "max_values": 2},
        "title": {"kind": "text", "ngrams": [1, 2], "max_values": 3},
        "hashed": {"kind": "text", "hash_buckets": 7},
        "size": "numeric",
        "logged": {"kind": "numeric", "log1p": True},
        "same": "numeric",
        "never": "numeric",
    },
)
SIZES = [1.0, 2.0, 4.0, None, -3.5, 1e9]
# Enough to hold a second analysis to the first; each analyzer costs a second.
SMALL = SPEC.model_copy(
    update={"item": Side(features={name: SPEC.item.features[name] for name in ("page", "tags", "logged")})}
)
LOGGED = [0.0, 10.0, None, 1e6, -5.0, 3.0]
ITEMS = [
    {"id": f"p{n}", "title": None, "train_count": count, "full_train_count": 0, "feature/color": color,
     "feature/tags": tags, "feature/title": title, "feature/hashed": title, "feature/size": SIZES[n],
     "feature/logged": LOGGED[n], "feature/same": 5.0, "feature/never": None}
    for n, (count, color, tags, title) in enumerate(
        [
            (0, "red", ["x", "y", "z", "w"], "Red fox"),
            (5, "red", ["once", "once", "z", "x"], "The red FOX"),
            (2, "blue", [], None),
            (0, None, ["w"], "?!"),
            (9, "green", ["w", "w"], "red"),
            (1, "red", None, "fox jumps high over"),
        ]
    )
]  # fmt: skip
QUERIES = [
    {"id": "u1", "title": None, "train_count": 1, "full_train_count": 1, "feature/seen": ["y", "never seen", "x"]},
    {"id": "u2", "title": None, "train_count": 3, "full_train_count": 3, "feature/seen": ["z"]},
    {"id": "u0", "title": None, "train_count": 0, "full_train_count": 0, "feature/seen": []},
]


def tables(spec, side_name, size):
    rows = ITEMS if side_name == "item" else QUERIES
    table = pa.Table.from_pylist(rows, schema=entity_schema(getattr(spec, side_name)))
    return [table.slice(start, size) for start in range(0, len(rows), size)]


def batches(spec, size):
    sides = ("item", "query")
    return [
        to_transform_batch(table, side_name, spec=spec)
        for side_name in sides
        for table in tables(spec, side_name, size)
    ]


def transform(spec, directory, size):
    """Learns from tables of so many rows and hands on what the graph makes of them: name -> id -> values."""
    representations = {
        name: schema_pb2.TensorRepresentation(
            varlen_sparse_tensor=schema_pb2.TensorRepresentation.VarLenSparseTensor(column_name=name)
        )
        for name in transform_inputs(spec)
    }
    config = TensorAdapterConfig(transform_schema(spec), representations)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline, tft_beam.Context(temp_dir=str(directory / "temporary")):
        entities = {
            side_name: pipeline
            | side_name >> beam.Create([(0, pack(table)) for table in tables(spec, side_name, size)])
            for side_name in ("item", "query")
        }
        preprocess = preprocessing_fn(
            spec,
            learn_vocabularies=LearnVocabularies(entities, spec, shards=2, directory=str(directory / "vocabularies")),
            learn_constants=ConstantsForGraph(entities | learn_constants(spec)),
        )
        nothing = pipeline | beam.Create([]).with_output_types(pa.RecordBatch)
        transform_fn = (nothing, config) | tft_beam.AnalyzeDataset(preprocess)
        _ = transform_fn | tft_beam.WriteTransformFn(str(directory / "transform"))
    output = tft.TFTransformOutput(str(directory / "transform"))
    layer = output.transform_features_layer()
    rows = {}
    for batch in batches(spec, size):
        ids = [value[0].decode() for value in batch.column("entity_id").to_pylist()]
        encoded = layer({name: sparse(batch.column(name)) for name in transform_inputs(spec)})
        for name, values in encoded.items():
            rows.setdefault(name, {}).update(zip(ids, tf.RaggedTensor.from_sparse(values).to_list(), strict=True))
    return output, rows


def sparse(column):
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(column.flatten().to_numpy(zero_copy_only=False), kind_of(column)),
        column.value_lengths().to_numpy(zero_copy_only=False),
    )
    return ragged.to_sparse()


def kind_of(column):
    kind = column.type.value_type
    return tf.float32 if pa.types.is_floating(kind) else tf.int64 if pa.types.is_integer(kind) else tf.string


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return transform(SPEC, tmp_path_factory.mktemp("whole"), 100)


@pytest.fixture(scope="module")
def output(whole):
    return whole[0]


@pytest.fixture(scope="module")
def rows(whole):
    return whole[1]


def terms(output, name):
    return [term.decode() for term in output.vocabulary_by_name(name)]


def test_each_vocabulary_is_learned_once():
    assert list(vocabularies(SPEC)) == ["item_color", "item_page", "item_title", "query_user", "tags"]


def test_ids_count_training_pairs_and_those_with_none_are_kept_last(output, rows):
    assert terms(output, "item_page")[:4] == ["p4", "p1", "p2", "p5"]
    assert sorted(terms(output, "item_page")[4:]) == ["p0", "p3"]
    assert [rows["item/page"][f"p{n}"] for n in (4, 1, 2, 5)] == [[0], [1], [2], [3]]
    assert sorted(rows["item/page"][f"p{n}"][0] for n in range(6)) == [0, 1, 2, 3, 4, 5]


def test_an_id_that_must_be_counted_once_needs_a_training_pair(output, rows):
    assert terms(output, "query_user") == ["u2", "u1"]
    assert rows["query/user"] == {"u1": [1], "u2": [0], "u0": [], **{f"p{n}": [] for n in range(6)}}


def test_the_most_frequent_terms_are_kept_and_the_others_hashed_into_buckets(output, rows):
    assert terms(output, "item_color") == ["red"]
    found = rows["item/color"]
    assert found["p0"] == found["p1"] == found["p5"] == [0]
    assert found["p3"] == []
    assert {found["p2"][0], found["p4"][0]} <= {1, 2}


def test_a_vocabulary_is_shared_by_both_sides_and_rare_values_are_left_out(output, rows):
    # w, x and z stand in 3 entities, y in two, on both sides together; "once" and "never seen" in one.
    known = terms(output, "tags")
    assert sorted(known[:3]) == ["w", "x", "z"]
    assert known[3:] == ["y"]
    code = {term: [place] for place, term in enumerate(known)}
    assert rows["query/seen"]["u1"] == code["y"] + code["x"]
    assert rows["query/seen"]["u2"] == code["z"]
    # The first two that are known: "once" takes no place.
    assert rows["item/tags"]["p0"] == code["x"] + code["y"]
    assert rows["item/tags"]["p1"] == code["z"] + code["x"]
    assert rows["item/tags"]["p2"] == rows["item/tags"]["p5"] == []
    assert rows["item/tags"]["p4"] == code["w"] * 2


def test_text_is_taken_apart_in_the_graph(output, rows):
    known = terms(output, "item_title")
    assert set(known) == {
        "red", "fox", "the", "jumps", "high", "over", "red fox", "the red", "fox jumps", "jumps high", "high over",
    }  # fmt: skip
    assert set(known[:2]) == {"red", "fox"}
    code = {term: place for place, term in enumerate(known)}
    assert rows["item/title"]["p0"] == [code["red"], code["fox"], code["red fox"]]
    assert rows["item/title"]["p1"] == [code["the"], code["red"], code["fox"]]
    assert rows["item/title"]["p5"] == [code["fox"], code["jumps"], code["high"]]
    assert rows["item/title"]["p2"] == rows["item/title"]["p3"] == []


def test_hashed_text_needs_no_vocabulary(rows):
    bucket = {w: tf.strings.to_hash_bucket_fast(w, 7).numpy() for w in ("red", "fox", "the")}
    assert rows["item/hashed"]["p0"] == [bucket["red"], bucket["fox"]]
    assert rows["item/hashed"]["p1"] == [bucket["the"], bucket["red"], bucket["fox"]]
    assert rows["item/hashed"]["p3"] == []


@pytest.mark.parametrize(
    ("name", "raw", "before"),
    [("size", SIZES, lambda x: x), ("logged", LOGGED, lambda x: np.log1p(np.maximum(x, 0)))],
)
def test_numbers_have_mean_0_and_deviation_1_over_the_items_that_have_them(rows, name, raw, before):
    present = [n for n in range(6) if raw[n] is not None]
    values = before(np.array([raw[n] for n in present], np.float64))
    expected = (values - values.mean()) / values.std()
    found = rows[f"item/{name}"]
    assert [found[f"p{n}"] for n in range(6) if n not in present] == [[]]
    np.testing.assert_allclose([found[f"p{n}"][0] for n in present], expected, atol=1e-6)
    assert found["u1"] == []


def test_a_number_that_is_the_same_everywhere_is_0_and_one_that_nobody_has_is_missing(rows):
    assert [rows["item/same"][f"p{n}"] for n in range(6)] == [[0.0]] * 6
    assert [rows["item/never"][f"p{n}"] for n in range(6)] == [[]] * 6


def test_a_number_seen_by_nobody_in_training_is_finite_in_serving(output):
    inputs = {name: sparse(batches(SPEC, 100)[0].slice(0, 1).column(name)) for name in transform_inputs(SPEC)}
    inputs["item/never"] = tf.SparseTensor([[0, 0]], tf.constant([3.0]), [1, 1])
    found = output.transform_features_layer()(inputs)["item/never"].values.numpy()
    assert found.shape == (1,)
    assert np.isfinite(found).all()


def test_how_rows_are_cut_into_tables_changes_nothing(output, rows, tmp_path):
    other, again = transform(SMALL, tmp_path, 2)
    assert again == {name: rows[name] for name in again}
    for name in vocabularies(SMALL):
        assert terms(other, name) == terms(output, name)
