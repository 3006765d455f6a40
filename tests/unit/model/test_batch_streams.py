"""Batches are a function of dataset, seed and step, for any number of replicas."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from example_files import read_examples
from training_specs import Rig, batches_of

from model.training import processors
from model.training.batch_streams import batch_ids


def _train(dataset, **changes):
    return dataset.spec.train.model_copy(update=changes)


@pytest.fixture(scope="module")
def whole(tiny_dataset):
    """The first 64 batches."""
    return [_plain(batch) for batch in _take(tiny_dataset, 64)]


def _take(dataset, steps, *, train=None, **options):
    return list(batches_of(dataset, train or dataset.spec.train, **options).take(steps))


def _plain(batch):
    """A batch as something that == compares."""
    batch = batch.apart()
    values = {**batch.query, **batch.item}
    return (
        batch.row.numpy().tolist(),
        {key: ragged.to_list() for key, ragged in sorted(values.items())},
        batch.item_key.numpy().tolist(),
        batch.train_count.numpy().tolist(),
    )


def _pairs(batches):
    """Counts of (query's page, item's page)."""
    return Counter(
        (int(q), int(i))
        for batch in (batch.apart() for batch in batches)
        for q, i in zip(batch.query["query/page"].values, batch.item["item/page"].values, strict=True)
    )


def _stored_pairs(*files):
    """(query's page, item's page), in order."""
    return [(example["query/page"][0], example["item/page"][0]) for example in read_examples(files)]


def _stored_ids(file):
    """(query's id, item's id) of a file."""
    return {(example["query_id"][0].decode(), example["item_id"][0].decode()) for example in read_examples([file])}


def test_an_epoch_shows_every_row_once(tiny_dataset):
    # 500 rows in 8 streams of 62 or 63; 8 rows a step, a row a stream: 62 steps show the 62 first rows of each stream.
    batches = _take(tiny_dataset, 63, train=_train(tiny_dataset, batch_size=8))
    stored = _stored_pairs(*tiny_dataset.example_files("train"))
    assert len(stored) == 500
    assert max(_pairs(batches[:62]).values()) == 1
    assert set(_pairs(batches)) == set(stored)


def test_an_ending_stream_goes_on_with_its_next_shuffle(tiny_dataset):
    # 4 files of 125 rows in 4 streams; 2 rows of each a step: 125 steps are two epochs, and step 63 holds the border.
    train = _train(tiny_dataset, batch_size=8, input_streams=4)
    batches = _take(tiny_dataset, 125, train=train)
    assert set(_pairs(batches).values()) == {2}


def test_each_epoch_shuffles_a_stream_anew(tiny_dataset):
    # The last of 8 streams holds 62 rows.
    batches = _take(tiny_dataset, 124, train=_train(tiny_dataset, batch_size=8))
    last = [batch.apart() for batch in batches]
    rows = [(b.query["query/page"][7].numpy().item(), b.item["item/page"][7].numpy().item()) for b in last]
    assert sorted(rows[:62]) == sorted(rows[62:])
    assert rows[:62] != rows[62:]


def test_streams_epochs_and_files_have_orders_of_their_own(tiny_dataset):
    # 2 streams of 4 files; 5 steps of 50 rows each are an epoch of 250.
    batches = _take(tiny_dataset, 10, train=_train(tiny_dataset, batch_size=100, input_streams=2))
    place = {}
    for number, file in enumerate(tiny_dataset.example_files("train")):
        place |= {pair: (number, row) for row, pair in enumerate(_stored_pairs(file))}
    orders_of_files, orders_of_rows = [], []
    for stream in (0, 1):
        rows = [pair for batch in batches for pair in list(_pairs([batch]))[50 * stream : 50 * (stream + 1)]]
        for epoch in (0, 1):
            read: dict[int, list[int]] = {}
            for pair in rows[250 * epoch : 250 * (epoch + 1)]:
                file, row = place[pair]
                read.setdefault(file // 2, []).append(row)
            assert {(file % 2) for file, _ in map(place.get, rows)} == {stream}
            orders_of_files.append(list(read))
            orders_of_rows += read.values()
    assert sorted(map(sorted, orders_of_files)) == [[0, 1, 2, 3]] * 4
    assert len(set(map(tuple, orders_of_files))) == 4
    assert len(set(map(tuple, orders_of_rows))) == 16


def test_seeds_shuffle_anew(tiny_dataset, whole):
    other = _take(tiny_dataset, 1, train=_train(tiny_dataset, seed=1))[0]
    assert whole[0] == _plain(_take(tiny_dataset, 1)[0])
    assert whole[0] != _plain(other)
    # Of one file at a time the first batch is of the file that comes first.
    files, first = tiny_dataset.example_files("train"), []
    for seed in (0, 1):
        ids = batch_ids(tiny_dataset, _train(tiny_dataset, batch_size=62, input_streams=1, seed=seed), step=0)
        first += [file for file in files if set(ids) <= _stored_ids(file)]
    assert len(set(first)) == 2


@pytest.mark.parametrize("start", [1, 7, 8, 20, 61])
def test_starts_at_any_step(tiny_dataset, whole, start):
    assert [_plain(b) for b in _take(tiny_dataset, 3, start_step=start)] == whole[start : start + 3]


@pytest.mark.parametrize("replicas", [4, pytest.param(8, marks=pytest.mark.slow)])  # eight have a stream each
def test_replicas_share_the_global_batch(tiny_dataset, replicas):
    whole = [batch.apart() for batch in _take(tiny_dataset, 12, start_step=5)]
    parts = [
        [batch.apart() for batch in _take(tiny_dataset, 12, start_step=5, replica=r, replicas=replicas)]
        for r in range(replicas)
    ]
    for step, batch in enumerate(whole):
        expected = dict(zip(batch.row.numpy().tolist(), batch.item["item/page"].values.numpy().tolist(), strict=True))
        found = {}
        for part in parts:
            assert not found.keys() & set(part[step].row.numpy().tolist())
            pages = part[step].item["item/page"].values.numpy().tolist()
            found |= dict(zip(part[step].row.numpy().tolist(), pages, strict=True))
        assert found == expected
        assert sorted(found) == list(range(64))
        # Replica r reads streams r, r + replicas, ..., of 8 rows each.
        assert parts[1][step].row.numpy().tolist() == [
            row for stream in range(1, 8, replicas) for row in range(8 * stream, 8 * stream + 8)
        ]


@pytest.mark.parametrize(("streams", "start"), [(4, 0), (4, 5), (3, 0)])
def test_what_is_kept_in_memory_gives_the_same_batches(tiny_dataset, streams, start):
    # 8 files in 4 streams, so that a stream has several, or in one, 3 together; 40 steps of 64 rows are five epochs.
    train = _train(tiny_dataset, input_streams=streams)
    kept = [_plain(b) for b in _take(tiny_dataset, 40, train=train, start_step=start)]
    streamed = _take(tiny_dataset, 40, train=train, start_step=start, keep=False)
    assert [_plain(b) for b in streamed] == kept
    later = _take(tiny_dataset, 2, train=train, start_step=start + 38)
    assert [_plain(b) for b in later] == kept[38:]


@pytest.mark.parametrize("keep", [False, True])
def test_as_many_batches_at_a_time_as_processors_ask_for_are_the_same(tiny_dataset, whole, monkeypatch, keep):
    monkeypatch.setattr(processors, "_processors", lambda: 16)
    assert [_plain(batch) for batch in _take(tiny_dataset, 12, keep=keep)] == whole[:12]


@pytest.mark.parametrize(
    ("step", "files"),
    [pytest.param(0, 3, marks=pytest.mark.slow), (5, 5), pytest.param(6, 2, marks=pytest.mark.slow)],
)
def test_files_that_an_epoch_has_passed_are_not_read_again(make_dataset, step, files):
    # 8 files of some 60 rows as one stream, shuffled 3, 3 and 2 together; batches of 64.
    dataset = make_dataset()
    train = _train(dataset, input_streams=3)
    expected = batch_ids(dataset, train, step=step)
    others = [file for file in dataset.example_files("train") if _stored_ids(file).isdisjoint(expected)]
    assert len(others) == 8 - files
    for file in others:
        Path(file).write_bytes(b"damaged")
    assert batch_ids(dataset, train, step=step) == expected


@pytest.mark.parametrize("keep", [False, True])
def test_batches_are_read_ahead_where_operations_are_deterministic(tiny_dataset, keep):
    """One operation that TensorFlow takes for a source of chance, and its rewrite makes all reading wait."""
    batches = Rig(tiny_dataset).batches({"page": ["page", "words"]}, keep=keep)
    graph = tf.compat.v1.GraphDef.FromString(tf.raw_ops.DatasetToGraphV2(input_dataset=batches._variant_tensor).numpy())
    used = set(re.findall(r'\bop: "(\w+)"', str(graph)))
    # Masks are drawn there, no embedding is made.
    assert {"PrefetchDataset", "RangeDataset", "StatelessRandomUniformV2"} <= used
    assert not any(op.startswith("SparseSegment") for op in used)
    assert not used & {"TensorDataset", "RandomDatasetV2", "GeneratorDataset"}


def test_files_that_do_not_divide_into_streams_are_one_of_equal_rows(tiny_dataset):
    # 8 files, 3 together; 25 steps of 60 rows are three epochs of 500.
    batches = _take(tiny_dataset, 25, train=_train(tiny_dataset, batch_size=60, input_streams=3))
    assert set(_pairs(batches).values()) == {3}
    first, files = _pairs(batches[:1]).keys(), tiny_dataset.example_files("train")
    assert sum(not first.isdisjoint(_stored_pairs(file)) for file in files) == 3


def test_item_keys_are_equal_where_items_are(tiny_dataset):
    batch = _take(tiny_dataset, 1)[0].apart()
    pages = batch.item["item/page"].values.numpy()
    keys = batch.item_key.numpy()
    np.testing.assert_array_equal(pages[:, None] == pages[None, :], keys[:, None] == keys[None, :])


def test_a_batch_holds_each_query_and_item_once_in_the_order_of_its_examples(tiny_dataset):
    batch = _take(tiny_dataset, 1)[0]
    apart = batch.apart()
    for side, of in ((batch.query, batch.query_of), (batch.item, batch.item_of)):
        key = next(key for key in side if key.endswith("/page"))
        pages = (apart.query | apart.item)[key].values.numpy().tolist()
        assert side[key].values.numpy().tolist() == list(dict.fromkeys(pages))
        assert {values.shape[0] for values in side.values()} == {len(set(pages))}
        assert len(pages) == 64 > len(set(pages))
        assert [side[key].values.numpy()[place] for place in of] == pages
    assert batch.item_key.shape == batch.train_count.shape == batch.item["item/page"].shape[:1]
