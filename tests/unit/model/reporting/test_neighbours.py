from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from model.reporting.neighbours import _titles, best_candidates


def best(scores: list[float], *, excluded: list[int]) -> list[int]:
    flags = np.zeros((2, len(scores)), dtype=bool)
    flags[1, excluded] = True
    split: Any = SimpleNamespace(pairs=SimpleNamespace(excluded=sp.csr_array(flags)))
    (found,) = best_candidates(split, lambda _: np.array([scores], dtype=float), queries=np.array([1]))
    return found


def test_the_ten_best_candidates_come_best_first_and_ties_in_the_corpus_s_order() -> None:
    assert best([*range(12)], excluded=[11]) == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert best([0.0, 7, 7, 5, *[1] * 6], excluded=[]) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert best([3, 1, 2], excluded=[0]) == [2, 1]


def test_of_those_that_share_the_last_place_none_is_shown() -> None:
    # Items 8 to 11 would be ninth to twelfth.
    assert best([9, 8, 7, 6, 5, 4, 3, 2, *[1] * 4, 0], excluded=[]) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert best([1.0] * 11, excluded=[]) == []


def test_what_has_no_title_has_an_empty_one() -> None:
    rows = pa.table({"title": ["Vim", None]})
    dataset: Any = SimpleNamespace(entity_rows=lambda *_, **__: rows)
    assert _titles(dataset, "items", ids=[b"vim", b"ed"]) == ["Vim", ""]
