"""One step of training: a global batch in, every weight moved.

Each replica takes its share of the batch, with negatives from all replicas; all of them make the same update.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import keras
import tensorflow as tf

from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.network.embedding import Tables
from model.network.touched_rows import TouchedRows, read_rows
from model.network.two_tower import TwoTower
from model.training import replicas
from model.training.alpha_schedule import alpha_at
from model.training.augmentation import twins
from model.training.columns import Columns, column_frequency, one_column_a_key
from model.training.dense_optimizer import dense_optimizer
from model.training.item_switches import masks_main_items
from model.training.losses import contrastive, in_batch_softmax
from model.training.prepared_batches import PreparedBatch, PreparedViews
from model.training.row_optimizer import RowOptimizer
from model.training.uniform_items import negatives_of_a_step, ssl_batch_size

LOSSES = ("loss", "main_loss", "ssl_loss")
DIVERGES_AT = 1000
"""A loss of more than so many times that of equal scores has diverged. Normalised scores at temperature 0.01 lose at
most 200 more than equal ones."""


class TrainingStep:
    """What changes while training, and the function that changes it.

    Everything that a checkpoint needs is in `state()`, and a step changes all of it or nothing: a signal is only
    answered between calls, each of one or more steps. What a step does doesn't depend on how many its call takes.

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

    def __init__(self, two_tower: TwoTower, corpus: Corpus, *, spec: Spec) -> None:
        """Prepares the optimizers, for the strategy in whose scope this is called.

        Args:
            two_tower: What is trained.
            corpus: Its training examples and its size count.
            spec: The sections ssl and train.
        """
        train = spec.train
        self._two_tower, self._corpus, self._spec = two_tower, corpus, spec
        self._negatives = negatives_of_a_step(corpus, spec)
        self._columns = (train.batch_size + self._negatives, ssl_batch_size(corpus, spec))
        """How many items L_main and L_self are the softmax among, at most."""
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
        self._dense_optimizer = dense_optimizer(train)
        self._dense_optimizer.exclude_from_weight_decay([v.value for v in two_tower.log_temperatures.values()])
        self._dense_optimizer.build(self._dense)
        self.step = _variable(tf.zeros([], tf.int64))
        self.totals = _variable(tf.zeros([len(LOSSES)], tf.float64))
        self.gradient_norms = _variable(tf.zeros([2]))
        self.first_bad_step = _variable(tf.constant(-1, tf.int64))
        self.diverged_loss = _variable(tf.zeros([], tf.float64))
        self._strategy = tf.distribute.get_strategy()

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

    def over(self, batches: tf.data.Dataset) -> partial[tf.Tensor]:
        """Compiles the step for the batches of the local replicas, and takes them from there inside the graph.

        Args:
            batches: From `prepared_batches`.

        Returns:
            Takes as many steps as it is given, one or more; returns `LOSSES` of the last of them, float [3].
        """
        reading = iter(batches)
        spec, (iterator,) = tf.type_spec_from_value(reading), tf.nest.flatten(reading, expand_composites=True)

        def take(iterator: tf.Tensor) -> tf.Tensor:
            return self._run_replicas(next(tf.nest.pack_sequence_as(spec, [iterator], expand_composites=True)))

        def take_some(iterator: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            _, losses = tf.while_loop(
                lambda number, _: number < count,
                lambda number, _: (number + 1, take(iterator)),
                (tf.constant(0), tf.zeros([len(LOSSES)], keras.config.floatx())),
                parallel_iterations=1,
            )
            return losses

        # Concrete functions of the iterator's handle: given the iterator, each call would compare the types of all
        # that a batch holds; and if the graph had captured it, it would go on reading until Python's collector comes.
        # Nothing in them is for AutoGraph, which took half of the first step: 9.4 s of processor time, 4.4 without it.
        handle = tf.TensorSpec([], tf.resource)
        if self._strategy.num_replicas_in_sync == 1:
            count = tf.TensorSpec([], tf.int32)
            return partial(tf.function(take_some, autograph=False).get_concrete_function(handle, count), iterator)
        step = tf.function(take, autograph=False).get_concrete_function(handle)
        # In a loop TensorFlow wants a collective's tensors to keep their shapes, which differ from step to step.
        return partial(lambda iterator, count: [step(iterator) for _ in range(count)][-1], iterator)

    def _run_replicas(self, local: tuple[PreparedBatch, ...]) -> tf.Tensor:
        def run() -> tf.Tensor:
            return self._run(local[replicas.number() % len(local)])

        return self._strategy.experimental_local_results(self._strategy.run(run))[0]

    def _run(self, batch: PreparedBatch) -> tf.Tensor:
        step = self.step.read_value()
        # Those of the training that this one was warm-started from too.
        steps_before = tf.cast(self._dense_optimizer.iterations.value, tf.int64)
        rows = read_rows(self._two_tower.embeddings.tables, batch.touched)
        touched = {name: row.values for name, row in rows.items()}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([touched, self._dense])
            tables = {name: row.of_codes(touched[name]) for name, row in rows.items()}
            main, ssl = self._losses(batch, tables)
            loss = main + alpha_at(step, corpus=self._corpus, spec=self._spec) * ssl
        of_rows, of_dense = tape.gradient(
            loss, [touched, self._dense], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # Of a hashed table they come in parts, which a row may have many of.
        of_rows = {name: tf.convert_to_tensor(gradient) for name, gradient in of_rows.items()}
        # A ReLU makes 0 of NaN, so the loss alone would not tell. The norms take these sums of squares too.
        check = tf.add_n([loss, *(tf.nn.l2_loss(g) for g in [*of_rows.values(), *of_dense])])
        losses, check = replicas.total((tf.stack([loss, main, ssl]), check))
        norms = self._update(rows, of_rows=of_rows, of_dense=of_dense, steps_before=steps_before)
        self._note(step, losses, norms=norms, check=check)
        return losses

    def _losses(self, batch: PreparedBatch, tables: Tables) -> tuple[tf.Tensor, tf.Tensor]:
        """Of the main task and of the SSL task, which is 0 without views."""
        precision = self._spec.train.precision
        query = self._two_tower.looked_up("query", batch.query, tables=tables, precision=precision)
        if batch.views is None:
            item = self._two_tower.looked_up("item", batch.items, tables=tables, precision=precision)
            main = self._main_loss(batch, query=query, item=item)
            return main, tf.zeros_like(main)
        item, first, second = self._two_tower.looked_up_items_in_parts(
            batch.items, tables, parts=batch.views.parts, precision=precision
        )
        main = self._main_loss(batch, query=query, item=item)
        return main, self._ssl_loss(batch.views, first=first, second=second)

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
    ) -> None:
        """Counts the step, and keeps what is told of it.

        Args:
            step: Its number.
            losses: `LOSSES`.
            norms: `gradient_norms`.
            check: Finite where the loss and its gradient are.
        """
        self.gradient_norms.assign(tf.cast(tf.stack(norms), tf.float32))
        self.totals.assign_add(tf.cast(losses, tf.float64))
        highest = tf.constant([DIVERGES_AT * math.log(max(number, 3)) for number in self._columns], losses.dtype)
        is_finite = tf.math.is_finite(check)
        has_diverged = is_finite & tf.reduce_any(losses[1:] > highest)
        is_first_bad = (self.first_bad_step < 0) & (has_diverged | ~is_finite)
        self.first_bad_step.assign(tf.where(is_first_bad, step, self.first_bad_step))
        diverged_loss = tf.cast(tf.reduce_max(losses[1:]), tf.float64)
        self.diverged_loss.assign(tf.where(is_first_bad & has_diverged, diverged_loss, self.diverged_loss))
        self.step.assign_add(1)

    def _main_loss(self, batch: PreparedBatch, *, query: tf.Tensor, item: tf.Tensor) -> tf.Tensor:
        train, copies_differ = self._spec.train, masks_main_items(self._spec)
        columns = Columns(
            embeddings=replicas.of_all(item),
            keys=replicas.of_all(batch.item_key),
            copies=tf.cast(replicas.of_all(batch.copies), item.dtype),
            frequency=column_frequency(
                replicas.of_all(batch.train_count),
                train_examples=self._corpus.train_examples,
                negatives=self._negatives / train.batch_size,
                corpus_size=len(self._corpus),
            ),
        )
        column_of = batch.item_of + replicas.rows_before(tf.shape(item, tf.int64)[0])
        # A single replica's examples have each of their items once.
        if not copies_differ and (self._negatives or replicas.count() > 1):
            columns, column_of = one_column_a_key(columns, column_of)
        return in_batch_softmax(
            query,
            columns,
            query_of=batch.query_of,
            column_of=column_of,
            examples=train.batch_size,
            temperature=self._two_tower.temperature("main"),
            logq=train.logq,
            remove_accidental_hits=train.remove_accidental_hits,
            copies_differ=copies_differ,
            precision=train.precision,
        )

    def _ssl_loss(self, views: PreparedViews, *, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        precision = self._spec.train.precision
        first, second = (self._two_tower.project(side, precision=precision) for side in (first, second))
        return contrastive(
            first,
            replicas.of_all(second),
            first_of=views.first_of,
            second_of=views.second_of + replicas.rows_before(tf.shape(second, tf.int64)[0]),
            copies=replicas.of_all(views.second_copies),
            temperature=self._two_tower.temperature("ssl"),
            twins=None if views.shown is None else twins(views.shown),
            precision=precision,
        )


def _variable(start: tf.Tensor) -> tf.Variable:
    """One that all replicas assign the same value."""
    return tf.Variable(start, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
