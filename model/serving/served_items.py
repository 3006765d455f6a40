"""The corpus as it is served: items of a dataset, embedded by the served graph from their raw features.

So an item of the corpus and the same item sent to `item_embedding` are one point, whatever transform made the dataset.

Shapes: N items, D dimensions of an embedding.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import Dataset
from features.large_tables import take_rows
from features.spec.spec import Spec
from model.ranking.entity_features import entity_blocks, transform_tensors
from model.ranking.ranking import check_finite
from model.ranking.scores import Embeddings
from model.serving.serving_graph import ServingGraph
from stage.errors import StageError
from stage.progress import bar

_NAMES_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class ServedItems:
    """The corpus, ordered by id."""

    entities: pa.Table
    """[N] `id`, `title` ("" where there is none) and `train_count`."""
    embeddings: Embeddings
    """[N, D]."""
    raw: pa.Table
    """[N] `id`, and raw features as `feature/NAME`, as the dataset has them: in its order, of any size."""

    def __len__(self) -> int:
        return self.entities.num_rows

    @property
    def ids(self) -> list[str]:
        """[N]."""
        return self.entities["id"].to_pylist()

    @property
    def titles(self) -> list[str]:
        """[N]."""
        return self.entities["title"].to_pylist()

    def digests(self) -> dict[str, str]:
        """SHA-256 of what is served, in hex: names, and embeddings to the last bit."""
        names = hashlib.sha256()
        for some in self.entities.select(["id", "title"]).to_batches(max_chunksize=_NAMES_AT_ONCE):
            for one, title in zip(*(column.to_pylist() for column in some.columns), strict=True):
                names.update(f"{one}\n{len(title)}:{title}\n".encode())
        embeddings = hashlib.sha256(self.embeddings.data.cast("B"))
        return {"items": names.hexdigest(), "embeddings": embeddings.hexdigest()}


def embed_items(graph: ServingGraph, dataset: Dataset, *, spec: Spec, ids: pa.Array | None = None) -> ServedItems:
    """Embeds items of a dataset.

    Args:
        graph: The served graph.
        dataset: Whose corpus is served.
        spec: The model's.
        ids: Of the items that are served; all by default.

    Raises:
        StageError: If the corpus is empty, lacks a feature of the model, or the model has diverged.
    """
    blocks = list(entity_blocks(dataset, "items", spec=spec, ids=ids))
    if not blocks:
        raise StageError(f"{dataset.directory}/entities: expected the items of the corpus, found none")
    entities = pa.concat_tables(blocks)
    # By bytes, as everywhere; pyarrow sorts text so.
    order = pc.sort_indices(entities["id"]).to_numpy()
    rows = np.empty(len(order), np.int64)
    rows[order] = np.arange(len(order))
    embeddings = np.empty((len(order), spec.model.hidden[-1]), np.float32)
    start = 0
    with bar(total=len(order), unit="items", description="export: embed") as progress:
        for block in blocks:
            end = start + block.num_rows
            embeddings[rows[start:end]] = graph.embed_items(transform_tensors(block, "item", spec=spec)).numpy()
            progress.update(block.num_rows)
            start = end
    check_finite(embeddings, "item")
    named = entities.select(["id", "title", "train_count"])
    named = named.set_column(1, "title", pc.fill_null(named["title"], ""))
    raw = entities.select(["id", *(name for name in entities.column_names if name.startswith("feature/"))])
    return ServedItems(take_rows(named, order), embeddings, raw)
