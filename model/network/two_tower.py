"""The two towers and everything they learn; saving and loading them.

Shapes: B entities, D dimensions of the embedding that is compared.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from features.dataset import HISTORY, EncodedFeature, encoded_features, query_inputs
from features.spec.features import SideName
from features.spec.spec import Spec
from features.spec.training import Precision
from model.network.embedding import EmbeddingTables, Tables, input_width, look_up, tower_columns
from model.network.feature_values import Features, features_spec
from model.network.finished_model import FinishedModel
from model.network.full_float32 import use_full_float32
from model.network.hashed_table import hashed_rows
from model.network.item_parts import ItemParts
from model.network.lookups import Lookups
from model.network.npz import assign, of_finished, pack, unpack
from model.network.tower import make_tower, run_tower, run_tower_on_shown
from model.network.uses import uses
from stage import storage

WEIGHTS = "weights.npz"

LOWEST_TEMPERATURE = 0.01
"""Of those that are learned; a training that could go on lowering it would end in logits that aren't finite."""

LATEST = "pair/latest"
"""The latest item of a history, which no example holds apart."""


class TwoTower:
    """A query tower and an item tower over embeddings that they share by vocabulary.

    Attributes:
        query_features: What the query tower reads, in session mode the history too.
        item_features: What the item tower reads.
        embeddings: Tables and defaults.
        log_temperatures: Logarithm of the temperature of each loss, trained only with `train.learnable_temperature`.
    """

    def __init__(self, spec: Spec, vocabularies: dict[str, int], *, transform_directory: str = "") -> None:
        """Makes towers with their initial weights, a function of `train.seed`.

        Args:
            spec: Of the dataset, and of the model.
            vocabularies: Vocabulary -> terms, as the dataset's manifest has it.
            transform_directory: Their tensorflow-transform output; read where the spec has `model.hashed_tables`.

        Raises:
            StageError: If a vocabulary that is read can't be.
        """
        use_full_float32()
        self.query_features = query_inputs(spec, vocabularies)
        self.item_features = encoded_features(spec, "item", vocabularies=vocabularies)
        model, seed = spec.model, spec.train.seed
        histories = [f for f in self.query_features if f.key == HISTORY and model.latest_apart]
        latest = [replace(f, key=LATEST, name="latest") for f in histories]
        self._inputs = {"query": [*self.query_features, *latest], "item": self.item_features}
        inputs = [*self._inputs["query"], *self._inputs["item"]]
        hashed = hashed_rows(spec, vocabularies, transform_directory=transform_directory)
        self.embeddings = EmbeddingTables(inputs, dim=model.embedding_dim, seed=seed, hashed=hashed)
        self._towers = {
            f"{side}_tower": make_tower(
                model.hidden,
                input_width=input_width(features, dim=model.embedding_dim),
                normalize=model.normalize,
                seed=seed,
                name=f"{side}_tower",
            )
            for side, features in self._inputs.items()
        }
        if spec.ssl.projection_head is not None:
            self._towers["projection_head"] = make_tower(
                [spec.ssl.projection_head] * 2,
                input_width=model.hidden[-1],
                normalize=model.normalize,
                seed=seed,
                name="projection_head",
            )
        starts = {"main": spec.train.temperature, "ssl": spec.ssl.temperature or spec.train.temperature}
        self.log_temperatures = {
            loss: keras.Variable(np.log(start), dtype=keras.config.floatx(), name=f"log_temperature_{loss}")
            for loss, start in starts.items()
        }
        self._learns_temperature = spec.train.learnable_temperature
        self.encode_queries: Callable[[Features], tf.Tensor] = _compiled(self.queries, self.query_features)
        """Features of B queries -> float32 [B, D]."""
        self.encode_items: Callable[[Features], tf.Tensor] = _compiled(self.items, self.item_features)
        """Features of B items -> float32 [B, D]."""

    def queries(self, values: Features) -> tf.Tensor:
        """Embeddings of queries, for use inside a graph.

        Args:
            values: Ragged [B, (values)] each, of codes as the vocabularies count them.

        Returns:
            float32 [B, D].
        """
        return self._encode("query", with_latest(values))

    def items(self, values: Features) -> tf.Tensor:
        """Embeddings of items, as `queries`."""
        return self._encode("item", values)

    def looked_up(self, side: SideName, lookups: Lookups, *, tables: Tables, precision: Precision) -> tf.Tensor:
        """Embeddings of queries, or items, whose rows were read.

        Args:
            side: Their side.
            lookups: Of B queries, in session mode `with_latest`; or of B items.
            tables: The rows that their codes count.
            precision: Of the layers.

        Returns:
            float32 [B, D].
        """
        inputs = tf.concat(self._tower_columns(side, lookups, tables=tables), axis=1)
        return run_tower(self._towers[f"{side}_tower"], inputs, precision=precision)

    def looked_up_items_in_parts(
        self, lookups: Lookups, tables: Tables, *, parts: ItemParts, precision: Precision
    ) -> list[tf.Tensor]:
        """Embeddings of items that are looked up as one but pass the layers in parts.

        No part waits for another, so processors share them.

        Args:
            lookups: Of B items.
            tables: The rows that their codes count.
            parts: The items of each.
            precision: Of the layers.

        Returns:
            float32 [part's items, D] each.
        """
        features, count, tower = self._inputs["item"], parts.shown.shape[0], self._towers["item_tower"]
        biases = uses(tower.layers[0].bias.value, count)
        defaults = [uses(tf.reshape(self.embeddings.defaults[f.key].value, [-1]), count) for f in features]
        columns = [tf.split(c, parts.sizes, num=count) for c in self._tower_columns("item", lookups, tables=tables)]
        return [
            run_tower_on_shown(tower, part, shown=shown, bias=bias, defaults=of_part, precision=precision)
            for part, shown, bias, *of_part in zip(
                zip(*columns, strict=True), tf.unstack(parts.shown), biases, *defaults, strict=True
            )
        ]

    def project(self, embeddings: tf.Tensor, *, precision: Precision) -> tf.Tensor:
        """What L_self compares of items' embeddings [B, D]: themselves, or what a head of its own makes of them."""
        head = self._towers.get("projection_head")
        return embeddings if head is None else run_tower(head, embeddings, precision=precision)

    def temperature(self, loss: str) -> tf.Tensor:
        """What divides the scores of a loss, float []; a learned one is `LOWEST_TEMPERATURE` at least."""
        log = tf.convert_to_tensor(self.log_temperatures[loss].value)
        if self._learns_temperature:
            # Below the bound it keeps its gradient, so it can come back.
            log += tf.stop_gradient(tf.maximum(log, math.log(LOWEST_TEMPERATURE)) - log)
        return tf.exp(log)

    def _encode(self, side: SideName, values: Features) -> tf.Tensor:
        tables, lookups = look_up(self.embeddings, values, features=self._inputs[side])
        return self.looked_up(side, lookups, tables=tables, precision="float32")

    def _tower_columns(self, side: SideName, lookups: Lookups, *, tables: Tables) -> list[tf.Tensor]:
        return tower_columns(lookups, self._inputs[side], tables=tables, defaults=self.embeddings.defaults)

    def dense_weights(self) -> dict[str, tf.Variable]:
        """Every weight but the tables, by name."""
        found = {f"default/{key}": variable.value for key, variable in self.embeddings.defaults.items()}
        for name, tower in self._towers.items():
            for depth, layer in enumerate(layer for layer in tower.layers if layer.weights):
                found |= {f"{name}/{depth}/{w.name}": w.value for w in layer.weights}
        return found | {f"log_temperature/{loss}": variable.value for loss, variable in self.log_temperatures.items()}

    def weights(self) -> dict[str, tf.Variable]:
        """Every weight, by name."""
        return {f"table/{name}": table for name, table in self.embeddings.tables.items()} | self.dense_weights()


