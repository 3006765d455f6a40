"""implicit's ALS and BPR: started by path in the peers' environment, which has nothing of this project.

Shapes: P training pairs, Q queries, N items, D dimensions.
"""

import argparse
import json
from contextlib import suppress
from typing import Any

import numpy as np
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.recommender_base import ModelFitError


def main() -> None:
    """Reads `query` and `item` [P], `queries` and `items` (how many); writes `queries` [Q, D] and `items` [N, D].

    It says so in a line. A query's score of an item is the product of their rows; a query without training pairs has
    whatever the model gives it, zeros with ALS.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", required=True, help=".npz of the training pairs")
    parser.add_argument("--output", required=True, help=".npz of the embeddings")
    parser.add_argument("--model", choices=("als", "bpr"), required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="the model's arguments, as JSON")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    examples = np.load(options.examples)
    pairs = sp.csr_matrix(
        (np.ones(len(examples["query"]), np.float32), (examples["query"], examples["item"])),
        shape=(int(examples["queries"]), int(examples["items"])),
    )
    kinds: dict[str, Any] = {"als": AlternatingLeastSquares, "bpr": BayesianPersonalizedRanking}
    # With more threads the order of updates is anybody's guess.
    model = kinds[options.model](num_threads=1, random_state=options.seed, **options.settings)
    with suppress(ModelFitError):  # of factors that aren't finite, which who reads them finds too
        model.fit(pairs, show_progress=False)
    np.savez(options.output, queries=model.user_factors, items=model.item_factors)
    print("saved", flush=True)


if __name__ == "__main__":
    main()
