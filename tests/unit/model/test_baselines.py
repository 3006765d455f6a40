import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from model.ranking import baselines
from model.ranking.baselines import co_occurrence, popularity
from stage.errors import StageError


def flags(rows: Sequence[Sequence[int]]) -> sp.csr_array:
    return sp.csr_array(np.array(rows, dtype=bool))


def test_popularity_is_the_train_count_for_every_query() -> None:
    scores = popularity(np.array([3, 0, 7]))(np.array([5, 1]))
    assert scores.tolist() == [[3, 0, 7], [3, 0, 7]]


def test_popularity_gives_each_batch_an_array_of_its_own() -> None:
    score = popularity(np.array([3, 0]))
    score(np.array([0]))[:] = -1
    assert score(np.array([0])).tolist() == [[3, 0]]


def test_co_occurrence_by_hand() -> None:
    # Items a, b, c, d; d is cold. a is with b twice and with c once; a has 3 queries, b 2, c 1.
    training = flags([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]])
    history = flags([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    scores = co_occurrence([(training, training)], history=history)(np.array([0, 1, 2]))
    a_b, a_c = 2 / math.sqrt(3 * 2), 1 / math.sqrt(3 * 1)
    assert scores[0].tolist() == pytest.approx([a_b, 1, 0, 0], rel=1e-6)
    assert scores[1].tolist() == pytest.approx([a_b + a_c, 1, 1, 0], rel=1e-6)
    assert scores[2].tolist() == [0, 0, 0, 0]


def test_co_occurrence_of_histories_knows_what_followed_what() -> None:
    # Of three examples two have a before b, of which one has c before b too; the third has b before a.
    before, after = flags([[1, 0, 0], [1, 0, 1], [0, 1, 0]]), flags([[0, 1, 0], [0, 1, 0], [1, 0, 0]])
    history = flags([[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    parts = [(before, after)], [(before[:1], after[:1]), (before[1:], after[1:])]
    a_b, c_b, b_a = 2 / math.sqrt(2 * 2), 1 / math.sqrt(1 * 2), 1 / math.sqrt(1 * 1)
    for training in parts:
        scores = co_occurrence(training, history=history)(np.array([0, 1, 2]))
        np.testing.assert_allclose(scores, [[0, a_b, 0], [b_a, 0, 0], [0, a_b + c_b, 0]], rtol=1e-6)


def test_parts_are_added_without_copying_the_sum_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    copied, add = [], baselines._add

    def add_and_tell(*counts: Any) -> Any:
        added = add(*counts)
        copied.append(added[0].nnz)
        return added

    monkeypatch.setattr(baselines, "_add", add_and_tell)
    # Each of 64 queries has two items that no other has: a part's counts are 4.
    have = sp.csr_array(np.kron(np.eye(64, dtype=bool), np.ones((1, 2), dtype=bool)))
    parts = ((have[query : query + 1], have[query : query + 1]) for query in range(64))
    scores = co_occurrence(parts, history=have)(np.array([0, 63]))
    assert scores.tolist() == [[2, 2] + [0] * 126, [0] * 126 + [2, 2]]  # each is like itself and the other
    assert max(copied) == 4 * 64
    assert sum(copied) < 4 * 64 * 8  # 4 * (2 + 3 + ... + 64), eight times 4 * 64 * 4, if each is added to the sum


def test_sums_that_differ_only_in_the_order_of_their_terms_tie() -> None:
    # Item 0 is once with item 2, twice with 3, four times with 4; item 1 the other way round. In float64 the two sums
    # over the history (2, 3, 4) differ in the last bit.
    together = [(0, 2, 1), (0, 3, 2), (0, 4, 4), (1, 2, 4), (1, 3, 2), (1, 4, 1)]
    training = flags([[i in (one, other) for i in range(5)] for one, other, times in together for _ in range(times)])
    scores = co_occurrence([(training, training)], history=flags([[0, 0, 1, 1, 1]]))(np.array([0]))
    assert scores[0, 0] == scores[0, 1]


def test_co_occurrence_that_the_memory_does_not_hold_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        r"^co-occurrence of 2 items: it doesn't fit into memory \(Unable to allocate 3\.64 TiB\); "
        r"evaluate\.baselines=false leaves it out"
    )

    def fail(*_: object) -> None:
        raise MemoryError("Unable to allocate 3.64 TiB")

    training = flags([[1, 1]])
    score = co_occurrence([(training, training)], history=training)
    monkeypatch.setattr(sp.csr_array, "toarray", fail)
    with pytest.raises(StageError, match=said):
        score(np.array([0]))
    monkeypatch.setattr("model.ranking.baselines._count", fail)
    with pytest.raises(StageError, match=said):
        co_occurrence([(training, training)], history=training)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_equal_to_sklearn_s_cosine(seed: int, queries: int, items: int) -> None:
    random = np.random.default_rng(seed)
    training, history = random.random((queries, items)) < 0.4, random.random((3, items)) < 0.4
    expected = history.astype(float) @ cosine_similarity(training.T.astype(float))
    cut = seed % queries + 1
    parts = [(sp.csr_array(part), sp.csr_array(part)) for part in (training[:cut], training[cut:]) if len(part)]
    scores = co_occurrence(parts, history=sp.csr_array(history))(np.array([2, 0, 1]))
    np.testing.assert_allclose(scores, expected[[2, 0, 1]], rtol=1e-5, atol=1e-7)
