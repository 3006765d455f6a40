"""The pair's half of an example, by hand."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from small_specs import small_spec

from features.pair_half import Learned, encode_pairs, pair_vocabularies
from features.sessions import pair_schema

CONTEXT = {
    "device": {"kind": "categorical", "vocabulary": "screen"},
    "tags": {"kind": "multivalued", "max_values": 2},
    "search": {"kind": "text", "ngrams": [1, 2], "max_values": 3},
    "hour": {"kind": "numeric"},
    "spent": {"kind": "numeric", "log1p": True},
}
TERMS = {
    "item_song": ["a", "b"],
    "screen": ["tv", "phone"],
    "pair_tags": ["x", "y", "z"],
    "pair_search": ["songs", "quiet", "quiet songs", "evening"],
}
CONSTANTS = {"pair/hour": [0.0, 20.0, 0.5, 0.25], "pair/spent": [0.0, 2.0, 0.25, 0.5]}
"""low, spread, mean, deviation"""


def spec_of(context):
    session = {"context": {"features": context}}
    return small_spec(log={"timestamp": "at"}, item={"song": "id"}, split={"method": "query_hash"}, session=session)


def encode(rows, context, *, rows_at_once=100):
    spec = spec_of(context)
    nothing = dict.fromkeys(pair_schema(spec).names)
    pairs = pa.Table.from_pylist([nothing | {"history": []} | row for row in rows], schema=pair_schema(spec))
    vocabularies = {name: pa.array(TERMS[name], pa.string()) for name in pair_vocabularies(spec)}
    learned = Learned(vocabularies, {key: np.array(found) for key, found in CONSTANTS.items()})
    return [
        record
        for halves in encode_pairs(pairs.combine_chunks(), spec, learned=learned, rows_at_once=rows_at_once)
        for record in halves.to_pylist()
    ]


def decode(record):
    features = tf.train.Example.FromString(record).features.feature
    return {key: list(getattr(found, found.WhichOneof("kind")).value) for key, found in features.items()}


def test_items_that_the_vocabulary_lacks_have_no_code():
    # Example { features { feature { key: "pair/history" value { int64_list { value: [1, 0] } } } } }
    assert encode([{"history": ["x", "b", "a"]}, {}, {"history": ["x"]}], {}) == [
        b"\x0a\x18\x0a\x16\x0a\x0cpair/history\x12\x06\x1a\x04\x0a\x02\x01\x00",
        b"\x0a\x00",
        b"\x0a\x00",
    ]


@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_context_is_codes_and_normalised_numbers(rows_at_once):
    rows = [
        {
            "history": ["b"],
            "feature/device": "phone",
            "feature/tags": ["z", "never seen", "x", "y"],
            "feature/search": "QUIET, evening... songs",
            "feature/hour": 15.0,
            "feature/spent": np.expm1(1.5),
        },
        {"feature/device": "watch", "feature/tags": [], "feature/search": "!?", "feature/hour": 0.0},
        {"feature/search": "quiet songs quiet", "feature/spent": -3.0},
    ]
    assert [decode(record) for record in encode(rows, CONTEXT, rows_at_once=rows_at_once)] == [
        {
            "pair/history": [1],
            "pair/device": [1],
            # The first two that are known; as many n-grams as three, the words first.
            "pair/tags": [2, 0],
            "pair/search": [1, 3, 0],
            # (15 / 20 - 0.5) / 0.25; (1.5 / 2 - 0.25) / 0.5
            "pair/hour": [1.0],
            "pair/spent": [pytest.approx(1.0, abs=1e-6)],
        },
        {"pair/hour": [-2.0]},
        # No logarithm of a negative number: it counts as 0.
        {"pair/search": [1, 0, 1], "pair/spent": [-0.5]},
    ]


@pytest.mark.parametrize(("deviation", "normalised"), [(2.0**-16, 0.0), (2.0**-15, 18.0 * 2**15)])
def test_a_number_that_is_the_same_in_all_of_training_says_nothing(deviation, normalised):
    spec = spec_of({"hour": {"kind": "numeric"}})
    pairs = pa.Table.from_pylist(
        [dict.fromkeys(pair_schema(spec).names) | {"history": [], "feature/hour": 23.0}], schema=pair_schema(spec)
    )
    learned = Learned({"item_song": pa.array(["a"])}, {"pair/hour": np.array([5.0, 1.0, 0.0, deviation])})
    (halves,) = encode_pairs(pairs.combine_chunks(), spec, learned=learned, rows_at_once=9)
    assert decode(halves.to_pylist()[0]) == {"pair/hour": [normalised]}


def test_a_vocabulary_is_read_once_however_many_features_share_it():
    shared = {"kind": "categorical", "vocabulary": "screen"}
    assert pair_vocabularies(spec_of({"device": shared, "last_device": shared, "hour": {"kind": "numeric"}})) == [
        "item_song",
        "screen",
    ]
