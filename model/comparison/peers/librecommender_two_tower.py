"""LibRecommender's TwoTower: started by path in its own environment, which has nothing of this project.

Shapes: Q queries, K of them with a training pair, N items, D dimensions, V columns of a feature.
"""

import argparse
import json
import os
import sys
from itertools import count
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import pandas as pd
from libreco.algorithms import TwoTower
from libreco.data import DatasetFeat

_MISSING = -1
_NEVER = -1e3
"""Score of an item that was in no training pair: the library has no embedding for it."""


def main() -> None:
    """Reads examples; after each epoch writes `queries` [Q, D + 1] and `items` [N, D + 1], and says so in a line.

    It goes on when it is answered by a line, and ends with stdin. A query without training pairs has the mean of all
    queries, as where the library is asked for recommendations.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", required=True, help=".npz of the training pairs and of features, [K or N, V]")
    parser.add_argument("--output", required=True, help=".npz of the embeddings")
    parser.add_argument("--model", choices=("two_tower",), required=True)
    parser.add_argument("--settings", type=json.loads, required=True, help="the model's arguments, as JSON")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # LibRecommender prints
    examples = np.load(options.examples)
    data, info = _training_set(examples, seed=options.seed)
    model = TwoTower(
        "ranking",
        info,
        loss_type="softmax",
        n_epochs=1,
        use_bn=False,  # it would mix masked views into the statistics
        use_correction=True,
        remove_accidental_hits=True,
        seed=options.seed,
        # With more threads the order of sums is anybody's guess.
        tf_sess_config={"intra_op_parallelism_threads": 1, "inter_op_parallelism_threads": 1},
        **options.settings,
    )
    for epoch in count():
        model.seed = 1000 * options.seed + epoch  # of the shuffle, which would be the same in each call otherwise
        model.user_embeds_np = None  # or fit keeps those of the first epoch
        model.fit(data, neg_sampling=True, verbose=0)
        queries = _rows(
            model.user_embeds_np, info.id2user, count=int(examples["queries"]), others=model.user_embeds_np[-1]
        )
        items = _rows(model.item_embeds_np, info.id2item, count=int(examples["items"]), others=0.0)
        last = np.full((len(items), 1), _NEVER)
        last[list(info.id2item.values())] = 0
        np.savez(
            options.output, queries=np.hstack([queries, np.ones((len(queries), 1))]), items=np.hstack([items, last])
        )
        print("saved", file=answers, flush=True)
        if not sys.stdin.readline():
            return


def _training_set(examples: Any, *, seed: int) -> tuple[Any, Any]:
    """The library's form of the examples: a row for each pair, a column for each of a feature's columns."""
    columns = {"user": examples["query"], "item": examples["item"], "label": np.ones(len(examples["query"]), np.int64)}
    of: dict[str, list[str]] = {"query": [], "item": []}
    sparse, multi_sparse, dense = [], [], []
    for key in examples:
        side, _, name = key.partition("/")
        if name:
            values = examples[key]
            names = [f"{side}_{name}_{column}" for column in range(values.shape[1])]
            columns |= dict(zip(names, values[examples[side]].T, strict=True))
            of[side] += names
            if values.dtype.kind == "f":
                dense += names
            elif len(names) > 1:
                multi_sparse.append(names)
            else:
                sparse += names
    return DatasetFeat.build_trainset(
        pd.DataFrame(columns),
        user_col=of["query"],
        item_col=of["item"],
        sparse_col=sparse,
        dense_col=dense,
        multi_sparse_col=multi_sparse or None,
        pad_val=_MISSING,
        seed=seed,
    )


def _rows(embeddings: Any, ids: dict[int, int], *, count: int, others: Any) -> Any:
    """[count, D] by our numbers instead of the library's; what it doesn't know gets `others`."""
    found = np.empty((count, embeddings.shape[1]), np.float32)
    found[:] = others
    found[list(ids.values())] = embeddings[list(ids)]
    return found


if __name__ == "__main__":
    main()
