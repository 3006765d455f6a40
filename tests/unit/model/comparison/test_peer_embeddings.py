import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from features.dataset import EncodedFeature
from features.spec.file import load_spec
from model.comparison import peer_embeddings
from model.comparison.peer_embeddings import Peers, feature_columns
from model.comparison.peer_environments import PEER_MODELS, PeerModel
from model.network.diverged import Diverged
from model.ranking.split_pairs import PairIds
from stage.errors import StageError

SPEC = load_spec("debian", [])


@pytest.fixture
def peers(tmp_path):
    ids = pa.chunked_array([pa.array([b"b", b"a"], pa.binary()), pa.array([b"b"], pa.binary())])
    return Peers(
        PairIds(ids, np.array([4, 0, 1])), [b"c", b"a", b"d"], items=5, directory=str(tmp_path / "work"), features={}
    )


def test_queries_have_a_row_whether_they_were_trained_on_or_will_be_ranked(peers, tmp_path):
    assert peers.places(pa.array([b"a", b"b", b"c", b"d"], pa.binary())).tolist() == [1, 0, 2, 3]
    written = np.load(tmp_path / "work" / "examples.npz")
    assert {key: written[key].tolist() for key in written} == {
        "query": [0, 1, 0], "item": [4, 0, 1], "queries": 4, "items": 5
    }  # fmt: skip


def test_without_its_environment_a_peer_is_an_error_that_says_so(peers, tmp_path):
    with pytest.raises(StageError, match=r"none/python can't be started .*; make peers makes it"):
        list(peers.train("als", {}, seed=0, python=str(tmp_path / "none/python"), spec=SPEC))
    with pytest.raises(StageError, match=r"als: its program failed \(exit code 1\): ModuleNotFoundError: .*implicit"):
        list(peers.train("als", {}, seed=0, python=sys.executable, spec=SPEC))


def test_features_are_columns_and_neither_the_id_nor_a_vector_is_one():
    features = [
        EncodedFeature("item/page", "page", "id", "page", 9),
        EncodedFeature("item/topic", "topic", "categorical", "topic", 9),
        EncodedFeature("item/words", "words", "text", "words", 9),
        EncodedFeature("item/size", "size", "numeric", None, 0),
        EncodedFeature("item/image", "image", "vector", None, 0),
    ]
    values = {
        "item/page": tf.ragged.constant([[0], [1], [2]], tf.int64),
        "item/topic": tf.ragged.constant([[3], [], [0]], tf.int64),
        "item/words": tf.ragged.constant([[5, 1, 6, 2, 7], [4], []], tf.int64),
        "item/size": tf.ragged.constant([[0.5], [], [-2.0]], tf.float32),
        "item/image": tf.ragged.constant([[0.5, 1.0], [], []], tf.float32),
    }
    assert {key: found.tolist() for key, found in feature_columns(values, features).items()} == {
        "item/topic": [[3], [-1], [0]],
        "item/words": [[5, 1, 6, 2], [4, -1, -1, -1], [-1, -1, -1, -1]],
        "item/size": [[0.5], [0.0], [-2.0]],
    }


TELLS = """
import json, sys, numpy as np
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
np.savez(options["--output"], queries=np.ones((4, 1)), items=np.ones((5, 1)))
print(json.dumps([options["--model"], json.loads(options["--settings"]), options["--seed"]]), file=sys.stderr)
print("saved", flush=True)
"""


@pytest.mark.parametrize(
    ("model", "settings", "asked"),
    [
        ("als", {"als.factors": 8}, {"factors": 8}),
        (
            "two_tower",
            {"two_tower.lr": 0.002},
            {"embed_size": 4, "hidden_units": [16, 8], "norm_embed": False, "batch_size": 32, "lr": 0.002},
        ),
    ],
)
def test_a_program_is_given_its_settings_and_its_seed(peers, tmp_path, monkeypatch, model, settings, asked):
    program = tmp_path / "peer.py"
    program.write_text(TELLS)
    monkeypatch.setitem(PEER_MODELS, model, PeerModel("unused", str(program)))
    sizes = ["model.embedding_dim=4", "model.hidden=[16,8]", "model.normalize=false", "train.batch_size=32"]
    spec = load_spec("debian", sizes)
    list(peers.train(model, settings, seed=3, python=sys.executable, spec=spec))
    assert json.loads((tmp_path / "work" / "log").read_text()) == [model, asked, "3"]


PROGRAM = """
import sys, numpy as np
for epoch in range(3):
    np.savez(sys.argv[sys.argv.index("--output") + 1], queries=np.full((4, 1), epoch), items=np.ones((5, 1)))
    print("saved", flush=True)
    if not sys.stdin.readline(): break
"""


def test_a_program_goes_on_as_long_as_it_is_asked_to(peers, tmp_path, monkeypatch):
    program = tmp_path / "peer.py"
    program.write_text(PROGRAM)
    monkeypatch.setitem(PEER_MODELS, "als", PeerModel("implicit", str(program)))
    found = [e.queries[0, 0] for e in peers.train("als", {}, seed=0, python=sys.executable, spec=SPEC)]
    assert found == [0, 1, 2]
    trained = peers.train("als", {}, seed=0, python=sys.executable, spec=SPEC)
    next(trained)
    trained.close()  # or the program would wait for ever
    program.write_text(PROGRAM + "sys.exit('out of luck')")
    with pytest.raises(StageError, match=r"als: its program failed \(exit code 1\): out of luck"):
        list(peers.train("als", {}, seed=0, python=sys.executable, spec=SPEC))


@pytest.mark.parametrize("bad", ["inf", "nan"])
def test_what_is_not_finite_is_a_training_that_diverged(peers, tmp_path, monkeypatch, bad):
    program = tmp_path / "peer.py"
    program.write_text(PROGRAM.replace("np.ones((5, 1))", f"np.full((5, 1), [1, 1, np.{bad}][epoch])"))
    monkeypatch.setitem(PEER_MODELS, "als", PeerModel("implicit", str(program)))
    trained = peers.train("als", {}, seed=0, python=sys.executable, spec=SPEC)
    assert [next(trained).items[0, 0], next(trained).items[0, 0]] == [1, 1]
    with pytest.raises(Diverged, match="als: expected embeddings of finite numbers, got others"):
        next(trained)


def test_a_program_that_ends_without_waiting_for_an_answer_has_done_well(peers, tmp_path, monkeypatch):
    program = tmp_path / "peer.py"
    program.write_text(PROGRAM.replace("if not sys.stdin.readline(): break", "break"))
    monkeypatch.setitem(PEER_MODELS, "als", PeerModel("implicit", str(program)))
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            started.append(self)

    monkeypatch.setattr(peer_embeddings.subprocess, "Popen", Recorded)
    found: list[float] = []
    for embeddings in peers.train("als", {}, seed=0, python=sys.executable, spec=SPEC):
        found.append(embeddings.queries[0, 0])
        assert started[0].wait(timeout=60) == 0  # and nobody reads what it is answered
    assert found == [0]
