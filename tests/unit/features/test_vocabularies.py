"""Vocabularies by hand, and against tensorflow-transform's own over the same rows."""

import random

import apache_beam as beam
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from small_specs import small_spec

from features.entities import entity_schema
from features.vocabularies import (
    Vocabulary,
    count_terms,
    keep_terms,
    merge_terms,
    read_terms,
    to_file,
    vocabularies,
    vocabulary_file,
)
from stage import storage


def items_of(spec, rows):
    rows = [{"title": None, "full_train_count": 0, "train_count": 0} | row for row in rows]
    return pa.Table.from_pylist(rows, schema=entity_schema(spec.item))


def rows_of(terms):
    return sorted(tuple(row.values()) for row in terms.to_pylist())


TAGS = {"kind": "multivalued", "vocabulary": "tags", "min_count": 2, "top_k": 9}
PAGE = {"kind": "id", "vocabulary": "page", "min_count": 0}


def test_what_a_vocabulary_is_learned_from():
    spec = small_spec(
        sources={"queries": {"path": "x"}},
        query={"user": "id", "seen": TAGS},
        item={"tags": TAGS, "size": "numeric", "text": {"kind": "text", "hash_buckets": 5}},
    )
    assert vocabularies(spec) == {
        "query_user": Vocabulary(["query/user"], 0, None),
        "tags": Vocabulary(["query/seen", "item/tags"], 2, 9),
    }


def test_where_queries_are_items_content_counts_once_and_ids_on_both_sides():
    both = {"page": PAGE, "tags": TAGS}
    spec = small_spec(sources={"queries": "items"}, query=both, item=both)
    assert vocabularies(spec) == {
        "page": Vocabulary(["query/page", "item/page"], 0, None),
        "tags": Vocabulary(["item/tags"], 2, 9),
    }


def test_where_queries_are_items_what_queries_alone_say_counts_too():
    lang, wants = ({"kind": "categorical", "column": column, "vocabulary": "lang"} for column in ("lang", "wants"))
    words, pairs, both, turned = (
        {"kind": "text", "column": "name", "vocabulary": "words", "ngrams": n} for n in ([1], [2], [1, 2], [2, 1])
    )
    query = {"speaks": lang, "wants": wants, "one": words, "two": pairs, "both": turned}
    item = {"lang": lang, "name": words, "whole": both}
    spec = small_spec(sources={"queries": "items"}, query=query, item=item)
    assert {name: found.features for name, found in vocabularies(spec).items()} == {
        "lang": ["query/wants", "item/lang"],
        "words": ["query/two", "item/name", "item/whole"],
    }


def test_content_counts_entities_and_ids_count_training_pairs():
    words = {"kind": "text", "ngrams": [1, 2]}
    spec = small_spec(item={"page": "id", "color": "categorical", "tags": "multivalued", "words": words})
    items = items_of(
        spec,
        [
            {"id": "p", "train_count": 3, "feature/color": "red", "feature/tags": [*"xxy"], "feature/words": "A a b"},
            {"id": "q", "feature/color": "red", "feature/tags": ["x"], "feature/words": "?"},
            {"id": "r", "train_count": 1, "feature/color": None, "feature/tags": None, "feature/words": None},
        ],
    )  # fmt: skip
    assert rows_of(count_terms(items, "item", spec=spec)) == [
        ("item_color", "red", 2),
        ("item_page", "p", 3),
        ("item_page", "q", 0),
        ("item_page", "r", 1),
        ("item_tags", "x", 2),
        ("item_tags", "y", 1),
        ("item_words", "a", 1),
        ("item_words", "a a", 1),
        ("item_words", "a b", 1),
        ("item_words", "b", 1),
    ]


def test_counts_of_parts_add_up():
    part = pa.table({"vocabulary": ["v", "v", "w"], "term": ["x", "y", "x"], "count": [1, 2, 4]})
    assert rows_of(merge_terms(pa.concat_tables([part, part]))) == [("v", "x", 2), ("v", "y", 4), ("w", "x", 8)]


def test_terms_stand_by_falling_count_then_falling_bytes():
    terms = pa.table(
        {"vocabulary": ["v"] * 5, "term": ["a", "é", "z", "rare", "Z"], "count": pa.array([2, 2, 2, 1, 7], pa.int64())}
    )
    kept = keep_terms(terms, Vocabulary([], 2, 3))
    assert to_file(kept) == "Z\né\nz\n".encode()
    assert to_file(keep_terms(terms, Vocabulary([], 8, None))) == b"49d0cd50-04bb-48c0-bc6f-5b575dce351a\n"


def test_a_carriage_return_ends_no_term(tmp_path):
    storage.write_bytes(vocabulary_file(str(tmp_path), "v"), "é\na\rb\n \n".encode())
    terms = read_terms(str(tmp_path), "v")
    assert terms.to_pylist() == ["é".encode(), b"a\rb", b" "]
    assert terms.type == pa.large_binary(), "of more than 2 GiB no other array can be made"


RANDOM = random.Random(5)
LETTERS = "abcdeéßж漢🜁"
WORDS = ["".join(RANDOM.choices(LETTERS, k=RANDOM.randint(1, 2))) for _ in range(400)]
COUNTS = {word: RANDOM.choice([0, 0, 1, 2, 3, 50, 51]) for word in set(WORDS)}


@pytest.mark.parametrize(
    ("min_count", "top_k", "is_id"), [(1, None, False), (5, 12, False), (0, None, True), (2, 7, True)]
)
def test_terms_and_their_order_are_those_of_tensorflow_transform(tmp_path, min_count, top_k, is_id):
    kind = {"kind": "id" if is_id else "categorical", "min_count": min_count, "top_k": top_k}
    spec = small_spec(item={"f": kind})
    if is_id:
        rows = [{"id": word, "train_count": count} for word, count in COUNTS.items()]
    else:
        rows = [{"id": str(place), "feature/f": word} for place, word in enumerate(WORDS)]
    ours = keep_terms(count_terms(items_of(spec, rows), "item", spec=spec), vocabularies(spec)["item_f"])

    def theirs(inputs):
        weights = inputs["weight"] if is_id else None
        tft.vocabulary(
            inputs["word"], weights=weights, top_k=top_k, vocab_filename="theirs",
            frequency_threshold=min_count if min_count > 1 else None,
        )  # fmt: skip
        return {"weight": inputs["weight"]}

    if is_id:
        raw = [{"word": row["id"], "weight": float(row["train_count"])} for row in rows]
    else:
        raw = [{"word": row["feature/f"], "weight": 1.0} for row in rows]
    columns = {"word": tf.io.FixedLenFeature([], tf.string), "weight": tf.io.FixedLenFeature([], tf.float32)}
    with tft_beam.Context(temp_dir=str(tmp_path / "temporary")), beam.Pipeline(runner=FnApiRunner()) as pipeline:
        dataset = (pipeline | beam.Create(raw), tft.DatasetMetadata.from_feature_spec(columns))
        _ = dataset | tft_beam.AnalyzeDataset(theirs) | tft_beam.WriteTransformFn(str(tmp_path))
    assert to_file(ours) == (tmp_path / "transform_fn/assets/theirs").read_bytes()
