"""`ssl-two-tower compare`: trains variants under a protocol, ranks them, and says how sure their differences are."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing

from features.dataset import Dataset
from features.spec.file import build_spec, load_spec
from features.spec.spec import Spec
from model.comparison import results_file
from model.comparison.dataset_build import build_dataset
from model.comparison.decided_keys import describe_held, held_for_all, refuse_decided
from model.comparison.fraction import FractionComparison
from model.comparison.output import alone, check_spec_name, rewrite_output, write_output
from model.comparison.peer_environments import models_in, python_of
from model.comparison.results_file import Results
from model.comparison.tables import tables
from model.comparison.variants import (
    ALPHA,
    ID_DROPOUT,
    PEER_NAMES,
    Protocol,
    Variant,
    default_names,
    parse_variants,
)
from model.comparison.worker_pool import WorkerPool
from model.options.compare import make_parser
from model.ranking.cut_off import warn_if_all_are_found
from model.ranking.left_out import leaves_out_self
from model.training.item_switches import check_item_features
from model.training.mask_groups import groups_to_train_with
from stage import extras, storage
from stage.command_line import run_process
from stage.errors import Interrupted, UsageError
from stage.output import refuse_file

_OF_A_RUN = (
    *("raw", "variants", "protocol", "train_fraction", "seeds", "trials", "most_steps", "workers", "threads", "peers"),
    "overrides",
)
"""What options are called that tables alone don't read."""
_WRITE_EVERY = 600.0
"""Seconds: the tables of a comparison can take as long as a training."""


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If a build or a training fails, a stored study isn't whole or is of another spec or dataset, or
            another comparison works on the same output, or a package of the extras isn't there.
        UsageError: If an option or a key is wrong.
        Interrupted: On Ctrl-C or SIGTERM; the same command goes on.
    """
    options = make_parser().parse_args(argv)
    for output in options.output:
        if "://" in output:
            raise UsageError(f"--output: expected a local directory, got {output}")
        refuse_file(output)
    if options.tables_only:
        _refuse_options_of_a_run(argv)
    extras.require("compare", by="compare")
    spec = load_spec(options.spec, options.overrides, verb="compare") if options.spec is not None else None
    if options.tables_only:
        name = None if spec is None else spec.name
        found = [rewrite_output(output, spec_name=name, against=options.against) for output in options.output]
    elif spec is None:
        raise UsageError("--spec: expected a shipped spec's name or a path, got nothing")
    elif len(options.output) > 1:
        raise UsageError("--output: expected one directory, or --tables-only with several")
    else:
        found = [_run(options, spec, output=options.output[0])]
    for output, results in zip(options.output, found, strict=True):
        for name in options.against:
            if not results.has_row(name):
                print(f"{output}: no row of {name}, so no gains over it", file=sys.stderr)
    texts = [json.dumps(results.model_dump()) + "\n" if options.json else tables(results) for results in found]
    print(("" if options.json else "\n").join(texts), end="")


def _refuse_options_of_a_run(argv: Sequence[str]) -> None:
    """Refuses, beside --tables-only, what would be ignored: tables are of all that is stored."""
    parser = make_parser()
    parser.set_defaults(**dict.fromkeys(_OF_A_RUN))  # so that a default that is given is told from one that isn't
    options = parser.parse_args(argv)
    given = [name for name in _OF_A_RUN if getattr(options, name) is not None]
    if given:
        names = ", ".join("--set" if name == "overrides" else f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"--tables-only: tables are of all that is stored, whatever {names} says; leave it out")


def _run(options: Namespace, spec: Spec, *, output: str) -> Results:
    """The whole comparison; its results at the end."""
    if not spec.evaluate.baselines:
        raise UsageError("evaluate.baselines: expected true, since baselines stand in every table, got false")
    refuse_decided(options.overrides)
    variants = _variants(options, spec)
    if options.variants is not None:
        _refuse_without_row(variants, options.protocol)
    if (held := held_for_all(spec)) is not None:
        print(f"warning: {describe_held(held)}", file=sys.stderr)
    with alone(output):
        check_spec_name(output, spec.name)
        if not storage.exists(storage.join(output, results_file.NAME)):
            # So that --tables-only knows the spec's name, whenever this is stopped.
            write_output(output, spec_name=spec.name, plots=False, against=options.against)
        for fraction in options.train_fraction:
            _compare(options, spec, output=output, fraction=fraction, variants=variants)
        return write_output(output, spec_name=spec.name, plots=True, against=options.against)


def _variants(options: Namespace, spec: Spec) -> list[Variant]:
    """Those that are compared, in the order of the tables.

    Raises:
        UsageError: If one is unknown, or is somebody else's model and isn't there or takes no histories.
    """
    peers = models_in(options.peers) if options.peers is not None else set()
    wanted = options.variants if options.variants is not None else ",".join(default_names(peers=peers))
    variants = parse_variants(wanted)
    if spec.session is not None and (peers or any(variant.peer for variant in variants)):
        raise UsageError(
            "--peers, --variants: expected none of other people's models, which take no histories, since the spec has "
            "a section session"
        )
    for variant in variants:
        if variant.peer is not None and variant.peer not in peers:
            needed = python_of(options.peers or ".peers", variant.peer)
            raise UsageError(f"--variants: {variant.name} needs --peers, and there {needed}; make peers makes it")
    if peers and not any(variant.peer for variant in variants):
        raise UsageError(
            f"--peers: expected --variants to name one of {', '.join(PEER_NAMES)}, or no --variants, which adds those "
            f"that are there; got --variants {wanted}"
        )
    return variants


def _compare(
    options: Namespace,
    spec: Spec,
    *,
    output: str,
    fraction: float,
    variants: Sequence[Variant],
) -> None:
    """Everything at one share of the training pairs."""
    name = f"fraction-{fraction:g}"
    thinned = spec.model_copy(update={"split": spec.split.model_copy(update={"train_fraction": fraction})})
    directory = storage.join(output, name)
    dataset = build_dataset(thinned, source=options.spec, raw=options.raw, directory=directory)
    _check_features(dataset, spec, variants=variants)
    items = dataset.count_examples(dataset.corpus_files())
    warn_if_all_are_found(
        items - leaves_out_self(dataset.spec, spec.evaluate),
        so="each search ends with the first settings that it tries",
    )
    pool = WorkerPool(
        dataset.directory, spec.evaluate, workers=options.workers, threads=options.threads, logs=directory
    )
    with closing(pool), ThreadPoolExecutor(options.workers) as threads:
        try:
            comparison = FractionComparison(
                dataset,
                thinned,
                pool=pool,
                studies=storage.join(output, "studies", name),
                work=storage.join(directory, "work"),
                trials=options.trials,
                seeds=options.seeds,
                most_steps=options.most_steps,
                peers=options.peers or "",
            )
            for protocol in options.protocol:
                more = ", and those of settings that variants try of each other" if protocol == "tuned" else ""
                planned = comparison.planned(variants, protocol)
                print(
                    f"{name}/{protocol}: at least {planned} trainings{more}; stored ones aren't repeated",
                    file=sys.stderr,
                )
            written = time.monotonic()
            for done in as_completed(comparison.submit(threads, variants=variants, protocols=options.protocol)):
                done.result()
                if time.monotonic() - written > _WRITE_EVERY:
                    write_output(output, spec_name=spec.name, plots=False, against=options.against)
                    written = time.monotonic()
        except BaseException as error:
            threads.shutdown(wait=False, cancel_futures=True)
            pool.close()
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted("interrupted; what is trained is stored, and the same command goes on") from None
            raise


def _refuse_without_row(variants: Sequence[Variant], protocols: Sequence[Protocol]) -> None:
    """Refuses variants that were asked for and that none of the protocols has."""
    for variant in variants:
        if not set(variant.protocols) & set(protocols):
            raise UsageError(
                f"--variants: {variant.name} is there under --protocol {','.join(variant.protocols)} alone"
            )


def _check_features(dataset: Dataset, spec: Spec, *, variants: Sequence[Variant]) -> None:
    """Refuses variants that the items have no features for, before anything is trained."""
    for variant in variants:
        if variant.peer is None:
            tried = {**variant.fixed, **{key: 0.5 for key in (ALPHA, ID_DROPOUT) if key in variant.chosen}}
            overrides = [f"{key}={json.dumps(value)}" for key, value in tried.items()]
            try:
                tried_spec = build_spec(spec.model_dump(mode="json"), overrides, source=spec.name)
                check_item_features(dataset.features("item"), tried_spec)
                groups_to_train_with(dataset, tried_spec.ssl)
            except UsageError as error:
                raise UsageError(f"--variants: leave out {variant.name}: {error}") from None


if __name__ == "__main__":
    run_process(main)
