import math
from typing import NoReturn
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from peak_memory import with_peak

from model.ranking import ranking
from model.ranking.metrics import Indices
from model.ranking.ranking import embed, embedding_scorer, rank_pairs
from model.ranking.scores import Embeddings
from model.ranking.split_pairs import SplitPairs
from stage.errors import StageError


def split_pairs(
    pairs: list[tuple[int, int]], *, queries: int, items: int, excluded: set[tuple[int, int]]
) -> SplitPairs:
    flags = np.zeros((queries, items), dtype=bool)
    for query, item in excluded:
        flags[query, item] = True
    return SplitPairs(
        query_ids=[b"%d" % q for q in range(queries)],
        queries={},
        query_index=np.array([q for q, _ in pairs], dtype=np.int64),
        item_index=np.array([i for _, i in pairs], dtype=np.int64),
        excluded=sp.csr_array(flags),
    )


def table_scorer(table: list[list[float]]) -> ranking.Scorer:
    return lambda batch: np.array([table[query] for query in batch], dtype=np.float32)


def does_not_fit(*_: object, **__: object) -> NoReturn:
    """As TensorFlow says it, which waits ten seconds before."""
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[9] [Op:MatMul]")


def test_embedding_more_at_a_time_than_the_memory_holds_says_what_to_lower() -> None:
    codes = tf.RaggedTensor.from_row_splits(tf.zeros([3], tf.int64), [0, 1, 2, 3])
    said = (
        r"^embedding 2 at a time: it doesn't fit into memory \(OOM when allocating tensor .*\); lower "
        r"evaluate\.batch_size$"
    )
    with pytest.raises(StageError, match=said):
        embed(does_not_fit, {"item/page": codes}, batch_size=2)


def test_embedding_a_batch_copies_no_features_of_all() -> None:
    codes = tf.RaggedTensor.from_row_splits(tf.range(1 << 20, dtype=tf.int64), [0, 1, 3, 1 << 20])
    found, peak = with_peak(
        lambda: embed(
            lambda some: tf.reduce_max(some["item/page"], axis=1, keepdims=True), {"item/page": codes}, batch_size=2
        )
    )
    assert found.tolist() == [[0], [2], [(1 << 20) - 1]]
    assert peak < 1 << 20  # the codes take 8 MiB


def test_rank_is_the_last_that_ties_leave() -> None:
    pairs = split_pairs([(0, 2), (1, 0), (0, 0)], queries=2, items=4, excluded=set())
    found = rank_pairs(pairs, table_scorer([[5, 9, 5, 1], [0, 0, 0, 0]]))
    assert found.query_index.tolist() == [0, 1, 0]
    assert found.item_index.tolist() == [2, 0, 0]
    assert found.last_rank.tolist() == [3, 4, 3]


def test_excluded_items_are_no_competition_and_never_found() -> None:
    pairs = split_pairs([(0, 3), (0, 1)], queries=1, items=4, excluded={(0, 0), (0, 1)})
    found = rank_pairs(pairs, table_scorer([[9, 8, 7, 6]]))
    assert found.last_rank.tolist() == [2, math.inf]


def test_ranks_some_items_among_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 1)
    pairs = split_pairs([(0, 2), (0, 0), (1, 1), (2, 3), (2, 2)], queries=3, items=4, excluded={(2, 2)})
    table = [[5, 9, 5, 7], [1, 2, 3, 4], [8, 9, 7, 6]]
    done: list[int] = []
    among = np.array([False, False, True, True])
    found = rank_pairs(pairs, table_scorer(table), among=among, advance=done.append)
    assert found.query_index.tolist() == [0, 2, 2]
    assert found.item_index.tolist() == [2, 3, 2]
    assert found.last_rank.tolist() == [2, 1, math.inf]
    assert done == [1, 1]


@st.composite
def problems(
    draw: st.DrawFn,
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]], set[tuple[int, int]], int]:
    """Small whole numbers as embeddings, so that scores are exact and often tie."""
    queries, items, dim = draw(st.integers(1, 7)), draw(st.integers(1, 25)), draw(st.integers(1, 3))
    numbers = st.integers(-2, 2)
    query_embeddings = draw(st.lists(numbers, min_size=queries * dim, max_size=queries * dim))
    corpus = draw(st.lists(numbers, min_size=items * dim, max_size=items * dim))
    cells = st.tuples(st.integers(0, queries - 1), st.integers(0, items - 1))
    return (
        np.array(query_embeddings, dtype=np.float32).reshape(queries, dim),
        np.array(corpus, dtype=np.float32).reshape(items, dim),
        draw(st.lists(cells, min_size=1, max_size=20, unique=True)),
        draw(st.sets(cells, max_size=20)),
        draw(st.integers(1, 9)),
    )


@given(problems())
@settings(max_examples=100, deadline=None)
def test_equal_to_a_plain_loop(
    problem: tuple[np.ndarray, np.ndarray, list[tuple[int, int]], set[tuple[int, int]], int],
) -> None:
    query_embeddings, corpus, pairs, excluded, at_once = problem
    expected = []
    for query, item in pairs:
        scores = {
            other: sum(a * b for a, b in zip(query_embeddings[query].tolist(), corpus[other].tolist(), strict=True))
            for other in range(len(corpus))
            if (query, other) not in excluded
        }
        last = sum(score >= scores[item] for score in scores.values()) if item in scores else math.inf
        expected.append(last)

    given_pairs = split_pairs(pairs, queries=len(query_embeddings), items=len(corpus), excluded=excluded)
    with mock.patch.object(ranking, "QUERIES_AT_ONCE", at_once):
        found = rank_pairs(given_pairs, embedding_scorer(query_embeddings, corpus))

    assert found.last_rank.tolist() == expected


