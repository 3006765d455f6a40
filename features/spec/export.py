"""The section `export` of the spec."""

from typing import Annotated

from pydantic import Field

from features.spec.section import Count, Positive, Section


class Export(Section):
    """What is served, and how items are searched."""

    top_k: Positive = 50
    """Items that serving_default gives."""
    max_exact_items: Positive = 1_000_000
    """Up to so many items every one is scored, in the graph; beyond, a faiss index beside it finds some of the best."""
    max_hnsw_items: Annotated[int, Field(ge=1000)] = 10_000_000
    """Up to so many items the index is a graph of neighbours (HNSW), which holds every embedding whole; beyond, lists
    of compressed ones (IVF-PQ)."""
    hnsw_ef_search: Positive = 256
    """Items of an HNSW index that a search looks at closer; more: slower, better."""
    ivf_nprobe: Positive = 64
    """Lists of an IVF-PQ index that a search reads; more: slower, better."""
    queries: bool = True
    """Carry the queries' raw features, so that commands and Python can ask by an id alone; a server can't."""
    projector_items: Count = 10_000
    """Items, the most frequent in training first, whose embeddings are written for TensorBoard's projector; 0: none."""
