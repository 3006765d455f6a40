"""The corpus inside the served graph, and its exact search.

Shapes: B searches, E ids to leave out, K items found, N items of the corpus, D dimensions of an embedding.
"""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

NO_SCORE = float(np.finfo(np.float32).min)
"""Of a rank for which no candidate is left: the lowest number that JSON can say."""


class ItemTable(tf.Module):
    """Ids, titles and embeddings of every item: variables, since a graph's constants end at 2 GB."""

    def __init__(
        self, ids: Sequence[str], titles: Sequence[str], *, embeddings: npt.NDArray[np.float32], scratch: str
    ) -> None:
        """Holds the corpus.

        Args:
            ids: [N], in order.
            titles: [N], "" where an item has none.
            embeddings: [N, D].
            scratch: Directory for the file of ids, which becomes an asset: needed until the graph is saved.
        """
        super().__init__()
        self._ids = tf.Variable(ids, dtype=tf.string, trainable=False, name="item_ids")
        self._titles = tf.Variable(titles, dtype=tf.string, trainable=False, name="item_titles")
        self.embeddings = tf.Variable(embeddings, trainable=False, name="item_embeddings")
        path = os.path.join(scratch, "item_ids")
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{one}\n" for one in ids)
        lines = tf.lookup.TextFileInitializer(
            path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self._rows = tf.lookup.StaticHashTable(lines, default_value=-1)

    def search(self, embeddings: tf.Tensor, exclude: tf.RaggedTensor, *, top_k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The items with the highest inner products; of equal scores those that come first by id.

        Equal items may differ in the last bits of their scores, by where they lie, and then come in that order.

        Args:
            embeddings: float32 [B, D].
            exclude: string ragged [B, (E)], ids to leave out; unknown ones leave nothing out.
            top_k: int32 [], K; no more than N are found.

        Returns:
            `item_id` and `title`, string [B, K], and `score`, float32 [B, K], best first. Where fewer than K are left,
            the last ones are "", "" and `NO_SCORE`.
        """
        scores = tf.matmul(embeddings, self.embeddings, transpose_b=True)
        rows = exclude.with_values(self._rows.lookup(exclude.values))
        indices = tf.stack([rows.value_rowids(), rows.values], axis=1)
        indices = tf.boolean_mask(indices, rows.values >= 0)
        lowest = tf.fill([tf.shape(indices)[0]], NO_SCORE)
        best = tf.math.top_k(
            tf.tensor_scatter_nd_update(scores, indices, lowest), tf.minimum(top_k, tf.shape(scores)[1])
        )
        found = best.values > NO_SCORE
        return {
            "item_id": tf.where(found, tf.gather(self._ids, best.indices), ""),
            "title": tf.where(found, tf.gather(self._titles, best.indices), ""),
            "score": best.values,
        }

    def similar(self, item_id: tf.Tensor, exclude: tf.RaggedTensor, *, top_k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The items whose embeddings have the highest inner product with an item's own, without the item.

        Args:
            item_id: string [B]; for an unknown one nothing is found.
            exclude: As `search`.
            top_k: As `search`.

        Returns:
            As `search`.
        """
        rows = self._rows.lookup(item_id)
        # Of the whole value: a gather from the variable itself would have every later search copy it first, for good.
        embeddings = tf.gather(tf.convert_to_tensor(self.embeddings), tf.maximum(rows, 0))
        found = self.search(embeddings, tf.concat([item_id[:, tf.newaxis], exclude], axis=1), top_k=top_k)
        known = (rows >= 0)[:, tf.newaxis]
        nothing = {"item_id": "", "title": "", "score": NO_SCORE}
        return {key: tf.where(known, values, nothing[key]) for key, values in found.items()}
