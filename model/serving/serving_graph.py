"""The served graph: raw features in, items or embeddings out, with the transform, the towers and the corpus inside.

It holds no Keras object, so whoever loads it needs TensorFlow alone.

Shapes: B entities, D dimensions of an embedding.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import tensorflow as tf

from features.dataset import HISTORY
from features.spec.features import Feature, IdFeature, SideName
from features.spec.spec import Spec
from features.transform_graph import TransformGraph
from model.network.two_tower import TwoTower
from model.ranking.session_history import HistoryLookup
from model.serving import raw_inputs
from model.serving.item_table import ItemTable
from model.serving.raw_inputs import EXAMPLES, EXCLUDE, RAW_HISTORY, RawFeatures, raw_keys

Outputs: TypeAlias = dict[str, tf.Tensor]

ITEM_ID = "item_id"
"""Input of similar_items."""


class ServingGraph(tf.Module):
    """What is saved: see `signatures`. With a corpus, a program in Python may also call `search`."""

    def __init__(self, two_tower: TwoTower, spec: Spec, *, transform_directory: str) -> None:
        """Puts transform and towers together.

        Args:
            two_tower: The trained towers, the graph's own from then on: the rows of their hashed tables become its
                variables.
            spec: The model's; serving_default gives `export.top_k` items.
            transform_directory: The model's tensorflow-transform output.
        """
        super().__init__()
        self._two_tower = two_tower
        self._spec = spec
        # An export holds these two by their names, which who opens it reads, as `ItemTable.embeddings`.
        self.items: ItemTable | None = None
        self._weights = list(two_tower.weights().values())  # Tracked, so that they are saved.
        # Rows of hashed tables are constants in training; here, as all that grows with the data, variables.
        self._hashed = {name: tf.Variable(rows, trainable=False) for name, rows in two_tower.embeddings.hashed.items()}
        two_tower.embeddings.hashed = dict(self._hashed)
        self.history = None if spec.session is None else HistoryLookup(transform_directory, spec)
        self._transform = TransformGraph(transform_directory, spec)
        self.embed_queries = self._compiled("query")
        """Raw features of B queries -> float32 [B, D]."""
        self.embed_items = self._compiled("item")
        """Raw features of B items -> float32 [B, D]."""

    def _compiled(self, side_name: SideName) -> Callable[[RawFeatures], tf.Tensor]:
        """The embedding of one side, traced once for all signatures that need it."""
        keys = raw_keys(self._spec, side_name)
        compiled = tf.function(
            lambda raw: self._embed(raw, side_name),
            input_signature=[raw_inputs.ragged_specs(keys)],
            autograph=False,
        )
        return lambda raw: compiled({key: raw[key] for key in keys})

    def add_items(self, items: ItemTable) -> None:
        """Takes the corpus in, for exact search; without one, serving_default gives the query's embedding."""
        self.items = items
        self.search = tf.function(
            lambda embeddings, exclude, top_k: items.search(embeddings, _excluded(exclude), top_k=top_k),
            input_signature=[
                tf.TensorSpec([None, self._spec.model.hidden[-1]], tf.float32, name="embeddings"),
                tf.TensorSpec([None, None], tf.string, name=EXCLUDE),
                tf.TensorSpec([], tf.int32, name="top_k"),
            ],
            autograph=False,
        )

    def _embed(self, raw: RawFeatures, side_name: SideName) -> tf.Tensor:
        features = self._transform.encode({key: values for key, values in raw.items() if key != RAW_HISTORY})
        if self.history is not None and side_name == "query":
            features[HISTORY] = self.history(raw[RAW_HISTORY])
        return self._two_tower.queries(features) if side_name == "query" else self._two_tower.items(features)

    def signatures(self) -> dict[str, Any]:
        """The signatures, by name; each also as NAME_examples, which takes serialized tf.Examples.

        - `serving_default`: a query and `exclude` -> `item_id`, `title`, `score`, [B, top_k] each; without a corpus as
          query_embedding.
        - `query_embedding`: a query -> `embedding` [B, D].
        - `item_embedding`: an item, of the corpus or not -> `embedding` [B, D].
        - `similar_items`, only with a corpus: `item_id` [B] and `exclude` -> the items nearest to it.
        """
        query, item = raw_keys(self._spec, "query"), raw_keys(self._spec, "item")
        found = {
            "query_embedding": _both_ways(query, lambda raw: {"embedding": self.embed_queries(raw)}),
            "item_embedding": _both_ways(item, lambda raw: {"embedding": self.embed_items(raw)}),
        }
        items, top_k = self.items, tf.constant(self._spec.export.top_k)
        if items is None:
            found["serving_default"] = found["query_embedding"]
        else:
            found["serving_default"] = _both_ways(
                query | {EXCLUDE: None},
                lambda raw: items.search(self.embed_queries(raw), raw[EXCLUDE], top_k=top_k),
            )
            found["similar_items"] = _both_ways(
                {ITEM_ID: IdFeature(kind="id"), EXCLUDE: None},
                lambda raw: items.similar(raw[ITEM_ID].to_tensor(shape=[None, 1])[:, 0], raw[EXCLUDE], top_k=top_k),
            )
        return {name + ending: function for name, both in found.items() for ending, function in both.items()}


def _both_ways(keys: Mapping[str, Feature | None], answer: Callable[[RawFeatures], Outputs]) -> dict[str, Any]:
    """A signature for plain tensors, and one for serialized examples: by the ending of its name."""
    plain = tf.function(
        lambda tensors: answer(raw_inputs.from_tensors(tensors, keys)),
        input_signature=[raw_inputs.tensor_specs(keys)],
        autograph=False,
    )
    serialized = tf.function(
        lambda tensors: answer(raw_inputs.from_examples(tensors[EXAMPLES], keys)),
        input_signature=[{EXAMPLES: tf.TensorSpec([None], tf.string, name=EXAMPLES)}],
        autograph=False,
    )
    return {"": plain.get_concrete_function(), "_examples": serialized.get_concrete_function()}


def _excluded(padded: tf.Tensor) -> tf.RaggedTensor:
    return raw_inputs.from_tensors({EXCLUDE: padded}, {EXCLUDE: None})[EXCLUDE]
