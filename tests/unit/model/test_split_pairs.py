from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from example_files import read_examples

from features.dataset import Dataset
from features.spec.evaluate import Evaluate
from features.spec.session import Session
from model.network.corpus import read_corpus
from model.ranking.left_out import leaves_out_known
from model.ranking.split_pairs import SplitPairs, incidence, read_pair_ids, read_split_pairs
from stage.errors import StageError


def pairs_of(dataset: Dataset, split: str) -> set[tuple[bytes, bytes]]:
    """The plain way to the same."""
    found = read_examples(dataset.example_files(split))  # type: ignore[arg-type]
    return {(example["query_id"][0], example["item_id"][0]) for example in found}


def excluded(pairs: SplitPairs, ids: np.ndarray) -> set[tuple[bytes, bytes]]:
    rows, columns = pairs.excluded.nonzero()
    return {(pairs.query_ids[row], ids[column]) for row, column in zip(rows, columns, strict=True)}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_pairs_and_their_queries_features(tiny_dataset: Dataset, split: str) -> None:
    ids = read_corpus(tiny_dataset).ids
    pairs = read_split_pairs(tiny_dataset, split, item_ids=ids, settings=Evaluate())  # type: ignore[arg-type]
    found = [(pairs.query_ids[q], ids[i]) for q, i in zip(pairs.query_index, pairs.item_index, strict=True)]
    assert len(found) == len(set(found))
    assert set(found) == pairs_of(tiny_dataset, split)
    assert len(set(pairs.query_ids)) == len(pairs.query_ids) < len(found)
    # item-007 as a query has the code 7 of its id.
    assert pairs.queries["query/page"].to_list() == [[int(i.decode()[-3:])] for i in pairs.query_ids]


