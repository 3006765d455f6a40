"""`ssl-two-tower train`: from a dataset to a model."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from rich.table import Table

from features.dataset import Dataset
from features.made_under import model_made_from
from features.spec.file import spec_of
from features.spec.spec import Spec
from features.spec.training import Train
from model.network.corpus import Corpus, read_corpus
from model.network.diverged import Diverged
from model.network.npz import unpack_each
from model.network.tensorflow_error import in_memory
from model.network.two_tower import WEIGHTS, TwoTower, save_weights
from model.options.train import make_parser
from model.ranking.champion import find_champion, find_exported, open_model
from model.ranking.held_out import why_seen
from model.training.checkpoint import is_resumable, keep_best, restore_best, start_run
from model.training.item_switches import check_item_features
from model.training.mask_groups import groups_to_train_with
from model.training.memory import (
    available_on_device,
    beside_examples,
    check_fits,
    corpus_size,
    describe,
    examples_size,
    table_sizes,
)
from model.training.stream_files import stream_files
from model.training.tf_config import read_tf_config
from model.training.training_end import describe_end
from model.training.training_history import History, best_entry, best_of, read_history
from model.training.training_loop import TrainingLoop
from model.training.training_step import TrainingStep
from model.training.training_summaries import LOGS
from model.training.validation import make_validation
from model.training.warm_start import carry_over, open_warm_start
from model.training.workers import Workers, connect
from stage import storage
from stage.command_line import run_process
from stage.console import console, print_widest
from stage.errors import StageError
from stage.manifest import File, MadeFrom, Manifest, describe_files, digest, new_run_id, versions
from stage.memory import available
from stage.output import (
    check_own,
    find_finished,
    finish_output,
    refuse_file,
    refuse_finished,
    refuse_within,
    resume_output,
    start_output,
)
from stage.published import nothing_published, served_models


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the dataset is missing or incomplete, the output can't be used, or the loss diverges.
        UsageError: If an option or a key is wrong.
    """
    options = make_parser().parse_args(argv)
    refuse_file(options.output)
    dataset = Dataset.open(options.dataset, verify=options.verify)
    spec = spec_of(dataset.manifest, options.dataset, overrides=options.overrides, verb="train")
    warm_start, without = _warm_start(options, dataset)
    if _is_done(options, dataset, spec=spec, warm_start=warm_start):
        print(f"train: done before, in {options.output}", file=sys.stderr)
        history = read_history(options.output)
        is_chief = read_tf_config(os.environ.get("TF_CONFIG", "")).number == 0
    else:
        workers = connect(spec.train, gpus=options.gpus)
        try:
            with workers.together():
                history = train(
                    dataset,
                    spec,
                    output=options.output,
                    overwrite=options.overwrite,
                    warm_start=warm_start,
                    without=without,
                    verify=options.verify,
                    workers=workers,
                )
        except Diverged as error:
            raise Diverged(
                f"{error}; what was trained so far can't be gone on from under other settings: give another --output, "
                "or --overwrite"
            ) from None
        is_chief = workers.is_chief
    if not is_chief:
        return
    if options.json:
        print(json.dumps(best_entry(history)))
    else:
        _show(history, options.output, settings=spec.train)


