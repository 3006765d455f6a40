import sys

import numpy as np
import pyarrow as pa
import pytest

from model.comparison.peer_embeddings import Peers
from model.split_pairs import PairIds
from stage.errors import StageError


@pytest.fixture
def peers(tmp_path):
    ids = pa.chunked_array([pa.array([b"b", b"a"], pa.binary()), pa.array([b"b"], pa.binary())])
    return Peers(PairIds(ids, np.array([4, 0, 1])), [b"c", b"a", b"d"], items=5, directory=str(tmp_path / "work"))


def test_queries_have_a_row_whether_they_were_trained_on_or_will_be_ranked(peers, tmp_path):
    assert peers.places(pa.array([b"a", b"b", b"c", b"d"], pa.binary())).tolist() == [1, 0, 2, 3]
    written = np.load(tmp_path / "work" / "examples.npz")
    assert {key: written[key].tolist() for key in written} == {
        "query": [0, 1, 0], "item": [4, 0, 1], "queries": 4, "items": 5
    }  # fmt: skip


def test_without_its_environment_a_peer_is_an_error_that_says_so(peers, tmp_path):
    with pytest.raises(StageError, match=r"none/python can't be started .*; make peers makes it"):
        peers.train("als", {}, seed=0, python=str(tmp_path / "none/python"))
    with pytest.raises(StageError, match=r"als: its program failed \(exit code 1\): ModuleNotFoundError: .*implicit"):
        peers.train("als", {}, seed=0, python=sys.executable)
