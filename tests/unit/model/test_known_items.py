"""What each query has already, by pairs in any order."""

import numpy as np
import pyarrow as pa

from model.ranking.known_items import KnownItems


def test_a_query_s_items_are_those_of_all_its_pairs():
    queries = pa.chunked_array([pa.array([b"v", b"u"]), pa.array([b"u", b"\xc3\xa9", b"v", b"u"])])
    known = KnownItems(queries, np.array([0, 1, 0, 2, 0, 3]), item_ids=pa.array(["a", "b", "c", "d"]))
    assert known.of(["u", "nobody", "v", "\u00e9"]) == [["b", "a", "d"], [], ["a", "a"], ["c"]]
    assert known.of([]) == []


def test_a_dataset_without_pairs_leaves_nothing_out():
    known = KnownItems(pa.chunked_array([], pa.binary()), np.array([], np.int64), item_ids=pa.array(["a"]))
    assert known.of(["u"]) == [[]]
