"""The loop around the training step: batches, validation, the best weights, checkpoints, progress."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias

import tensorflow as tf
from tqdm import tqdm

from features.dataset import Dataset
from features.spec.spec import Spec
from model.network.corpus import Corpus
from model.network.diverged import Diverged
from model.network.example_files import unreadable
from model.network.tensorflow_error import in_memory, is_of_reading, reason_of
from model.network.two_tower import TwoTower
from model.ranking.cut_off import DECIDES
from model.training.alpha_schedule import ssl_steps
from model.training.bad_batch import BAD_BATCH, write_bad_batch
from model.training.checkpoint import Checkpoints, has_checkpoint, restore_checkpoint
from model.training.prepared_batches import prepared_batches
from model.training.steps_at_once import steps_at_once
from model.training.training_end import is_out_of_patience
from model.training.training_examples import TrainingExamples, training_examples
from model.training.training_history import History, best_of, write_history
from model.training.training_pace import TrainingPace
from model.training.training_step import DIVERGES_AT, LOSSES, TrainingStep
from model.training.training_summaries import summary_writer, write_steps, write_validation
from model.training.workers import Workers
from stage import progress, storage
from stage.errors import Interrupted, StageError
from stage.interrupts import check_interrupted, was_interrupted
from stage.output import check_own

_TakeSteps: TypeAlias = Callable[[int], tf.Tensor]
_REPORT_EVERY = 50
_LISTEN_EVERY = 10
_OF_THIS_WORKER = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
)
"""What TensorFlow doesn't raise where another worker ended."""


