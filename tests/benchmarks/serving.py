"""How fast an export answers, beside NumPy's exact search of the same embeddings, which reads no features.

Q queries, N items, D numbers of an embedding.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from measure import Row, Turns, run_command

from model.api import Retriever, load_export

ITEMS = (10_000, 100_000)
REQUESTS = 50
"""One after the other, each of one query; a run's time is that of all."""
AT_ONCE = 256
TOP_K = 10


def measure(work: Path, turns: Turns) -> list[Row]:
    return [row for items in ITEMS for row in of_export(load_export(str(make_export(work, items))), items, turns)]


def make_export(work: Path, items: int) -> Path:
    """An export of a model that was trained for one epoch: how good it is makes no difference to its speed."""
    here = work / f"serving-{items}"
    raw, dataset, model, export = (str(here / name) for name in ("raw", "dataset", "model", "export"))
    if not (here / "export" / "manifest.json").exists():
        sizes = ["--interactions", str(5 * items), "--queries", str(items // 5), "--items", str(items)]
        run_command("generate", *sizes, "--output", raw, "--overwrite")
        run_command("build-dataset", "--spec", "synthetic", "--raw", raw, "--output", dataset, "--overwrite")
        once = ["--set", "train.epochs=1", "--set", "ssl.alpha=0"]
        run_command("train", "--dataset", dataset, "--output", model, "--overwrite", *once)
        run_command("export", "--model", model, "--dataset", dataset, "--output", export, "--overwrite")
    return here / "export"


def of_export(retriever: Retriever, items: int, turns: Turns) -> list[Row]:
    ids = retriever.items["id"].to_pylist()
    queries = [
        {"user": f"new {n}", "country": ["de", "fr"][n % 2], "language": "de", "device": "phone"}
        for n in range(AT_ONCE)
    ]
    corpus = np.concatenate([retriever.embed_items(ids[n : n + 4096]) for n in range(0, len(ids), 4096)])
    asked = np.asarray(retriever.embed_queries(queries))
    found = retriever.recommend_all(queries, top_k=TOP_K)
    nearest = search(asked, corpus)
    for ours, theirs, scores in zip(found, nearest, asked @ corpus.T, strict=True):
        assert np.allclose([item.score for item in ours], np.sort(scores[theirs])[::-1], atol=1e-5)
    seconds = turns(
        {
            f"{items:,} items, requests": lambda: [
                retriever.recommend(query, top_k=TOP_K) for query in queries[:REQUESTS]
            ],
            f"{items:,} items, one call": lambda: retriever.recommend_all(queries, top_k=TOP_K),
            f"{items:,} items, NumPy": lambda: search(asked, corpus),
        }
    )
    requests, call, numpy = seconds.values()
    of = f"the {TOP_K} best of {items:,} items"
    return [
        Row(f"a request: {of}", 1_000 * requests / REQUESTS, "ms", "raw features of one query, one after the other"),
        Row(
            f"queries a second, {AT_ONCE} in a call: {of}",
            AT_ONCE / call,
            "/s",
            f"NumPy's search alone, of embeddings that are there, {AT_ONCE / numpy:,.0f}",
        ),
    ]


def search(queries: npt.NDArray[np.float32], corpus: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """Rows of the best items of each query, in any order: int [Q, TOP_K] of float [Q, D] and [N, D]."""
    return np.argpartition(queries @ corpus.T, -TOP_K, axis=1)[:, -TOP_K:]