def test_a_large_corpus_makes_smaller_batches_with_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = split_pairs([(q, q) for q in range(9)], queries=9, items=30, excluded={(1, 2)})
    table = np.random.default_rng(0).random((9, 30)).tolist()
    expected = rank_pairs(pairs, table_scorer(table)).last_rank.tolist()
    sizes = []

    def score(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return table_scorer(table)(batch)

    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 65)
    assert rank_pairs(pairs, score).last_rank.tolist() == expected
    assert sizes == [2, 2, 2, 2, 1]
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 29)  # one at the least
    assert rank_pairs(pairs, score).last_rank.tolist() == expected


@pytest.mark.parametrize(("queries", "items"), [(100, 37), (64, 1000), (7, 4604)])
def test_equal_embeddings_tie_wherever_they_lie(queries: int, items: int) -> None:
    random = np.random.default_rng(0)
    twins = np.repeat(random.standard_normal((1, 128)), items, axis=0).astype(np.float32)
    pairs = split_pairs([(q, q % items) for q in range(queries)], queries=queries, items=items, excluded=set())
    scorer = embedding_scorer(random.standard_normal((queries, 128)).astype(np.float32), twins)
    assert set(rank_pairs(pairs, scorer).last_rank) == {float(items)}


def test_equal_embeddings_are_multiplied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied: list[int] = []

    def transposed(corpus: Embeddings, rows: Indices) -> tf.Tensor:
        multiplied.append(len(rows))
        return tf.transpose(corpus[rows])

    monkeypatch.setattr(ranking, "_transposed", transposed)
    embedding_scorer(np.ones((1, 8), np.float32), np.ones((37, 8), np.float32))
    embedding_scorer(np.ones((1, 8), np.float32), np.eye(8, dtype=np.float32))
    assert multiplied == [1, 8]


def test_zeros_of_either_sign_tie() -> None:
    random = np.random.default_rng(0)
    corpus = np.repeat(random.standard_normal((1, 128)), 1003, axis=0).astype(np.float32)
    corpus[:, ::3] *= 0.0 * np.where(random.random((1003, 1)) < 0.5, -1, 1)
    assert len({row.tobytes() for row in corpus}) > 1
    scores = embedding_scorer(random.standard_normal((7, 128)).astype(np.float32), corpus)(np.arange(7))
    assert [len(set(row)) for row in scores.tolist()] == [1] * 7
    # As bytes the second lies between the other two, which are equal all the same.
    first, place = ranking._distinct(np.array([[0.0, 1.0], [0.0, 1.5], [-0.0, 1.0]], np.float32))
    assert (first.tolist(), place.tolist()) == ([0, 1], [0, 1, 0])


def test_equal_embeddings_are_found_across_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_ROWS_AT_ONCE", 3)
    corpus = np.array([[i % 4] for i in range(13)], np.float32)
    found = embedding_scorer(np.array([[1.0], [2.0]], np.float32), corpus)(np.array([1, 0]))
    assert found.tolist() == [[0, 2, 4, 6] * 3 + [0], [0, 1, 2, 3] * 3 + [0]]
    first, place = ranking._distinct(corpus)
    assert (sorted(first.tolist()), corpus[first][place].tolist()) == ([0, 1, 2, 3], corpus.tolist())
    found = embedding_scorer(np.array([[2.0]], np.float32), np.arange(7, dtype=np.float32)[:, None])(np.array([0]))
    assert found.tolist() == [[0, 2, 4, 6, 8, 10, 12]]


def test_a_ranking_makes_one_copy_of_the_embeddings_beside_the_transposed_ones() -> None:
    corpus = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    corpus[1] = corpus[0]
    _, peak = with_peak(lambda: embedding_scorer(corpus[:1], corpus))  # without TensorFlow's
    assert peak < 1.5 * corpus.nbytes


def test_a_corpus_that_the_memory_does_not_hold_says_what_takes_less() -> None:
    # More bytes than a process has addresses.
    corpus = np.broadcast_to(np.float32(1), (1 << 45, 4))
    said = r"^ranking 35,184,372,088,832 items: it doesn't fit into memory \(.+\); a lower last number of model\.hidden"
    with pytest.raises(StageError, match=said):
        embedding_scorer(np.ones((1, 4), np.float32), corpus)


def test_scores_that_the_memory_does_not_hold_say_what_takes_less(monkeypatch: pytest.MonkeyPatch) -> None:
    score = embedding_scorer(np.ones((1, 1), np.float32), np.ones((1_000, 1), np.float32))
    monkeypatch.setattr(tf, "matmul", does_not_fit)
    with pytest.raises(StageError, match=r"^ranking 1,000 items: it doesn't fit into memory \(OOM when .+\); a lower"):
        score(np.zeros(1, np.int64))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_embedding_that_is_not_finite_fails(bad: float) -> None:
    good, broken = np.ones((3, 2), dtype=np.float32), np.ones((3, 2), dtype=np.float32)
    broken[1, 0] = bad
    with pytest.raises(StageError, match="1 item embeddings with NaN or infinity"):
        embedding_scorer(good, broken)
    with pytest.raises(StageError, match="1 query embeddings"):
        embedding_scorer(broken, good)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_embed_keeps_the_order_over_batches(batch_size: int) -> None:
    features = {"item/a": tf.ragged.constant([[1], [], [2, 3], [4], [5]], dtype=tf.int64)}
    sums = embed(
        lambda values: tf.cast(tf.reduce_sum(values["item/a"], axis=1), tf.float32)[:, None],
        features,
        batch_size=batch_size,
    )
    assert sums.tolist() == [[1], [0], [5], [4], [5]]


def test_scores_are_of_all_bits_on_a_gpu_too():
    tf.config.experimental.enable_tensor_float_32_execution(True)
    embedding_scorer(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
