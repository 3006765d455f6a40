"""Baselines of a split's queries, counted over all training pairs."""

import math

import numpy as np
import pyarrow as pa
import pytest

from model.ranking.split_pairs import PairIds
from model.ranking.split_scorers import co_occurrence_of_pairs


def test_items_are_as_alike_as_the_pairs_of_all_training_queries_say() -> None:
    # u and v have a and b, w has a alone: of the 3 queries with a and the 2 with b, 2 have both.
    training = PairIds(pa.chunked_array([[b"u", b"v", b"w"], [b"v", b"u"]]), np.array([0, 1, 0, 0, 1]))
    # A split need hold neither u nor v, and x has no training pair.
    scores = co_occurrence_of_pairs(training, query_ids=[b"x", b"w"], items=3)(np.array([0, 1]))
    assert scores[0].tolist() == [0, 0, 0]
    assert scores[1].tolist() == pytest.approx([1, 2 / math.sqrt(3 * 2), 0])
