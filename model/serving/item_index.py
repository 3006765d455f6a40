"""A faiss index of item embeddings, for a corpus too large to score whole; and how well it does.

Shapes: N items, B searches, K items found, D dimensions of an embedding.
"""

import math
import time
from typing import IO, Any, TypeAlias

import faiss
import numpy as np
import numpy.typing as npt

from features.spec.export import Export
from model.ranking.scores import Embeddings
from stage.errors import StageError

Index: TypeAlias = Any
"""A faiss index by inner product."""
Rows: TypeAlias = npt.NDArray[np.int64]

_LINKS = 32
"""Of an HNSW index: neighbours that an item is linked to."""
_EF_CONSTRUCTION = 200
_ITEMS_PER_LIST = 39
"""At the least, of an IVF index: faiss wants as many to learn a list's centre from."""

_WANTED_AT_MOST = 100
"""Of more items an IVF index searches more lists."""

_BYTES_AT_ONCE = 1 << 20


def build_index(embeddings: Embeddings, settings: Export) -> Index:
    """Indexes a corpus: HNSW up to `export.max_hnsw_items`; beyond, IVF-PQ, whose finds are ordered by 8-bit numbers.

    Args:
        embeddings: float32 [N, D].
        settings: Sizes and efforts.
    """
    items, width = embeddings.shape
    if items <= settings.max_hnsw_items:
        graph = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = _EF_CONSTRUCTION
        graph.hnsw.efSearch = settings.hnsw_ef_search
        graph.add(embeddings)
        return graph
    lists = max(1, min(round(4 * math.sqrt(items)), items // _ITEMS_PER_LIST))
    parts = max(part for part in range(1, max(2, width // 2 + 1)) if width % part == 0)
    index: Index = faiss.index_factory(width, f"IVF{lists},PQ{parts},Refine(SQ8)", faiss.METRIC_INNER_PRODUCT)
    index.k_factor = 8  # So many times the items wanted are ordered anew.
    inverted: Index = faiss.downcast_index(faiss.extract_index_ivf(index))
    inverted.nprobe = settings.ivf_nprobe
    # Numbers the centroids for a filter of codes by Hamming distance, which no search of ours asks for: 2 s a part.
    inverted.do_polysemous_training = False
    sample = np.random.default_rng(0).permutation(items)[: max(64 * lists, 1 << 16)]
    index.train(embeddings[np.sort(sample)])
    index.add(embeddings)
    return index


def search_index(index: Index, queries: Embeddings, *, top_k: int) -> tuple[npt.NDArray[np.float32], Rows]:
    """Some of the items with the highest inner products, perhaps all.

    Args:
        index: From `build_index`.
        queries: float32 [B, D].
        top_k: K.

    Returns:
        Scores [B, K], best first, and rows of the corpus [B, K], -1 where no more were found.
    """
    scores, rows = index.search(queries, top_k, params=_effort(index, top_k))
    return scores, rows


def _effort(index: Index, top_k: int) -> Any:
    """That of the index, or more where more is wanted than it is for, as by who leaves many items out.

    Of the best 1,010 of 5,000 items HNSW found 50% without it and IVF-PQ 29%, with it all and 99%: the test's figures,
    whose indexes are built for less effort than the default.
    """
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=max(index.hnsw.efSearch, 2 * top_k))  # type: ignore[attr-defined]
    probes = round(faiss.extract_index_ivf(index).nprobe * max(1, top_k / _WANTED_AT_MOST))
    lists = faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
    return faiss.IndexRefineSearchParameters(k_factor=index.k_factor, base_index_params=lists)  # type: ignore[call-arg]


def measure_index(index: Index, embeddings: Embeddings, *, queries: Embeddings, top_k: int) -> dict[str, float]:
    """What an index finds, and how fast, against exact search.

    Args:
        index: From `build_index`.
        embeddings: float32 [N, D], what it holds.
        queries: float32 [B, D], a sample.
        top_k: K.

    Returns:
        `recall@K`, how many of its K finds score as high as the exact K-th, by K; `queries/s` of the index and
        `exact_queries/s`, each of one batch of all the sample on all cores.
    """
    top_k = min(top_k, len(embeddings))
    start = time.perf_counter()
    _, wanted = faiss.knn(queries, embeddings, top_k, metric=faiss.METRIC_INNER_PRODUCT)
    between = time.perf_counter()
    _, found = search_index(index, queries, top_k=top_k)
    end = time.perf_counter()
    hits = 0
    for query, best, rows in zip(queries, wanted, found, strict=True):
        # By the same sum for both, in which equal items score the same wherever they lie.
        best_scores, scores = (np.einsum("nd,d->n", embeddings[some], query) for some in (best, rows[rows >= 0]))
        hits += int(np.count_nonzero(scores >= best_scores.min()))
    return {
        f"recall@{top_k}": hits / wanted.size,
        "queries/s": len(queries) / (end - between),
        "exact_queries/s": len(queries) / (between - start),
    }


def write_index(index: Index, file: IO[bytes]) -> None:
    """Writes an index bit by bit; serialised in one piece it would be in memory three times."""
    faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, _BYTES_AT_ONCE))  # type: ignore[attr-defined]


def read_index(file: IO[bytes], *, path: str) -> Index:
    """Reads an index bit by bit.

    Args:
        file: What `write_index` wrote.
        path: Where it lies, for errors.

    Raises:
        StageError: If it is damaged.
    """
    try:
        return faiss.read_index(faiss.PyCallbackIOReader(file.read, _BYTES_AT_ONCE))  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise StageError(f"{path}: not readable as an index ({type(error).__name__}); export makes it anew") from error