def train(
    dataset: Dataset,
    spec: Spec,
    *,
    output: str,
    overwrite: bool = False,
    warm_start: str | None = None,
    without: str | None = None,
    verify: bool = False,
    workers: Workers | None = None,
) -> History:
    """Trains, or goes on training, until the output is a finished model.

    Args:
        dataset: What is trained on.
        spec: The dataset's, with the sections model, ssl, train and evaluate as wanted.
        output: The model directory.
        overwrite: Make a finished model again, or one that `is_resumable` refuses.
        warm_start: Directory of a finished model whose weights and optimizer slots this one starts from.
        without: Why there is no such model, where one was looked for; stderr says it.
        verify: Compare the SHA-256 of every file of that model.
        workers: Who trains together, inside their `together()`; this process alone by default.

    Returns:
        One entry per validation.

    Raises:
        StageError: As `main`.
        UsageError: If the workers can't share out the streams of batches, or the warm start lies in the output.
    """
    workers = workers or Workers()
    before = None
    if warm_start is not None:
        refuse_within(output, warm_start, named="--warm-start")
        before = open_warm_start(warm_start, spec, dataset=dataset, verify=verify)
    made_from = model_made_from(spec, dataset.manifest, warm_start=before.manifest.content_digest if before else None)
    version = versions().get("ssl-two-tower", "")
    workers.check_alike("inputs, spec and version", digest([made_from.inputs, made_from.spec_digest, version]))
    workers.by_chief(lambda: refuse_finished(output, "model", overwrite=overwrite, made_from=made_from))
    _check_streams(dataset, spec.train, workers=workers)
    corpus, keep = _read_corpus_that_fits(dataset, spec, workers=workers)
    check_item_features(dataset.features("item"), spec)
    groups = groups_to_train_with(dataset, spec.ssl)
    two_tower, training = _build(dataset, corpus, spec=spec, workers=workers)
    begun = Manifest(
        stage="model",
        run_id=new_run_id(),
        spec=spec.model_dump(mode="json"),
        spec_digest=made_from.spec_digest,
        inputs=made_from.inputs,
        job_options=made_from.job_options,
        vocabularies=dataset.manifest.vocabularies,
        transform_digest=dataset.manifest.transform_digest,
    )
    seen = why_seen(before.manifest, before.spec, dataset=dataset, split="validation") if before else None
    if workers.by_chief(lambda: is_resumable(output, training, made_from=made_from, overwrite=overwrite)):
        workers.by_chief(lambda: resume_output(output, run_id=begun.run_id))
    else:
        base = without and f"nothing: {without}"
        if before:  # what is in the output goes only once this is read
            carried, total = carry_over(before, training, dataset=dataset)
            base = f"{before.directory}, with {carried:,} of {total:,} embedding rows carried over"
        workers.by_chief(lambda: _start(output, begun, made_from=made_from, overwrite=overwrite, base=base, seen=seen))
    loop = TrainingLoop(
        two_tower,
        training,
        dataset=dataset,
        corpus=corpus,
        spec=spec,
        groups=groups,
        # No other worker reads the split for it.
        validate=make_validation(two_tower, dataset, corpus=corpus, spec=spec, groups=groups)
        if workers.is_chief
        else dict,
        output=output,
        run_id=begun.run_id,
        workers=workers,
        ranks_start=before is not None and seen is None,
        keep=keep,
    )
    history = loop.run()
    workers.by_chief(lambda: _finish(two_tower, dataset, output=output, history=history, begun=begun))
    return history


def _check_streams(dataset: Dataset, settings: Train, *, workers: Workers) -> None:
    """Refuses streams that can't be shared out; the chief says on stderr where there is only one, and of what."""
    streams = stream_files(dataset, settings, replicas=workers.replicas)
    if workers.is_chief and len(streams) < settings.input_streams:
        why = f"the files with training examples, {streams.size:,}, don't divide into {settings.input_streams} streams"
        print(f"train.input_streams: {why}; reads them as one", file=sys.stderr, flush=True)


def _read_corpus_that_fits(dataset: Dataset, spec: Spec, *, workers: Workers) -> tuple[Corpus, bool]:
    """Reads the corpus, and says whether training examples are to be kept decoded.

    Refuses a training that would run out of memory; the chief says on stderr what it takes.
    """
    sizes = table_sizes([*dataset.query_inputs(), *dataset.features("item")], spec)
    host, device = available(), available_on_device()
    corpus = read_corpus(dataset)
    of_corpus = corpus_size(corpus, spec)
    room = None if host is None else host - beside_examples(sizes, of_corpus, device=device)
    examples = examples_size(dataset, spec, processes=workers.own.of, room=room)
    if workers.is_chief:
        taken = describe(sizes, of_corpus, examples=examples, optimizer=spec.train.optimizer)
        print(taken, file=sys.stderr, flush=True)
    check_fits(sizes, of_corpus, examples=examples, host=host, device=device)
    return corpus, examples.keep


def _build(dataset: Dataset, corpus: Corpus, *, spec: Spec, workers: Workers) -> tuple[TwoTower, TrainingStep]:
    """What is trained, and its step; refuses what doesn't fit into memory."""
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    smaller = "lower model.embedding_dim, or hash the largest table to fewer rows by model.hashed_tables"
    with workers.strategy.scope(), in_memory("embedding tables and optimizer", remedy=smaller):
        two_tower = TwoTower(spec, dataset.manifest.vocabularies, transform_directory=dataset.transform_directory)
        training = TrainingStep(two_tower, corpus, spec=spec)
    return two_tower, training


def _warm_start(options: argparse.Namespace, dataset: Dataset) -> tuple[str | None, str | None]:
    """The model to start from: the one that is named, or the published one that the new one will be compared with.

    If none that is published will do, also why, in words.
    """
    if options.published is None or options.warm_start is not None or options.cold_start:
        return options.warm_start, None
    served = served_models(options.published)
    champion = find_champion(served, dataset)
    if champion is not None:
        return open_model(champion).directory, None
    return None, nothing_published(
        options.published
    ) or f"every model published in {options.published} may have been trained on this test split"


