"""The pair's half of examples against a plain loop, however the rows are cut."""

import pyarrow as pa
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from small_specs import small_spec

from features.pair_half import Learned, encode_pairs
from features.sessions import pair_schema

CONTEXT = {
    "device": {"kind": "categorical"},
    "tags": {"kind": "multivalued", "max_values": 2},
    "search": {"kind": "text", "max_values": 3},
}
SESSION = {"context": {"features": CONTEXT}}
SPEC = small_spec(log={"timestamp": "at"}, item={"song": "id"}, split={"method": "query_hash"}, session=SESSION)
TERMS = ["a", "b", "c", "d"]
SCHEMA = pair_schema(SPEC)

term = st.sampled_from([*TERMS, "unknown"])
vocabulary = st.lists(st.sampled_from(TERMS), unique=True)
pairs = st.lists(
    st.fixed_dictionaries(
        {
            "history": st.lists(term, max_size=5),
            "feature/device": st.none() | term,
            "feature/tags": st.none() | st.lists(term, max_size=5),
            "feature/search": st.none() | st.lists(term, max_size=5).map(", ".join),
        }
    ),
    max_size=12,
)


@given(pairs, vocabulary, vocabulary, st.integers(1, 5))
def test_codes_are_places_in_the_vocabularies_and_what_these_lack_is_left_out(rows, songs, terms, rows_at_once):
    def codes(values, known, most):
        return [known.index(value) for value in values if value in known][:most]

    table = pa.Table.from_pylist([dict.fromkeys(SCHEMA.names) | row for row in rows], schema=SCHEMA).combine_chunks()
    names = {"item_song": songs} | dict.fromkeys(("pair_device", "pair_tags", "pair_search"), terms)
    learned = Learned({name: pa.array(found, pa.large_string()) for name, found in names.items()}, {})
    chunks = [chunk.to_pylist() for chunk in encode_pairs(table, SPEC, learned=learned, rows_at_once=rows_at_once)]
    assert all(len(chunk) == rows_at_once for chunk in chunks[:-1])
    records = [record for chunk in chunks for record in chunk]
    for record, row in zip(records, rows, strict=True):
        features = tf.train.Example.FromString(record).features.feature
        expected = {
            "pair/history": codes(row["history"], songs, None),
            "pair/device": codes([row["feature/device"]], terms, 1),
            "pair/tags": codes(row["feature/tags"] or [], terms, 2),
            "pair/search": codes((row["feature/search"] or "").split(", "), terms, 3),
        }
        assert {key: list(found.int64_list.value) for key, found in features.items()} == {
            key: found for key, found in expected.items() if found
        }
