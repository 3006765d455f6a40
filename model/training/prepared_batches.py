"""The batches of a training as its steps take them: all that no weight decides is worked out while earlier steps run.

A step has views, numbered codes and counts handed in, and does nothing but look rows up, embed, compare and learn.

Shapes: B examples of a replica, Q different queries of them, M items: the different ones of the examples, and uniform
negatives; S items of the SSL task, F different first views of them, G second ones.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.network.draws import Rows
from model.network.feature_values import Features
from model.network.item_parts import ItemParts, item_parts
from model.network.lookups import Lookup, lookups_of
from model.network.touched_rows import TouchedCodes, number_codes
from model.network.two_tower import TwoTower, with_latest
from model.training.augmentation import Augmentation, shown_fingerprints
from model.training.batch_streams import training_batches
from model.training.distinct_views import DistinctViews, each_apart, shared
from model.training.fingerprints import fingerprints_by_feature
from model.training.item_switches import masks_main_items
from model.training.processors import preparing_threads
from model.training.ragged_rows import rows_at
from model.training.training_batch import TrainingBatch, id_keys
from model.training.training_examples import TrainingExamples
from model.training.uniform_items import UniformItems, negatives_of_a_step, uniform_items

_STEPS = 1 << 40


class PreparedViews(NamedTuple):
    """Which of the views the items of the SSL task have."""

    first_of: tf.Tensor
    """int64 [S]: which of the F."""
    second_of: tf.Tensor
    """int64 [S]: which of the G."""
    second_copies: tf.Tensor
    """int64 [G]: as how many items' second view each counts."""
    shown: tuple[tf.Tensor, tf.Tensor] | None
    """int64 [S] each: equal where two items show the same in their first views, and in their second; None if equal
    ones are negatives like any other."""
    parts: ItemParts
    """The M items, the F first views and the G second ones."""


class PreparedBatch(NamedTuple):
    """One replica's share of a global batch."""

    touched: dict[str, TouchedCodes]
    """Vocabulary -> which rows of its table are read."""
    query: dict[str, Lookup]
    """Of the Q queries, with codes that count the touched ones."""
    query_of: tf.Tensor
    """int64 [B]: which of the queries an example has."""
    items: dict[str, Lookup]
    """Of M + F + G: items, first views, second views; codes as above. Of M without views."""
    item_of: tf.Tensor
    """int64 [B]: which of the items an example has."""
    copies: tf.Tensor
    """int64 [M]: as how many columns of L_main an item counts."""
    item_key: tf.Tensor
    """int64 [M], from `id_keys`."""
    train_count: tf.Tensor
    """int64 [M]: training examples that hold the item."""
    views: PreparedViews | None
    """None in a step without an SSL loss."""


def prepared_batches(
    examples: Sequence[TrainingExamples],
    corpus: Corpus,
    *,
    two_tower: TwoTower,
    spec: Spec,
    groups: Mapping[str, list[str]] | None,
    start_step: int = 0,
    local_replicas: Sequence[int] = (0,),
    replicas: int = 1,
) -> tf.data.Dataset:
    """The global batches from a step on, as the replicas of this process see them.

    Where the SSL task has a last step, batches end with it; those without the task are asked for from the next step on.

    Args:
        examples: What each local replica reads.
        corpus: Where the SSL task's items and the uniform negatives come from.
        two_tower: For whom; none of its weights is read.
        spec: The sections ssl and train.
        groups: Mask groups, for `ssl.augmentation` cfm.
        start_step: The first global batch.
        local_replicas: The replicas' numbers.
        replicas: How many there are in all processes.

    Returns:
        Elements are (PreparedBatch of each local replica).
    """
    drawn = uniform_items(corpus, spec=spec, start_step=start_step)
    has_views = drawn.element_spec.ssl.shape[0] > 0
    preparation = _Preparation(corpus, two_tower, spec=spec, groups=groups, has_views=has_views)
    local_batches = tuple(training_batches(some, spec.train, start_step=start_step) for some in examples)

    def prepare(  # noqa: PLR0917 (as `map` hands them on)
        step: tf.Tensor, drawn: UniformItems, local: tuple[TrainingBatch, ...]
    ) -> tuple[PreparedBatch, ...]:
        return tuple(
            preparation.prepare(batch, drawn, step=step, share=(number, replicas))
            for number, batch in zip(local_replicas, local, strict=True)
        )

    # No counter, which TensorFlow 2.21 takes for a source of chance, as `_kept` of training_examples tells.
    steps = tf.data.Dataset.range(start_step, _STEPS)
    batches = tf.data.Dataset.zip((steps, drawn, local_batches))
    # AutoGraph would take 1.2 s of processor time, and there is nothing in it for it.
    graph = tf.autograph.experimental.do_not_convert(prepare)
    return batches.map(graph, num_parallel_calls=preparing_threads(), deterministic=True).prefetch(2)