def _is_done(options: argparse.Namespace, dataset: Dataset, *, spec: Spec, warm_start: str | None) -> bool:
    """Whether this very training has been finished before, and is to be left as it is.

    A published one can't be made again, so it is done whatever --published would have it start from by now.

    Raises:
        StageError: If it is to be made, but a published model was exported from what lies there.
    """
    finished = find_finished(options.output) if options.skip_done or options.published else None
    if finished is None:
        return False
    exported = find_exported(options.published, finished, directory=options.output) if options.published else None
    start = warm_start and Manifest.read(warm_start, "model").content_digest
    if exported and not (options.warm_start or options.cold_start):
        start = finished.inputs.get("warm_start")
    made_from = model_made_from(spec, dataset.manifest, warm_start=start)
    if options.skip_done and Manifest.find_done(options.output, "model", made_from=made_from):
        return True
    if exported:
        differs = made_from.describe(finished)
        raise StageError(
            f"{options.output}: {exported.directory} was exported from it, so it must stay; "
            f"{f'it was {differs}; ' if differs else ''}give another --output"
        )
    return False


def _start(
    output: str, begun: Manifest, *, made_from: MadeFrom, overwrite: bool, base: str | None, seen: str | None
) -> None:
    """Makes the output directory ready for a new training; stderr says what it starts from, and why it isn't ranked."""
    start_output(output, "model", run_id=begun.run_id, overwrite=overwrite, made_from=made_from)
    start_run(output, begun)
    if base:
        print(f"starts from {base}", file=sys.stderr, flush=True)
    if seen:
        said = "the start isn't ranked, since it may have been trained on pairs of the validation split"
        print(f"{said}: {seen}", file=sys.stderr, flush=True)


def _finish(two_tower: TwoTower, dataset: Dataset, *, output: str, history: History, begun: Manifest) -> None:
    """Writes the weights of the best validation, and what they were trained from and under; the manifest last."""
    check_own(output, run_id=begun.run_id)
    restore_best(output, two_tower, history=history)
    save_weights(two_tower, output)
    for name in dataset.manifest.names("transform", ""):
        storage.copy(storage.join(dataset.directory, name), storage.join(output, name))
    files = describe_files(output)
    _check_copies(files, dataset)
    content, numbers = _content(storage.join(output, WEIGHTS))
    # Last, since a training killed from here on takes the steps after its best validation again.
    deleted = keep_best(output, history=history)
    made = {
        "counts": {"steps": history[-1]["step"], "best_step": best_entry(history)["step"], "weights": numbers},
        "content": {"weights": content},
        # TensorBoard's may be deleted: nothing reads them but people.
        "files": [file for file in files if file.name not in deleted and not file.name.startswith(f"{LOGS}/")],
    }
    finish_output(output, Manifest.model_validate(begun.model_dump(exclude={"created"}) | made))


def _check_copies(files: Sequence[File], dataset: Dataset) -> None:
    """Makes sure that what was copied from a dataset is what its manifest named when the training began.

    Raises:
        StageError: If it isn't: with other vocabularies the weights would mean other terms.
    """
    named = {file.name: file.sha256 for file in dataset.manifest.files}
    for file in files:
        if file.name.startswith("transform/") and file.sha256 != named.get(file.name):
            raise StageError(
                f"{storage.join(dataset.directory, file.name)}: expected SHA-256 {named.get(file.name)}, found "
                f"{file.sha256}: the dataset was changed meanwhile, or damaged; see what validate says of it, and "
                "train again"
            )


def _content(path: str) -> tuple[str, int]:
    """SHA-256 over names, shapes and bytes of all weights, in hex, and of how many numbers they are."""
    total, numbers = hashlib.sha256(), 0
    for name, array in unpack_each(path):
        total.update(f"{name}{array.shape}{array.dtype}".encode())
        total.update(np.ascontiguousarray(array).data)
        numbers += array.size
        del array  # before the next one is read
    return total.hexdigest(), numbers


def _show(history: History, output: str, *, settings: Train) -> None:
    table = Table(title=f"Validations of {output}")
    for column in ("", "step", "loss", "main", "ssl", "recall@10", "recall@50", "examples/s"):
        table.add_column(column, no_wrap=True)
    for i, entry in enumerate(history):
        keys = ("loss", "main_loss", "ssl_loss", "recall@10", "recall@50")
        numbers = ["-" if entry.get(key) is None else f"{entry[key]:.3f}" for key in keys]
        mark, style = ("*", "bold") if i == best_of(history) else ("", None)
        rate = f"{entry['examples/s']:,.0f}" if entry["step"] else "-"
        table.add_row(mark, f"{entry['step']:,}", *numbers, rate, style=style)
    print_widest([table])
    console().print(describe_end(history, settings), soft_wrap=True)


if __name__ == "__main__":
    run_process(main)