def test_validation_leaves_out_training_items_and_the_query_itself(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    pairs = read_split_pairs(tiny_dataset, "validation", item_ids=ids, settings=Evaluate())
    known = {(q, i) for q, i in pairs_of(tiny_dataset, "train") if q in pairs.query_ids}
    assert excluded(pairs, ids) == known | {(q, q) for q in pairs.query_ids}


def test_the_test_split_leaves_out_validation_items_too(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    training = read_pair_ids(tiny_dataset, "train", item_ids=ids)
    settings = Evaluate(exclude_self=False)
    earlier = pairs_of(tiny_dataset, "train") | pairs_of(tiny_dataset, "validation")
    for given in (None, training):
        pairs = read_split_pairs(tiny_dataset, "test", item_ids=ids, settings=settings, training=given)
        assert excluded(pairs, ids) == {(q, i) for q, i in earlier if q in pairs.query_ids}


def test_switches_leave_everything_in(tiny_dataset: Dataset, make_dataset: Callable[..., Dataset]) -> None:
    ids = read_corpus(tiny_dataset).ids
    neither = Evaluate(exclude_known=False, exclude_self=False)
    assert read_split_pairs(tiny_dataset, "test", item_ids=ids, settings=neither).excluded.nnz == 0
    repeats = make_dataset(spec={"split": {"repeat_consumption": True}})
    pairs = read_split_pairs(repeats, "test", item_ids=ids, settings=Evaluate())
    assert excluded(pairs, ids) == {(q, q) for q in pairs.query_ids}
    session = tiny_dataset.spec.model_copy(update={"session": Session()})
    given = [
        (tiny_dataset.spec, Evaluate()),
        (tiny_dataset.spec, neither),
        (repeats.spec, Evaluate()),
        (session, Evaluate()),
    ]
    assert [leaves_out_known(*each) for each in given] == [True, False, False, False]


def test_a_pair_of_a_query_and_itself_is_none_to_rank(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(pairs_with_self=5)
    ids = read_corpus(dataset).ids
    with_self = pairs_of(dataset, "test")
    for settings, expected in (
        (Evaluate(), {(q, i) for q, i in with_self if q != i}),
        (Evaluate(exclude_self=False), with_self),
    ):
        pairs = read_split_pairs(dataset, "test", item_ids=ids, settings=settings)
        found = {(pairs.query_ids[q], ids[i]) for q, i in zip(pairs.query_index, pairs.item_index, strict=True)}
        assert found == expected
        assert set(pairs.query_ids) == {q for q, _ in expected}


def test_queries_that_are_no_items_are_never_left_out(make_dataset: Callable[..., Dataset]) -> None:
    sources = {"interactions": {"path": "i"}, "items": {"path": "t"}, "queries": {"path": "q"}}
    dataset = make_dataset(spec={"sources": sources})
    settings = Evaluate(exclude_known=False)
    assert read_split_pairs(dataset, "test", item_ids=read_corpus(dataset).ids, settings=settings).excluded.nnz == 0


def test_pairs_of_some_queries_alone(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    some = [b"item-003", b"nobody", b"item-011"]
    found = read_pair_ids(tiny_dataset, "train", item_ids=ids, queries=some)
    named = zip(found.query_ids.to_pylist(), (ids[i] for i in found.item_index), strict=True)
    assert set(named) == {(q, i) for q, i in pairs_of(tiny_dataset, "train") if q in some}


def test_of_a_few_queries_all_pairs_are_read_and_of_more_queries_the_same_and_others(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    by_query: dict[bytes, set[bytes]] = {}
    for query, item in pairs_of(tiny_dataset, "test"):
        by_query.setdefault(query, set()).add(item)
    drawn: set[bytes] = set()
    for most in (1, 7, 20, len(by_query), len(by_query) + 1):
        pairs = read_split_pairs(tiny_dataset, "test", item_ids=ids, settings=Evaluate(max_queries=most))
        found: dict[bytes, set[bytes]] = {}
        for query, item in zip(pairs.query_index, pairs.item_index, strict=True):
            found.setdefault(pairs.query_ids[query], set()).add(ids[item])
        assert len(found) == len(pairs.query_ids) == pairs.excluded.shape[0] == min(most, len(by_query))
        assert found == {query: by_query[query] for query in pairs.query_ids}
        assert drawn <= set(found)
        drawn = set(found)


def test_of_some_items_queries_with_a_pair_of_theirs_are_drawn(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    some = sorted({item for _, item in pairs_of(tiny_dataset, "test")})[:4]
    able = {query for query, item in pairs_of(tiny_dataset, "test") if item in some}
    for most in (1, len(able) - 1, len(able), len(able) + 1):
        settings = Evaluate(max_queries=most)
        pairs = read_split_pairs(tiny_dataset, "test", item_ids=ids, settings=settings, among=pa.array(some))
        assert len(pairs.query_ids) == min(most, len(able))
        assert set(pairs.query_ids) <= able
        assert {ids[item] for item in pairs.item_index} <= set(some)
    with pytest.raises(StageError, match="/test: expected pairs to rank, found none; name by --candidates the items "):
        read_split_pairs(tiny_dataset, "test", item_ids=ids, settings=settings, among=pa.array([b"nothing"]))


def test_a_query_that_has_a_pair_with_itself_alone_is_none_to_draw(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(pairs_with_self=60)  # of every item
    ids = read_corpus(dataset).ids
    pairs = read_split_pairs(dataset, "test", item_ids=ids, settings=Evaluate(max_queries=10))
    assert len(pairs.query_ids) == 10


def test_incidence_keeps_to_the_queries_given(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    training = read_pair_ids(tiny_dataset, "train", item_ids=ids)
    matrix = incidence(training, query_ids=[b"item-003", b"nobody"], items=len(ids)).toarray()
    assert matrix.shape == (2, 60)
    assert {ids[i] for i in np.flatnonzero(matrix[0])} == {
        i for q, i in pairs_of(tiny_dataset, "train") if q == b"item-003"
    }
    assert not matrix[1].any()


def test_an_item_outside_the_corpus_fails(tiny_dataset: Dataset) -> None:
    ids = read_corpus(tiny_dataset).ids
    with pytest.raises(
        StageError, match=r"train: expected items of the corpus, found \d+ examples .* first 'item-000'"
    ):
        read_pair_ids(tiny_dataset, "train", item_ids=ids[1:])


def test_an_empty_split_fails(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset(validation=False)
    with pytest.raises(StageError, match="validation: expected pairs to rank, found none; check the spec's section "):
        read_split_pairs(dataset, "validation", item_ids=read_corpus(dataset).ids, settings=Evaluate())


def test_a_damaged_file_fails(make_dataset: Callable[..., Dataset]) -> None:
    dataset = make_dataset()
    path = Path(dataset.example_files("train")[0])
    content = path.read_bytes()
    path.write_bytes(content[:60] + bytes(len(content) - 60))
    with pytest.raises(StageError, match="can't be read"):
        read_pair_ids(dataset, "train", item_ids=read_corpus(dataset).ids)