class _Preparation:
    """What replicas make of examples and drawn items, with what they need of the corpus for it."""

    def __init__(
        self,
        corpus: Corpus,
        two_tower: TwoTower,
        *,
        spec: Spec,
        groups: Mapping[str, list[str]] | None,
        has_views: bool,
    ) -> None:
        self._corpus, self._spec = corpus, spec
        self._query_features, self._item_features = two_tower.query_features, two_tower.item_features
        self._tables, self._hashed = list(two_tower.embeddings.tables), two_tower.embeddings.hashed
        self._augmentation = Augmentation(spec.ssl, self._item_features, groups=groups, seed=spec.train.seed)
        self._negatives = negatives_of_a_step(corpus, spec)
        self._item_key = id_keys(tf.constant(corpus.ids)) if self._negatives else None
        self._train_count = tf.constant(corpus.train_count) if self._negatives else None
        self._fingerprints = (
            fingerprints_by_feature(corpus.features, self._item_features)
            if spec.ssl.exclude_identical and has_views
            else None
        )

    def prepare(
        self, batch: TrainingBatch, drawn: UniformItems, *, step: tf.Tensor, share: tuple[int, int]
    ) -> PreparedBatch:
        """One batch of a replica, given as (its number, replicas); of the items, the global batch's are drawn."""
        batch, negatives = self._main_batch(batch, _share(drawn.negatives, share), step=step)
        sides = [(batch.query, self._query_features), (batch.item, self._item_features)]
        ssl_items, ssl_rows = _share(drawn.ssl, share)
        if ssl_rows.of:
            sides.append((self._features_at(ssl_items), self._item_features))
        touched, (query, item, *rest) = number_codes(self._tables, sides, hashed=self._hashed)
        items, views = [item], None
        if rest:
            both = self._augmentation.views(rest[0], step=step, rows=ssl_rows)
            first, second = self._distinct(both.first), self._distinct(both.second)
            items += [first.views, second.views]
            shown = None
            if self._fingerprints is not None:
                shown = shown_fingerprints(tf.gather(self._fingerprints, ssl_items), both)
            copies = _copies(second.view_of, of=_rows(second.views))
            parts = item_parts(items, self._item_features, dim=self._spec.model.embedding_dim)
            views = PreparedViews(first.view_of, second.view_of, second_copies=copies, shown=shown, parts=parts)
        of_examples = _copies(batch.item_of, of=_rows(item) - negatives)
        return PreparedBatch(
            touched=touched,
            query=lookups_of(with_latest(query)),
            query_of=batch.query_of,
            items=lookups_of({key: tf.concat([side[key] for side in items], axis=0) for key in item}),
            item_of=batch.item_of,
            copies=tf.concat([of_examples, tf.ones([negatives], tf.int64)], axis=0),
            item_key=batch.item_key,
            train_count=batch.train_count,
            views=views,
        )

    def _main_batch(
        self, batch: TrainingBatch, share: tuple[tf.Tensor, Rows], *, step: tf.Tensor
    ) -> tuple[TrainingBatch, int]:
        """The batch as the main task sees it, and how many uniform negatives it has.

        They are behind its items, and no example's. Each is masked by itself where the spec has masks in the main task.
        """
        masks = masks_main_items(self._spec)
        batch = batch.apart() if masks else batch
        negatives, negative_rows = share
        if self._negatives:
            drawn = self._features_at(negatives)
            batch = batch._replace(
                item={key: tf.concat([values, drawn[key]], axis=0) for key, values in batch.item.items()},
                item_key=tf.concat([batch.item_key, tf.gather(self._item_key, negatives)], axis=0),
                train_count=tf.concat([batch.train_count, tf.gather(self._train_count, negatives)], axis=0),
            )
        if masks:
            examples = self._spec.train.batch_size
            numbers = tf.concat([batch.row, examples + negative_rows.numbers], axis=0)
            items, rows = batch.item, Rows(numbers, examples + self._negatives)
            if self._spec.ssl.drops_features:
                items = self._augmentation.drop_features(items, step=step, rows=rows)
            if self._spec.train.item_id_dropout:
                items = self._augmentation.drop_ids(items, rate=self._spec.train.item_id_dropout, step=step, rows=rows)
            batch = batch._replace(item=items)
        return batch, negative_rows.numbers.shape[0]

    def _features_at(self, positions: tf.Tensor) -> Features:
        """Of the items at these indices of the corpus."""
        return {f.key: rows_at(self._corpus.features[f.key], positions) for f in self._item_features}

    def _distinct(self, views: Features) -> DistinctViews:
        """What is embedded of one side's views; twins are left out item by item, so they stay apart there."""
        if self._spec.ssl.augmentation not in ("cfm", "rfm") or self._fingerprints is not None:
            return each_apart(views)
        return shared(views, self._item_features)


def _share(positions: tf.Tensor, share: tuple[int, int]) -> tuple[tf.Tensor, Rows]:
    """A replica's of the items that a step draws, and which of them these are."""
    (number, replicas), total = share, positions.shape[0]
    first, end = number * total // replicas, (number + 1) * total // replicas
    return positions[first:end], Rows(tf.range(first, end, dtype=tf.int64), total)


def _rows(side: Features) -> tf.Tensor:
    """How many entities there are, int64 []."""
    return next(iter(side.values())).nrows()


def _copies(which: tf.Tensor, *, of: tf.Tensor) -> tf.Tensor:
    """How often each of so many is meant, int64."""
    return tf.math.unsorted_segment_sum(tf.ones_like(which), which, of)
