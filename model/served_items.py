"""The corpus as it is served: every item of a dataset, embedded by the served graph from its raw features.

So an item of the corpus and the same item sent to `item_embedding` are one point, whatever transform made the dataset.

Shapes: N items, D dimensions of an embedding.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import Dataset
from features.spec import Spec
from model.entity_features import entity_blocks, raw_features
from model.ranking import Embeddings, check_finite
from model.serving_graph import ServingGraph
from stage.errors import StageError
from stage.progress import bar


@dataclass(frozen=True)
class ServedItems:
    """The corpus, ordered by id."""

    entities: pa.Table
    """[N] `id`, `title` ("" where there is none), `train_count`, and raw features as `feature/NAME`."""
    embeddings: Embeddings
    """[N, D]."""

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
        for one, title in zip(self.ids, self.titles, strict=True):
            names.update(f"{one}\n{len(title)}:{title}\n".encode())
        return {"items": names.hexdigest(), "embeddings": hashlib.sha256(self.embeddings.tobytes()).hexdigest()}


def embed_items(graph: ServingGraph, dataset: Dataset, *, spec: Spec) -> ServedItems:
    """Embeds every item of a dataset.

    Args:
        graph: The served graph.
        dataset: Whose corpus is served.
        spec: The model's.

    Raises:
        StageError: If the corpus is empty, lacks a feature of the model, or the model has diverged.
    """
    blocks: list[pa.Table] = []
    parts: list[Embeddings] = []
    total = dataset.manifest.counts.get("items")
    with bar(total=total, unit="items", description="export: embed") as progress:
        for block in entity_blocks(dataset, "items", spec=spec):
            parts.append(graph.embed_items(raw_features(block, "item", spec=spec)).numpy())
            blocks.append(block)
            progress.update(block.num_rows)
    if not blocks:
        raise StageError(f"{dataset.directory}/entities: expected the items of the corpus, found none")
    entities = pa.concat_tables(blocks).combine_chunks()
    title = entities.schema.get_field_index("title")
    entities = entities.set_column(title, "title", pc.fill_null(entities["title"], ""))
    # By bytes, as everywhere; pyarrow sorts text so.
    order = pc.sort_indices(entities["id"])
    embeddings = np.concatenate(parts)[order.to_numpy()]
    check_finite(embeddings, "item")
    return ServedItems(entities.take(order), embeddings)
