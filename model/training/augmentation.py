"""Views of items: features are masked first, then values of multivalued features are dropped.

A view is the item with fewer values: a feature without any, masked or missing, gets its default in the tower.

Shapes: S items of the SSL batch (of the global batch where rows are drawn), K item features, V values of one feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.dataset import EncodedFeature
from features.spec.training import Ssl
from model.network.draws import Rows, draw_key, uniform_rows, uniform_values
from model.network.feature_values import Features
from model.network.kept_values import keep_values
from model.network.row_ids import row_ids
from model.training import replicas
from model.training.item_switches import SEVERAL_VALUES, maskable_names


@dataclass(frozen=True)
class Views:
    """Two views of the same items."""

    first: Features
    second: Features
    first_visible: tf.Tensor
    """bool [S, K]: the features that the first view shows."""
    second_visible: tf.Tensor
    """bool [S, K]."""


class Augmentation:
    """The views that the spec asks for, drawn by step."""

    def __init__(
        self, ssl: Ssl, features: Sequence[EncodedFeature], *, groups: Mapping[str, list[str]] | None, seed: int
    ) -> None:
        """Prepares the masks.

        Args:
            ssl: Which augmentation.
            features: The K item features.
            groups: For `cfm`; from `read_mask_groups`.
            seed: `train.seed`.
        """
        self._ssl = ssl
        self._features = list(features)
        self._seed = seed
        maskable = maskable_names(features, ssl)
        self._maskable = np.array([f.name in maskable for f in features])
        self._groups = np.array([[f.name in group for f in features] for group in (groups or {}).values()])

    def views(self, items: Features, *, step: tf.Tensor, rows: Rows) -> Views:
        """Two views of each item.

        Args:
            items: Ragged [S, (values)] each.
            step: Which global batch, int64 [].
            rows: Which of its rows.
        """
        shape = [rows.numbers.shape[0], len(self._features)]
        first, second = (tf.broadcast_to(visible, shape) for visible in self._draw_visible(step, rows))
        item_of = {f.key: row_ids(items[f.key]) for f in self._features}  # [V], in the order of the flat values
        view = partial(self._view, items, item_of=item_of, step=step, rows=rows)
        return Views(view("first", visible=first), view("second", visible=second), first, second)

    def drop_features(self, items: Features, *, step: tf.Tensor, rows: Rows) -> Features:
        """Items of the main task, each feature of each item dropped with `dropout_rate` (the baseline FD)."""
        key = draw_key(self._seed, "feature dropout", step)
        draws = uniform_rows(key, rows=rows, width=len(self._features))
        visible = (draws >= self._ssl.dropout_rate) | ~self._maskable
        return {
            f.key: keep_values(items[f.key], tf.gather(visible[:, k], row_ids(items[f.key])))
            for k, f in enumerate(self._features)
        }

    def drop_ids(self, items: Features, *, rate: float, step: tf.Tensor, rows: Rows) -> Features:
        """Items of the main task, each without its id with a probability, as if it were cold."""
        key = draw_key(self._seed, "id dropout", step)
        visible = uniform_rows(key, rows=rows, width=1)[:, 0] >= rate
        ids = {f.key for f in self._features if f.kind == "id"}
        return {
            key: keep_values(values, tf.gather(visible, row_ids(values))) if key in ids else values
            for key, values in items.items()
        }

    def _draw_visible(self, step: tf.Tensor, rows: Rows) -> tuple[tf.Tensor, tf.Tensor]:
        """What each view shows, bool [S or 1, K]."""
        if self._ssl.augmentation not in ("cfm", "rfm"):
            everything = tf.ones([1, len(self._features)], tf.bool)
            return everything, everything
        masked = self._draw_masked("first", step, rows=rows)
        if self._ssl.complement:
            return ~masked, masked | ~self._maskable
        return ~masked, ~self._draw_masked("second", step, rows=rows)

    def _draw_masked(self, view: str, step: tf.Tensor, *, rows: Rows) -> tf.Tensor:
        """One mask for the batch or one per item, bool [S or 1, K]."""
        key = draw_key(self._seed, f"mask of {view}", step)
        if self._ssl.seed_per == "batch":
            rows = Rows(tf.zeros([1], tf.int64), 1)
        if self._ssl.augmentation == "cfm":
            draw = uniform_rows(key, rows=rows, width=1)[:, 0]
            return tf.gather(self._groups, tf.cast(draw * len(self._groups), tf.int64))
        draws = uniform_rows(key, rows=rows, width=len(self._features))
        return random_masks(draws, self._maskable)

    def _view(
        self,
        items: Features,
        view: str,
        *,
        item_of: Mapping[str, tf.Tensor],
        visible: tf.Tensor,
        step: tf.Tensor,
        rows: Rows,
    ) -> Features:
        rate = 0.0 if self._ssl.augmentation == "spread_out" else self._ssl.dropout_rate
        shown = {}
        for k, feature in enumerate(self._features):
            values = items[feature.key]
            keep = tf.gather(visible[:, k], item_of[feature.key])
            if rate and feature.kind in SEVERAL_VALUES:
                key = draw_key(self._seed, f"values of {feature.key} in {view}", step)
                item = item_of[feature.key]
                draws = uniform_values(key, rows=tf.gather(rows.numbers, item), indices=_index(values, item))
                keep &= draws >= rate
            shown[feature.key] = keep_values(values, keep)
        return shown


def random_masks(draws: tf.Tensor, maskable: npt.NDArray[np.bool_]) -> tf.Tensor:
    """Random feature masking: as many features as a correlated mask has, any of them.

    Args:
        draws: float32 [S, K], uniform; the features with the lowest draws are masked.
        maskable: bool [K].

    Returns:
        bool [S, K], floor(k/2) + 1 of the k maskable ones true, but at most k - 1.
    """
    k = int(maskable.sum())
    count = min(k // 2 + 1, max(k - 1, 0))
    order = tf.argsort(tf.where(maskable, draws, 2.0), axis=1)
    return tf.argsort(order, axis=1) < count


def shown_fingerprints(fingerprint: tf.Tensor, views: Views) -> tuple[tf.Tensor, tf.Tensor]:
    """Of what the first views show, and of what the second ones do; dropped values don't count.

    Args:
        fingerprint: int64 [S, K], from `fingerprints_by_feature`.
        views: Of these items.

    Returns:
        int64 [S] each.
    """
    first, second = (
        tf.reduce_sum(tf.where(visible, fingerprint, 0), axis=1)
        for visible in (views.first_visible, views.second_visible)
    )
    return first, second


def twins(shown: Sequence[tf.Tensor]) -> tf.Tensor:
    """Pairs of items that the first view or the second shows alike, so that none can be told from the other.

    Args:
        shown: From `shown_fingerprints`.

    Returns:
        bool [S, all replicas' S].
    """
    first, second = (tf.equal(own[:, tf.newaxis], replicas.of_all(own)[tf.newaxis, :]) for own in shown)
    return first | second


def _index(values: tf.RaggedTensor, rows: tf.Tensor) -> tf.Tensor:
    """Which of its row's values each one is, int64 [V], given the rows [V]."""
    return tf.range(tf.size(rows, tf.int64)) - tf.gather(values.row_starts(), rows)
