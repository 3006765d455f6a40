"""LibRecommender's TwoTower on the benchmark's examples, in an environment of its own; `peer.py` talks to it.

Reads a line of JSON for each thing to do, and answers with one: {"train": EPOCHS} with the seconds of it,
{"save": PATH} after writing its embeddings.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import pandas as pd
from libreco.algorithms import TwoTower
from libreco.data import DatasetFeat


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # LibRecommender prints
    settings = json.loads(sys.argv[1])
    examples = pd.read_csv(settings["examples"], dtype=str, keep_default_na=False)
    examples["label"] = 1
    of = {side: [c for c in examples if c.startswith(f"{side}_")] for side in ("user", "item")}
    data, info = DatasetFeat.build_trainset(
        examples[["user", "item", "label", *of["user"], *of["item"]]],
        user_col=of["user"],
        item_col=of["item"],
        sparse_col=[*of["user"], *of["item"]],
        shuffle=False,
    )
    model = TwoTower("ranking", info, **settings["model"])
    for line in sys.stdin:
        asked = json.loads(line)
        if "train" in asked:
            model.n_epochs = asked["train"]
            if model.trainer is not None:
                model.trainer.n_epochs = asked["train"]
            begin, begin_cpu = time.perf_counter(), time.process_time()
            model.fit(data, neg_sampling=True, verbose=0)
            answer = {"wall": time.perf_counter() - begin, "cpu": time.process_time() - begin_cpu}
        else:
            model.set_embeddings()
            users, items = model.user_embeds_np[: model.n_users], model.item_embeds_np[: model.n_items]
            ids = {
                "user_ids": np.array([info.id2user[n] for n in range(model.n_users)]),
                "item_ids": np.array([info.id2item[n] for n in range(model.n_items)]),
            }
            np.savez(asked["save"], users=users, items=items, **ids)
            answer = {"saved": asked["save"]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