def with_latest(values: Features) -> Features:
    """What the query tower reads: in session mode the latest item of the history apart too."""
    return {**values, LATEST: values[HISTORY][:, -1:]} if HISTORY in values else values


def _compiled(
    encode: Callable[[Features], tf.Tensor], features: list[EncodedFeature]
) -> Callable[[Features], tf.Tensor]:
    """Compiles the encoding once for any number of entities and values."""
    graph = tf.function(encode, input_signature=[features_spec(features)], autograph=False)
    return lambda values: graph({f.key: values[f.key] for f in features})


def save_weights(two_tower: TwoTower, directory: str) -> None:
    """Writes every weight into a model directory, whole or not at all."""
    pack(storage.join(directory, WEIGHTS), two_tower.weights())


def load_model(directory: str, *, verify: bool = False) -> TwoTower:
    """Opens what `train` left: the two towers of the paper's base model, with the weights of the best validation.

    Args:
        directory: Where it lies.
        verify: Also compare the SHA-256 of every file.

    Returns:
        `encode_queries` and `encode_items` take encoded features, as datasets have them, to float32 [B, D]. Their inner
        product is the score: the cosine, unless `model.normalize` is off.

    Raises:
        StageError: If it is missing or incomplete.
    """
    return load_towers(FinishedModel.open(directory, verify=verify))


def load_towers(model: FinishedModel) -> TwoTower:
    """Makes the towers of a model with its weights.

    Raises:
        StageError: If a file can't be read or isn't whole.
    """
    two_tower = TwoTower(model.spec, model.manifest.vocabularies, transform_directory=model.transform_directory)
    path = storage.join(model.directory, WEIGHTS)
    with of_finished():
        assign(two_tower.weights(), unpack(path), source=path)
    return two_tower
