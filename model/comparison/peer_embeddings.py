"""Has a peer's model trained by its own environment's interpreter, and gets embeddings that rank as ours do.

Shapes: P training pairs, Q queries with a pair in any split, N items of the corpus, D dimensions.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.comparison.variants import Settings
from model.metrics import Indices
from model.ranking import Embeddings
from model.split_pairs import PairIds
from stage import storage
from stage.errors import StageError

_PROGRAMS = {"als": "implicit_models.py", "bpr": "implicit_models.py"}
"""Model -> the program in `peers/` that has it."""


@dataclass(frozen=True)
class PeerEmbeddings:
    """What a peer learned."""

    queries: Embeddings
    """[Q, D]."""
    items: Embeddings
    """[N, D] In the corpus's order."""


class Peers:
    """The training pairs of a dataset, as peers read them."""

    def __init__(self, training: PairIds, ranked_queries: list[bytes], *, items: int, directory: str) -> None:
        """Writes them.

        Args:
            training: The training pairs.
            ranked_queries: Queries that will be ranked, those without a training pair too.
            items: N.
            directory: Local, for the files that are passed on.
        """
        known = training.query_ids.unique().to_pylist()
        self._queries = pa.array([*known, *sorted(set(ranked_queries) - set(known))], pa.binary())
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        np.savez(
            self._directory / "examples.npz",
            query=self.places(training.query_ids),
            item=training.item_index,
            queries=len(self._queries),
            items=items,
        )

    def places(self, query_ids: pa.Array | pa.ChunkedArray) -> Indices:
        """Which row of the embeddings each query has."""
        return pc.index_in(query_ids, value_set=self._queries).to_numpy(zero_copy_only=False).astype(np.int64)

    def train(self, model: str, settings: Settings, *, seed: int, python: str) -> PeerEmbeddings:
        """Trains one.

        Args:
            model: Which, a key of the programs.
            settings: Its keys of the comparison's space, such as `als.factors`.
            seed: Of its random draws.
            python: The interpreter that `make peers` has made.

        Raises:
            StageError: If it can't be started or fails.
        """
        arguments = {key.removeprefix(f"{model}."): value for key, value in settings.items()} | {"random_state": seed}
        program = str(Path(__file__).parent / "peers" / _PROGRAMS[model])
        output = self._directory / "embeddings.npz"
        command = [python, program, "--examples", str(self._directory / "examples.npz"), "--output", str(output)]
        command += ["--model", model, "--settings", json.dumps(arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise StageError(f"--peers: {python} can't be started ({error.strerror}); make peers makes it") from None
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise StageError(f"{model}: its program failed (exit code {done.returncode}): {reason}")
        with np.load(output) as found:
            embeddings = PeerEmbeddings(found["queries"].astype(np.float32), found["items"].astype(np.float32))
        storage.delete(str(output))
        return embeddings
