"""Has a peer's model trained by its own environment's interpreter, and gets embeddings that rank as ours do.

Shapes: Q queries with a pair in any split, K of them with a training pair, N items of the corpus, n entities of a side,
D dimensions, V columns of a feature.
"""

import json
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.dataset import EncodedFeature
from features.lookup import index_among
from features.spec.spec import Spec
from model.comparison.peer_environments import PEER_MODELS
from model.comparison.variants import Settings
from model.network.diverged import Diverged
from model.network.feature_values import Features
from model.ranking.metrics import Indices
from model.ranking.scores import Embeddings
from model.ranking.split_pairs import PairIds
from model.training.item_switches import SEVERAL_VALUES
from stage import storage
from stage.errors import StageError

_COLUMNS = 4
"""Values that a peer sees of a feature with several, the first ones: in its input each has a place."""
_MISSING = -1


@dataclass(frozen=True)
class PeerEmbeddings:
    """What a peer learned."""

    queries: Embeddings
    """[Q, D]."""
    items: Embeddings
    """[N, D] In the corpus's order."""


class Peers:
    """The training pairs of a dataset, as peers read them."""

    def __init__(
        self,
        training: PairIds,
        ranked_queries: list[bytes],
        *,
        items: int,
        directory: str,
        features: Mapping[str, npt.NDArray[np.generic]],
    ) -> None:
        """Writes them.

        Args:
            training: The training pairs.
            ranked_queries: Queries that will be ranked, those without a training pair too.
            items: N.
            directory: Local, for the files that are passed on.
            features: From `feature_columns`: `query/NAME` -> [K, V], of the queries with a training pair in the order
                of their first; `item/NAME` -> [N, V].
        """
        known = training.query_ids.unique().to_pylist()
        self._queries = pa.array([*known, *sorted(set(ranked_queries) - set(known))], pa.binary())
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "query": self.places(training.query_ids),
            "item": training.item_index,
            "queries": len(self._queries),
            "items": items,
            **features,
        }
        np.savez(self._directory / "examples.npz", **arrays)

    def places(self, query_ids: pa.Array | pa.ChunkedArray) -> Indices:
        """Which row of the embeddings each query has."""
        return index_among(query_ids, self._queries)

    def train(
        self, model: str, settings: Settings, *, seed: int, python: str, spec: Spec
    ) -> Generator[PeerEmbeddings, None, None]:
        """Trains one, which ends when no more is asked for.

        Args:
            model: Which, a key of `PEER_MODELS`.
            settings: Its keys of the comparison's space, such as `als.factors`.
            seed: Of its random draws.
            python: The interpreter of its environment, which `make peers` has made.
            spec: Whose widths and batch size a model of our kind takes over.

        Yields:
            What it has learned: after each epoch, or once if it trains as long as its settings say.

        Raises:
            StageError: If it can't be started or fails.
            Diverged: If what it has learned isn't finite: other settings may do.
        """
        arguments: dict[str, Any] = {key.removeprefix(f"{model}."): value for key, value in settings.items()}
        if model == "two_tower":
            arguments = {**_sizes(spec), **arguments}
        program = str(Path(__file__).parent / "peers" / PEER_MODELS[model].program)
        output, log = self._directory / "embeddings.npz", self._directory / "log"
        command = [python, program, "--examples", str(self._directory / "examples.npz"), "--output", str(output)]
        command += ["--model", model, "--settings", json.dumps(arguments), "--seed", str(seed)]
        with open(log, "w", encoding="utf-8") as errors:
            try:
                # Without buffers: what a program that has ended did not take would be written again on closing.
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
                )
            except OSError as error:
                raise StageError(f"{python} can't be started ({error.strerror}); make peers makes it") from None
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                while process.stdout.readline():
                    with np.load(output) as found:
                        embeddings = PeerEmbeddings(
                            found["queries"].astype(np.float32), found["items"].astype(np.float32)
                        )
                    storage.delete(str(output))
                    if not all(np.isfinite(side).all() for side in (embeddings.queries, embeddings.items)):
                        raise Diverged(f"{model}: expected embeddings of finite numbers, got others")
                    yield embeddings
                    with suppress(BrokenPipeError):  # it may have ended, and its exit code says how
                        process.stdin.write(b"\n")
                code = process.wait()
            finally:
                process.kill()
        if code:
            reason = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise StageError(f"{model}: its program failed (exit code {code}): {reason}")


def feature_columns(values: Features, features: Sequence[EncodedFeature]) -> dict[str, npt.NDArray[np.generic]]:
    """Features as peers read them: without the id, which they have by itself, and without vectors.

    Args:
        values: Ragged [n, (values)] each.
        features: Which.

    Returns:
        Key of an example -> int64 [n, V] codes, -1 where there is none, or float32 [n, 1].
    """
    found = {}
    for feature in features:
        if feature.kind not in ("id", "vector"):
            columns = _COLUMNS if feature.kind in SEVERAL_VALUES else 1
            missing = 0.0 if feature.kind == "numeric" else _MISSING  # 0 is a number's mean
            found[feature.key] = values[feature.key].to_tensor(missing, shape=[None, columns]).numpy()
    return found


def _sizes(spec: Spec) -> dict[str, Any]:
    """Arguments of LibRecommender's TwoTower that make it as large as ours, and its batches."""
    return {
        "embed_size": spec.model.embedding_dim,
        "hidden_units": spec.model.hidden,
        "norm_embed": spec.model.normalize,
        "batch_size": spec.train.batch_size,
    }
