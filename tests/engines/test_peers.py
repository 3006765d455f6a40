"""Other people's models, in the environment that make peers makes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from model.comparison.peer_embeddings import PeerEmbeddings, Peers
from model.comparison.tuned_protocol import FIRST
from model.split_pairs import PairIds
from stage.errors import StageError

PYTHON = Path(__file__).parents[2] / ".peers" / "bin" / "python"
pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not PYTHON.exists(), reason="no peers: make .peers/.ready installs them"),
]


def _train(model: str, directory: Path, *, seed: int) -> tuple[Peers, PeerEmbeddings]:
    """Forty queries of two kinds, each with ten of the twenty items of its kind."""
    draws = np.random.default_rng(5)
    pairs = [(q, i) for q in range(40) for i in draws.choice(20, 10, replace=False) + 20 * (q % 2)]
    queries = pa.chunked_array([pa.array([f"q{q:02}".encode() for q, _ in pairs], pa.binary())])
    training = PairIds(queries, np.array([i for _, i in pairs]))
    peers = Peers(training, [b"q00", b"unseen"], items=40, directory=str(directory))
    settings = {key: value for key, value in FIRST.items() if key.startswith(f"{model}.")}
    return peers, peers.train(model, settings, seed=seed, python=str(PYTHON))


@pytest.mark.parametrize("model", ["als", "bpr"])
def test_a_query_s_best_items_are_of_its_kind_and_a_seed_decides_all(model: str, tmp_path: Path) -> None:
    peers, found = _train(model, tmp_path / "a", seed=1)
    ids = pa.array([f"q{q:02}".encode() for q in range(40)], pa.binary())
    scores = found.queries[peers.places(ids)] @ found.items.T
    best = np.argsort(-scores, axis=1)[:, :10]
    assert np.mean(best // 20 == np.arange(40)[:, np.newaxis] % 2) > 0.95
    assert len(found.queries) == 41
    again = _train(model, tmp_path / "b", seed=1)[1]
    other = _train(model, tmp_path / "c", seed=2)[1]
    np.testing.assert_array_equal(found.items, again.items)
    assert not np.array_equal(found.items, other.items)


def test_what_the_peer_says_when_it_fails_is_passed_on(tmp_path: Path) -> None:
    peers, _ = _train("als", tmp_path / "a", seed=1)
    with pytest.raises(StageError, match=r"als: its program failed \(exit code 1\): .*unexpected keyword.*'nonsense'"):
        peers.train("als", {"als.nonsense": 1}, seed=1, python=str(PYTHON))