class TrainingLoop:
    """Trains from the latest checkpoint to the end; leaves checkpoints, the best among them, and history.json."""

    def __init__(
        self,
        two_tower: TwoTower,
        training: TrainingStep,
        *,
        dataset: Dataset,
        corpus: Corpus,
        spec: Spec,
        groups: Mapping[str, list[str]] | None,
        validate: Callable[[], Mapping[str, float | None]],
        output: str,
        run_id: str,
        workers: Workers,
        ranks_start: bool,
        keep: bool,
    ) -> None:
        """Prepares the loop.

        Args:
            two_tower: What is trained.
            training: Its step.
            dataset: Where batches come from.
            corpus: Its items.
            spec: The sections ssl and train.
            groups: Mask groups, for `ssl.augmentation` cfm.
            validate: Metrics of the present weights; called on the chief alone.
            output: The model directory.
            run_id: Of the run that must still own it whenever something is written there.
            workers: Who trains together.
            ranks_start: Validate before the first step too: what the training starts from may be the best of it.
            keep: Keep the training examples in memory, as `training_examples` has it.
        """
        self._two_tower, self._training = two_tower, training
        self._dataset, self._corpus, self._spec, self._groups = dataset, corpus, spec, groups
        self._validate = validate
        self._output, self._run_id = output, run_id
        self._workers = workers
        self._ranks_start, self._keep = ranks_start, keep
        steps = -(-corpus.train_examples // spec.train.batch_size)  # an epoch's
        self._last_step = steps * spec.train.epochs
        self._ssl_steps = ssl_steps(corpus, spec)
        self._validate_every = spec.train.validate_every or steps
        self._checkpoints = Checkpoints(output, every=spec.train.checkpoint_every)
        self._history: History = []
        self._saved: tuple[int, int] | None = None
        """Of the latest checkpoint, as `_stands` has it."""
        self._pace = TrainingPace(spec.train.batch_size)

    def run(self) -> History:
        """Trains.

        Returns:
            One entry per validation.

        Raises:
            StageError: If the loss diverges, a record can't be read, a batch needs too much memory, TensorFlow can't do
                a step, or another run has taken the output over.
            Interrupted: On Ctrl-C or SIGTERM, after a checkpoint was saved.
        """
        self._history = restore_checkpoint(self._output, self._training)
        if has_checkpoint(self._output):
            self._saved = self._stands()
        self._workers.check_alike("checkpoint", f"step {self._step()}")
        if self._history and self._history[-1]["step"] == self._step():
            self._start_totals()  # an interruption may have come just before that
        train = self._spec.train
        sizes = f"train.batch_size ({train.batch_size:,}), ssl.batch_size or train.uniform_negatives"
        try:
            with in_memory(f"a step on {train.batch_size:,} examples", remedy=f"lower {sizes}"):
                self._run()
        except tf.errors.OpError as error:
            # A step takes its batch from the pipeline itself, so what is wrong with either comes out of the same call.
            if is_of_reading(error):
                raise unreadable(self._dataset.directory, error) from None
            if self._workers.own.of > 1 and not isinstance(error, _OF_THIS_WORKER):
                raise  # it may be of the end of another, which `Workers.together` tells
            raise StageError(
                f"after step {self._step():,} TensorFlow failed ({reason_of(error)}); --verbose shows where"
            ) from error
        except (KeyboardInterrupt, SystemError) as error:
            # The latter is what TensorFlow's native code once made of an interrupt while a graph was traced.
            if isinstance(error, SystemError) and not was_interrupted():
                raise
            self._refuse_bad_loss()
            self._save()
            step = f"step {self._step():,}"
            said = f"interrupted; saved after {step}, from which the same command goes on"
            if not self._workers.is_chief:
                said = f"interrupted after {step}; the chief saves, and the same command goes on from there"
            raise Interrupted(said) from None
        return self._history

    def _run(self) -> None:
        with summary_writer(self._output, is_chief=self._workers.is_chief).as_default():
            if self._ranks_start and self._stands() == (0, 0):
                self._record()
                self._tell_start()
            examples = [] if self._is_over() else self._examples()
            size = self._spec.train.batch_size
            total, done = self._last_step * size, self._step() * size
            with progress.bar(total=total, unit="examples", description="train", initial=done) as shown:
                take_steps: _TakeSteps | None = None
                while self._goes_on():
                    if take_steps is None or self._step() == self._ssl_steps:
                        take_steps = self._steps_from_here(examples)
                    self._take(take_steps, shown)
                shown.total = shown.n  # else a training that patience ends looks like an abort

    def _goes_on(self) -> bool:
        """Does what is due before the next step, and says whether there is one."""
        step = self._step()
        if self._validates_at(step) and step not in (entry["step"] for entry in self._history):
            self._record()
        if self._is_over():
            self._refuse_bad_loss()
            self._save()
            return False
        # A bad loss is refused where all workers look for one; here the chief alone would leave.
        if self._workers.is_chief and self._checkpoints.is_due(step) and not self._is_bad():
            self._save()
        check_interrupted()
        if step % _LISTEN_EVERY == 0:
            self._workers.stop_if_interrupted()
        return True

    def _take(self, take_steps: _TakeSteps, shown: "tqdm[NoReturn]") -> None:
        """Takes steps until something else is due, and shows them."""
        train = self._spec.train
        count = steps_at_once(
            self._step(),
            due_every=[self._validate_every, train.checkpoint_every or _LISTEN_EVERY, _LISTEN_EVERY, _REPORT_EVERY],
            due_at=[self._last_step, self._ssl_steps or 0],
            seconds_a_step=self._pace.seconds_a_step,
        )
        with self._pace.timing(count):
            losses = take_steps(count)
            step = self._step()  # which waits for them
        if shown.n == shown.initial:
            shown.unpause()  # before the first step all is traced, which would promise hours
        shown.update(count * train.batch_size)
        if step % _REPORT_EVERY == 0 or self._validates_at(step):
            self._refuse_bad_loss()
            write_steps(
                self._training,
                self._two_tower,
                losses=losses.numpy(),
                learning_rate=train.learning_rate,
                examples_a_second=self._pace.examples_a_second,
            )
            shown.set_postfix(loss=f"{losses[0]:.3f}", refresh=False)

    def _examples(self) -> list[TrainingExamples]:
        """What each replica of this process reads."""
        return [
            training_examples(
                self._dataset, self._spec.train, keep=self._keep, replica=number, replicas=self._workers.replicas
            )
            for number in self._workers.local_replicas
        ]

    def _steps_from_here(self, examples: Sequence[TrainingExamples]) -> _TakeSteps:
        """The training's steps over the batches that come, as far as the SSL task goes."""
        return self._training.over(
            prepared_batches(
                examples,
                self._corpus,
                two_tower=self._two_tower,
                spec=self._spec,
                groups=self._groups,
                start_step=self._step(),
                local_replicas=self._workers.local_replicas,
                replicas=self._workers.replicas,
            )
        )

    def _is_over(self) -> bool:
        return self._step() >= self._last_step or is_out_of_patience(self._history, self._spec.train.patience)

    def _validates_at(self, step: int) -> bool:
        """Every so often, and at the end."""
        return step > 0 and (step % self._validate_every == 0 or step == self._last_step)

    def _record(self) -> None:
        """Validates."""
        self._refuse_bad_loss()
        history = [*self._history, self._workers.by_chief(self._validation)]
        # Only now: after an interruption before this line, the same step is validated again.
        self._history = history
        self._start_totals()
        if best_of(history) == len(history) - 1:
            self._save()

    def _validation(self) -> dict[str, float | int | None]:
        """The next entry of the history, which is written."""
        step = self._step()
        before = self._history[-1]["step"] if self._history else 0
        with in_memory("a validation", remedy="lower the last number of model.hidden, or train.validation_queries"):
            metrics = dict(self._validate())
        entry: dict[str, float | int | None] = {"step": step}
        totals = self._training.totals.numpy().tolist()
        entry |= {name: total / (step - before) if step else None for name, total in zip(LOSSES, totals, strict=True)}
        entry |= metrics
        entry["examples/s"] = self._pace.examples_a_second
        check_own(self._output, run_id=self._run_id)
        write_history(self._output, [*self._history, entry])
        write_validation(metrics, step=step)
        return entry

    def _tell_start(self) -> None:
        recall = self._history[0].get(DECIDES)
        if recall is not None and self._workers.is_chief:
            print(f"starts from {DECIDES} {recall:.3f} on validation", file=sys.stderr, flush=True)

    def _save(self) -> None:
        """Keeps where the training stands, unless the latest checkpoint does so already."""
        if self._workers.is_chief and self._stands() != self._saved:
            check_own(self._output, run_id=self._run_id)
            self._checkpoints.save(self._training, self._history)
            self._saved = self._stands()

    def _stands(self) -> tuple[int, int]:
        """Steps and validations so far."""
        return self._step(), len(self._history)

    def _start_totals(self) -> None:
        """What is counted from one validation to the next starts anew."""
        self._training.totals.assign(tf.zeros_like(self._training.totals))
        self._pace.restart()

    def _step(self) -> int:
        return int(self._training.step.numpy())

    def _is_bad(self) -> bool:
        return int(self._training.first_bad_step.numpy()) >= 0

    def _refuse_bad_loss(self) -> None:
        if self._is_bad():
            step, loss = int(self._training.first_bad_step.numpy()), float(self._training.diverged_loss.numpy())
            path = storage.join(self._output, BAD_BATCH)
            if self._workers.is_chief:
                check_own(self._output, run_id=self._run_id)
                write_bad_batch(path, step, dataset=self._dataset, corpus=self._corpus, spec=self._spec)
            said = "the loss or its gradient was not finite"
            if loss:
                said = f"the loss was {loss:.3g}, more than {DIVERGES_AT:,} times that of equal scores,"
            raise Diverged(
                f"{said} at step {step}, whose batch stands in {path}: lower train.learning_rate, or raise "
                "train.temperature"
            )
