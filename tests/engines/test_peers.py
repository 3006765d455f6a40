"""Other people's models, in the environment that make peers makes."""

from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.spec.file import load_spec
from model.comparison.peer_embeddings import PeerEmbeddings, Peers
from model.comparison.peer_environments import python_of
from model.comparison.tuned_protocol import SPACE
from model.comparison.variants import Settings
from model.network.diverged import Diverged
from model.ranking.split_pairs import PairIds
from stage.errors import StageError

PEERS = str(Path(__file__).parents[2] / ".peers")
SPEC = load_spec("debian", ["model.embedding_dim=8", "model.hidden=[16, 8]", "train.batch_size=64"])
pytestmark = pytest.mark.engine


def _needs(model: str) -> str:
    python = python_of(PEERS, model)
    if not Path(python).exists():
        pytest.skip(f"no {python}: make peers installs it")
    return python


def _train(model: str, directory: Path, *, seed: int, changed: Settings | None = None) -> tuple[Peers, PeerEmbeddings]:
    """Forty queries of two kinds, each with ten of the twenty items of its kind; of TwoTower the twelfth epoch."""
    draws = np.random.default_rng(5)
    pairs = [(q, i) for q in range(40) for i in draws.choice(20, 10, replace=False) + 20 * (q % 2)]
    queries = pa.chunked_array([pa.array([f"q{q:02}".encode() for q, _ in pairs], pa.binary())])
    training = PairIds(queries, np.array([i for _, i in pairs]))
    kinds = np.arange(41)[:, np.newaxis] // 20
    features = {
        "query/kind": np.arange(40)[:, np.newaxis] % 2,
        "item/kind": kinds,
        "item/words": np.hstack([kinds, kinds + 2, np.full((41, 1), -1)]),
        "item/size": kinds.astype(np.float32),
    }
    peers = Peers(training, [b"q00", b"unseen"], items=41, directory=str(directory), features=features)
    settings = {key: grid.first for key, grid in SPACE.items() if key.startswith(f"{model}.")} | (changed or {})
    with closing(peers.train(model, settings, seed=seed, python=_needs(model), spec=SPEC)) as trained:
        *_, found = islice(trained, 12)
    return peers, found


CFM: Settings = {"two_tower.ssl_pattern": "cfm", "two_tower.lr": 0.01}


@pytest.mark.parametrize(
    ("model", "changed"),
    [("als", {}), ("bpr", {}), ("two_tower", {"two_tower.lr": 0.01}), ("two_tower", CFM)],
)
def test_a_query_s_best_items_are_of_its_kind_and_a_seed_decides_all(
    model: str, changed: Settings, tmp_path: Path
) -> None:
    peers, found = _train(model, tmp_path / "a", seed=1, changed=changed)
    ids = pa.array([f"q{q:02}".encode() for q in range(40)], pa.binary())
    scores = found.queries[peers.places(ids)] @ found.items.T
    best = np.argsort(-scores, axis=1)[:, :10]
    assert np.mean(best // 20 == np.arange(40)[:, np.newaxis] % 2) > 0.95
    assert len(found.queries) == 41
    again = _train(model, tmp_path / "b", seed=1, changed=changed)[1]
    other = _train(model, tmp_path / "c", seed=2, changed=changed)[1]
    np.testing.assert_array_equal(found.items, again.items)
    assert not np.array_equal(found.items, other.items)


def test_what_the_peer_says_when_it_fails_is_passed_on(tmp_path: Path) -> None:
    peers, _ = _train("als", tmp_path / "a", seed=1)
    with pytest.raises(StageError, match=r"als: its program failed \(exit code 1\): .*unexpected keyword.*'nonsense'"):
        list(peers.train("als", {"als.nonsense": 1}, seed=1, python=_needs("als"), spec=SPEC))


def test_settings_with_which_a_peer_diverges_are_told_from_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="bpr: expected embeddings of finite numbers, got others"):
        _train("bpr", tmp_path, seed=1, changed={"bpr.learning_rate": 1e9, "bpr.iterations": 50})


def test_librecommender_s_items_without_a_pair_come_last(tmp_path: Path) -> None:
    peers, found = _train("two_tower", tmp_path / "a", seed=1)
    scores = found.queries[peers.places(pa.array([b"q00", b"unseen"], pa.binary()))] @ found.items.T
    assert np.argmin(scores, axis=1).tolist() == [40, 40]
    assert np.all(scores[:, 40] < scores[:, :40].min() - 100)
    # A query that it doesn't know is the mean of those that it does.
    known = found.queries[peers.places(pa.array([f"q{q:02}".encode() for q in range(40)], pa.binary()))]
    np.testing.assert_allclose(
        found.queries[peers.places(pa.array([b"unseen"], pa.binary()))][0], known.mean(0), atol=1e-6
    )
