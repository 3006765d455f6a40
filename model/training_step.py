"""One step of training: a global batch in, every weight moved.

Each replica takes its share of the batch, with negatives from all replicas; all of them make the same update.

Shapes: S items of the SSL task, U uniform negatives, N items of the corpus, M items of a batch.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from features.spec import Spec
from features.spec_training import Train
from model import replicas
from model.alpha_schedule import alpha_at
from model.augmentation import Augmentation, Views, twins
from model.distinct_views import DistinctViews, each_apart, shared
from model.draws import Rows
from model.embedding import Tables
from model.fingerprints import fingerprints_by_feature
from model.input import Corpus, Features
from model.losses import column_frequency, contrastive, in_batch_softmax
from model.row_optimizer import RowOptimizer
from model.touched_rows import TouchedRows, touch
from model.training_batch import TrainingBatch, id_keys
from model.two_tower import TwoTower
from model.uniform_items import UniformItems

LOSSES = ("loss", "main_loss", "ssl_loss")
DIVERGES_AT = 1000
"""A loss of more than so many times that of equal scores has diverged. Normalised scores at temperature 0.01 lose at
most 200 more than equal ones."""


class TrainingStep:
    """What changes while training, and the function that changes it.

    Everything that a checkpoint needs is in `state()`, and one call changes all of it or nothing: a signal is only
    answered between calls.

    Attributes:
        step: Steps done, int64 [].
        totals: Sums of `LOSSES` over the steps since they were last set to zero, float64 [3].
        gradient_norms: Of the latest step, over all touched rows and over all dense weights, float32 [2]; the latter of
            the first replica's part, where there are several.
        first_bad_step: The first step whose loss or gradient wasn't finite, or whose loss had diverged, int64 []; -1:
            none.
        diverged_loss: That of L_main and L_self of the first bad step that was larger, if both were finite and one had
            diverged, else 0; float64 [].
    """

    def __init__(
        self,
        two_tower: TwoTower,
        corpus: Corpus,
        *,
        spec: Spec,
        groups: Mapping[str, list[str]] | None,
    ) -> None:
        """Prepares the optimizers and compiles the step, for the strategy in whose scope this is called.

        Args:
            two_tower: What is trained.
            corpus: Where the SSL task's items and the uniform negatives come from.
            spec: The sections ssl and train.
            groups: Mask groups, for `ssl.augmentation` cfm.
        """
        train = spec.train
        self._two_tower, self._corpus, self._spec = two_tower, corpus, spec
        self._steps_an_epoch = corpus.train_examples / train.batch_size
        self._augmentation = Augmentation(spec.ssl, two_tower.item_features, groups=groups, seed=train.seed)
        self._negatives = min(train.uniform_negatives, len(corpus))
        self._item_key = id_keys(tf.constant(corpus.ids)) if self._negatives else None
        self._train_count = tf.constant(corpus.train_count) if self._negatives else None
        self._fingerprints = (
            fingerprints_by_feature(corpus.features, two_tower.item_features)
            if spec.ssl.exclude_identical and spec.ssl.has_loss
            else None
        )
        self._row_optimizer = RowOptimizer(
            two_tower.embeddings.tables,
            optimizer=train.optimizer,
            learning_rate=train.learning_rate,
            weight_decay=train.weight_decay,
        )
        self._dense = [
            weight
            for name, weight in two_tower.dense_weights().items()
            if train.learnable_temperature or not name.startswith("log_temperature/")
        ]
        self._dense_optimizer = _dense_optimizer(train)
        self._dense_optimizer.exclude_from_weight_decay([v.value for v in two_tower.log_temperatures.values()])
        self._dense_optimizer.build(self._dense)
        self.step = _variable(tf.zeros([], tf.int64))
        self.totals = _variable(tf.zeros([len(LOSSES)], tf.float64))
        self.gradient_norms = _variable(tf.zeros([2]))
        self.first_bad_step = _variable(tf.constant(-1, tf.int64))
        self.diverged_loss = _variable(tf.zeros([], tf.float64))
        self._strategy = tf.distribute.get_strategy()
        # Nothing in it is for AutoGraph, which took half of the first step: 9.4 s of processor time, 4.4 without it.
        self.run: Callable[[Iterator[tuple[TrainingBatch, ...]], UniformItems], tf.Tensor] = tf.function(
            self._run_replicas, autograph=False
        )
        """Takes the local replicas' next batches from a tf.data iterator, cheaper inside the graph than handing them
        in; and the items that it draws from the corpus, compiled anew when their number changes. Returns `LOSSES` of
        the step, float [3]."""

    def state(self) -> dict[str, tf.Variable]:
        """Every variable that the next step depends on, by name."""
        optimizer = {f"dense_optimizer/{i}": v.value for i, v in enumerate(self._dense_optimizer.variables)}
        slots = {f"row_optimizer/{name}": slot for name, slot in self._row_optimizer.slots.items()}
        return self._two_tower.weights() | optimizer | slots | {"step": self.step, "totals": self.totals}

    def learned(self) -> dict[str, tf.Variable]:
        """The part of `state()` that a training on other data can go on from: trained weights and optimizer slots."""
        left_out = {"step", "totals"}
        for i, variable in enumerate(self._dense_optimizer.variables):
            if variable is self._dense_optimizer.learning_rate:
                left_out.add(f"dense_optimizer/{i}")
        if not self._spec.train.learnable_temperature:
            left_out |= {f"log_temperature/{loss}" for loss in self._two_tower.log_temperatures}
        return {name: variable for name, variable in self.state().items() if name not in left_out}

    def _run_replicas(self, batches: Iterator[tuple[TrainingBatch, ...]], drawn: UniformItems) -> tf.Tensor:
        local = next(batches)

        def run() -> tf.Tensor:
            return self._run(local[replicas.number() % len(local)], drawn)

        return self._strategy.experimental_local_results(self._strategy.run(run))[0]

    def _run(self, batch: TrainingBatch, drawn: UniformItems) -> tf.Tensor:
        step = self.step.read_value()
        # Those of the training that this one was warm-started from too.
        steps_before = tf.cast(self._dense_optimizer.iterations.value, tf.int64)
        ssl_items, ssl_rows = _share(drawn.ssl)
        batch = self._main_batch(batch, drawn.negatives, step=step)
        rows, numbered = self._touch(batch, ssl_items if ssl_rows.of else None)
        touched = {name: row.values for name, row in rows.items()}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([touched, self._dense])
            tables = {name: row.of_codes(touched[name]) for name, row in rows.items()}
            views = [self._augmentation.views(values, step=step, rows=ssl_rows) for values in numbered[2:]]
            main, ssl = self._forward(batch, numbered, views=views, ssl_items=ssl_items, tables=tables)
            loss = main + alpha_at(step, self._spec.ssl, steps_an_epoch=self._steps_an_epoch) * ssl
        of_rows, of_dense = tape.gradient(
            loss, [touched, self._dense], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # Of a hashed table they come in parts, which a row may have many of.
        of_rows = {name: tf.convert_to_tensor(gradient) for name, gradient in of_rows.items()}
        # A ReLU makes 0 of NaN, so the loss alone would not tell.
        check = tf.add_n([loss, *(tf.reduce_sum(g) for g in [*of_rows.values(), *of_dense])])
        losses, check = replicas.total((tf.stack([loss, main, ssl]), check))
        norms = self._update(rows, of_rows=of_rows, of_dense=of_dense, steps_before=steps_before)
        columns = (self._spec.train.batch_size + self._negatives, ssl_rows.of)
        self._note(step, losses, norms=norms, check=check, columns=columns)
        return losses

    def _touch(
        self, batch: TrainingBatch, ssl_items: tf.Tensor | None
    ) -> tuple[dict[str, TouchedRows], list[Features]]:
        """Reads the rows of queries, items and items of the SSL task, if any, and numbers their codes by them."""
        items = self._two_tower.item_features
        sides = [(batch.query, self._two_tower.query_features), (batch.item, items)]
        if ssl_items is not None:
            sides.append((self._features_at(ssl_items), items))
        embeddings = self._two_tower.embeddings
        return touch(embeddings.tables, sides, hashed=embeddings.hashed)

    def _forward(
        self,
        batch: TrainingBatch,
        numbered: Sequence[Features],
        *,
        views: Sequence[Views],
        ssl_items: tf.Tensor,
        tables: Tables,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The losses of the main task and of the SSL task, which is 0 without views."""
        shown = [self._distinct(side) for both in views for side in (both.first, both.second)]
        query, item = numbered[:2]
        embedded = self._embed(query, [item, *(side.views for side in shown)], tables=tables)
        main = self._main_loss(batch, query=embedded[0], item=embedded[1])
        if not views:
            return main, tf.zeros_like(main)
        return main, self._ssl_loss(shown, embedded[2:], twins=self._twins(views[0], positions=ssl_items))

    def _update(
        self,
        rows: Mapping[str, TouchedRows],
        *,
        of_rows: Mapping[str, tf.Tensor],
        of_dense: Sequence[tf.Tensor],
        steps_before: tf.Tensor,
    ) -> list[tf.Tensor]:
        """Moves every weight by its gradient; returns the norms of all gradients of rows, and of dense weights."""
        tables = self._two_tower.embeddings.tables
        reduced = {name: replicas.reduce_rows(tables[name], row, gradient=of_rows[name]) for name, row in rows.items()}
        for name, (row, gradient) in reduced.items():
            self._row_optimizer.update(name, row, gradient=gradient, step=steps_before)
        # Keras's optimizer adds up the replicas' gradients itself.
        self._dense_optimizer.apply_gradients(zip(of_dense, self._dense, strict=True))
        return [tf.linalg.global_norm(g) for g in ([gradient for _, gradient in reduced.values()], of_dense)]

    def _note(
        self,
        step: tf.Tensor,
        losses: tf.Tensor,
        *,
        norms: Sequence[tf.Tensor],
        check: tf.Tensor,
        columns: Sequence[int],
    ) -> None:
        """Counts the step, and keeps what is told of it.

        Args:
            step: Its number.
            losses: `LOSSES`.
            norms: `gradient_norms`.
            check: Finite where the loss and its gradient are.
            columns: How many items L_main and L_self are the softmax among, at most.
        """
        self.gradient_norms.assign(tf.cast(tf.stack(norms), tf.float32))
        self.totals.assign_add(tf.cast(losses, tf.float64))
        highest = tf.constant([DIVERGES_AT * math.log(max(number, 3)) for number in columns], losses.dtype)
        is_finite = tf.math.is_finite(check)
        has_diverged = is_finite & tf.reduce_any(losses[1:] > highest)
        is_first_bad = (self.first_bad_step < 0) & (has_diverged | ~is_finite)
        self.first_bad_step.assign(tf.where(is_first_bad, step, self.first_bad_step))
        diverged_loss = tf.cast(tf.reduce_max(losses[1:]), tf.float64)
        self.diverged_loss.assign(tf.where(is_first_bad & has_diverged, diverged_loss, self.diverged_loss))
        self.step.assign_add(1)

    def _main_batch(self, batch: TrainingBatch, negatives: tf.Tensor, *, step: tf.Tensor) -> TrainingBatch:
        """The batch as the main task sees it.

        Behind its items are the uniform negatives, which are no example's. Each is masked by itself where the spec has
        masks in the main task.
        """
        masks = _masks_main_items(self._spec)
        batch = batch.apart() if masks else batch
        negatives, negative_rows = _share(negatives)
        if self._negatives:
            drawn = self._features_at(negatives)
            batch = batch._replace(
                item={key: tf.concat([values, drawn[key]], axis=0) for key, values in batch.item.items()},
                item_key=tf.concat([batch.item_key, tf.gather(self._item_key, negatives)], axis=0),
                train_count=tf.concat([batch.train_count, tf.gather(self._train_count, negatives)], axis=0),
            )
        if not masks:
            return batch
        examples = self._spec.train.batch_size
        numbers = tf.concat([batch.row, examples + negative_rows.numbers], axis=0)
        items, rows = batch.item, Rows(numbers, examples + self._negatives)
        if self._spec.ssl.drops_features:
            items = self._augmentation.drop_features(items, step=step, rows=rows)
        if self._spec.train.item_id_dropout:
            items = self._augmentation.drop_ids(items, rate=self._spec.train.item_id_dropout, step=step, rows=rows)
        return batch._replace(item=items)

    def _features_at(self, positions: tf.Tensor) -> Features:
        """Of the items at these indices of the corpus."""
        return {f.key: tf.gather(self._corpus.features[f.key], positions) for f in self._two_tower.item_features}

    def _embed(self, query: Features, items: Sequence[Features], *, tables: Tables) -> list[tf.Tensor]:
        """Embeddings of the queries, and of each of several sides of items, which pass their tower together."""
        precision = self._spec.train.precision
        together = {key: tf.concat([side[key] for side in items], axis=0) for key in items[0]}
        embedded = self._two_tower.items(together, tables, precision=precision)
        sizes = [next(iter(side.values())).nrows() for side in items]
        return [
            self._two_tower.queries(query, tables, precision=precision),
            *tf.split(embedded, sizes, num=len(sizes)),
        ]

    def _main_loss(self, batch: TrainingBatch, *, query: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        train, items = self._spec.train, tf.shape(item, tf.int64)[0]
        first, end = replicas.share(self._negatives)
        of_examples = tf.math.unsorted_segment_sum(tf.ones_like(batch.item_of), batch.item_of, items - (end - first))
        copies = tf.concat([of_examples, tf.ones([end - first], tf.int64)], axis=0)
        frequency = column_frequency(
            replicas.of_all(batch.train_count),
            train_examples=self._corpus.train_examples,
            negatives=self._negatives / train.batch_size,
            corpus_size=len(self._corpus),
        )
        return in_batch_softmax(
            query,
            replicas.of_all(item),
            query_of=batch.query_of,
            item_of=batch.item_of + replicas.rows_before(items),
            copies=replicas.of_all(copies),
            negatives=self._negatives,
            item_keys=replicas.of_all(batch.item_key),
            frequency=frequency,
            temperature=self._two_tower.temperature("main"),
            logq=train.logq,
            remove_accidental_hits=train.remove_accidental_hits,
            copies_differ=_masks_main_items(self._spec),
            precision=train.precision,
        )

    def _distinct(self, views: Features) -> DistinctViews:
        """What is embedded of one side's views; twins are left out item by item, so they stay apart there."""
        if self._spec.ssl.augmentation not in ("cfm", "rfm") or self._fingerprints is not None:
            return each_apart(views)
        return shared(views, self._two_tower.item_features)

    def _twins(self, views: Views, *, positions: tf.Tensor) -> tf.Tensor | None:
        return None if self._fingerprints is None else twins(tf.gather(self._fingerprints, positions), views)

    def _ssl_loss(
        self, shown: Sequence[DistinctViews], embedded: Sequence[tf.Tensor], *, twins: tf.Tensor | None
    ) -> tf.Tensor:
        precision = self._spec.train.precision
        first, second = (self._two_tower.project(side, precision=precision) for side in embedded)
        views = tf.shape(second, tf.int64)[0]
        copies = tf.math.unsorted_segment_sum(tf.ones_like(shown[1].view_of), shown[1].view_of, views)
        return contrastive(
            first,
            replicas.of_all(second),
            first_of=shown[0].view_of,
            second_of=shown[1].view_of + replicas.rows_before(views),
            copies=replicas.of_all(copies),
            temperature=self._two_tower.temperature("ssl"),
            twins=twins,
            precision=precision,
        )


def _dense_optimizer(train: Train) -> keras.optimizers.Optimizer:
    """Keras knows no row-wise Adagrad, and dense weights are few."""
    kind = keras.optimizers.Adam if train.optimizer == "adam" else keras.optimizers.Adagrad
    return kind(train.learning_rate, weight_decay=train.weight_decay or None)


def _variable(start: tf.Tensor) -> tf.Variable:
    """One that all replicas assign the same value."""
    return tf.Variable(start, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)


def _masks_main_items(spec: Spec) -> bool:
    """Whether the spec asks for masks in the main task too, so that examples of one item see it differently."""
    return spec.ssl.drops_features or spec.train.item_id_dropout > 0


def _share(positions: tf.Tensor) -> tuple[tf.Tensor, Rows]:
    """This replica's of the items that a step draws, and which of them these are."""
    total = positions.shape[0]
    first, end = replicas.share(total)
    return positions[first:end], Rows(tf.range(first, end, dtype=tf.int64), total)
