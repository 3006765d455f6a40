"""Files of lines "QUERY ITEM", of whose numbers the features are made."""

import numpy as np
import pytest
import tensorflow as tf

from model.training import kept_examples, processors
from model.training.ragged_rows import rows_at

FILES = [[(3, 1), (0, 2), (3, 2)], [(0, 1)], [(5, 1), (2, 0), (5, 0), (0, 9)], [(3, 9), (7, 7)], [(5, 2)]]


@pytest.fixture
def names(tmp_path):
    for number, pairs in enumerate(FILES):
        with tf.io.TFRecordWriter(str(tmp_path / f"{number}.gz"), "GZIP") as writer:
            for query, item in pairs:
                writer.write(f"{query} {item}".encode())
    return [str(tmp_path / f"{number}.gz") for number in range(len(FILES))]


def _parse(records):
    """A query's words are as many zeros as its number says; an item has a vector where its number is odd."""
    numbers = tf.strings.to_number(tf.strings.split(records).to_tensor(), tf.int64)
    query, item = numbers[:, 0], numbers[:, 1]
    words = tf.RaggedTensor.from_row_lengths(tf.zeros([tf.reduce_sum(query)], tf.int64), query)
    vectors = tf.stack([tf.boolean_mask(item, item % 2 == 1)] * 3, axis=1)
    look = tf.RaggedTensor.from_row_lengths(tf.cast(vectors, tf.float32), item % 2)
    return {"query": query, "words": words, "item": item, "count": item * 10, "look": look}


def _read(names, query_key):
    of_items = ("count", "look")
    return kept_examples.kept_examples(names, _parse, query_key=query_key, item_key="item", of_items=of_items, total=11)


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_each_query_and_item_is_kept_once(names, monkeypatch, threads):
    monkeypatch.setattr(processors, "_processors", lambda: 2 * threads)
    kept = _read(names, "query")
    assert kept.sizes == [3, 1, 4, 2, 1]
    # Numbered as they come.
    assert kept.queries["query"].numpy().tolist() == [3, 0, 5, 2, 7]
    assert kept.query_of.numpy().tolist() == [0, 1, 0, 1, 2, 3, 2, 1, 0, 4, 2]
    assert kept.queries["words"].row_lengths().numpy().tolist() == [3, 0, 5, 2, 7]
    assert kept.items["item"].numpy().tolist() == [1, 2, 0, 9, 7]
    assert kept.item_of.numpy().tolist() == [0, 1, 1, 0, 0, 2, 2, 3, 3, 4, 1]
    assert kept.items["count"].numpy().tolist() == [10, 20, 0, 90, 70]
    assert kept.items["look"].to_list() == [[[1.0] * 3], [], [], [[9.0] * 3], [[7.0] * 3]]
    assert rows_at(kept.items["look"], tf.constant([3, 1], tf.int64)).to_list() == [[[9.0] * 3], []]
    assert {kept.query_of.dtype, kept.item_of.dtype} == {tf.int32}
    assert (sorted(kept.queries), sorted(kept.items)) == (["query", "words"], ["count", "item", "look"])


def test_every_example_may_have_a_query_of_its_own(names):
    kept = _read(names, None)
    assert kept.query_of is None
    assert kept.queries["query"].numpy().tolist() == [query for pairs in FILES for query, _ in pairs]
    assert kept.queries["words"].row_lengths().numpy().tolist() == [3, 0, 3, 0, 5, 2, 5, 0, 3, 7, 5]
    assert kept.items["item"].numpy().tolist() == [1, 2, 0, 9, 7]


def test_a_key_is_compared_a_few_times_however_many_files_there_are(monkeypatch):
    compared, unique = [], np.unique
    monkeypatch.setattr(np, "unique", lambda keys, **named: compared.append(len(keys)) or unique(keys, **named))
    entities = kept_examples._Entities("item")
    for file in range(1000):
        entities.add({"item": np.arange(file * 10, file * 10 + 20)}, np.arange(20))
    found, of = entities.take()
    assert found["item"].numpy().tolist() == list(range(10_010))
    assert of.numpy()[-1] == 10_009
    # 20,000 were added.
    assert sum(compared) < 60_000
