"""The comparison at one share of the training pairs: every variant's search and its reported trainings."""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias

from features.dataset import Dataset
from features.spec.digest import digested
from features.spec.spec import Spec
from model.comparison import paper_protocol, shapes_file, tuned_protocol
from model.comparison.decided_keys import DECIDED, held_for_all
from model.comparison.peer_environments import python_of
from model.comparison.requests import BaselineRequest, PeerRequest, Request, ShapesRequest, TrainRequest
from model.comparison.split_shape import SplitShape, unpack_shape
from model.comparison.studies import Study, Trainer, Training
from model.comparison.tuned_protocol import Trial, stored_trials
from model.comparison.variants import BASELINES, VARIANTS, Baseline, Protocol, Settings, Variant
from model.comparison.worker_pool import WorkerPool
from stage import storage
from stage.errors import StageError
from stage.manifest import Json, digest

_Known: TypeAlias = dict[str, list[Trial]]
"""Variant of ours -> its trials so far."""

SECTIONS = ("model", "ssl", "train", "evaluate")
_WITHOUT_EFFECT = ("train.checkpoint_every", "evaluate.batch_size")
"""They cost time and memory alone, so what is stored stays valid when they change."""


def stopping(steps_an_epoch: int, *, most_steps: int) -> list[str]:
    """When a training is validated and ends, as `--set` takes it: the best validation's weights are what is ranked.

    There are at least four checks an epoch, or one a step if it has fewer; two epochs without a better one end it, but
    not before 40 steps.

    Args:
        steps_an_epoch: Batches that the training pairs fill.
        most_steps: Rounded up to whole epochs.
    """
    every = max(1, steps_an_epoch // 4)
    patience, epochs = max(8, math.ceil(40 / every)), math.ceil(most_steps / steps_an_epoch)
    return [f"train.validate_every={every}", f"train.patience={patience}", f"train.epochs={epochs}"]


def context_of(spec: Spec, *, dataset: str, steps_an_epoch: int, most_steps: int) -> dict[str, str]:
    """What the trainings of all variants depend on beside settings and seed, as `Study` takes it.

    Args:
        spec: The comparison's.
        dataset: Content digest.
        steps_an_epoch: As `stopping` takes it.
        most_steps: As `stopping` takes it.
    """
    ends = stopping(steps_an_epoch, most_steps=most_steps)
    context = {"dataset": dataset, "spec": digest([_unsearched(spec), ends])}
    if (held := held_for_all(spec)) is not None:
        context["spec_keys"] = held
    return context


class FractionComparison:
    """Runs searches and reported trainings on one dataset, and stores them."""

    def __init__(
        self,
        dataset: Dataset,
        spec: Spec,
        *,
        pool: WorkerPool,
        studies: str,
        work: str,
        trials: int,
        seeds: int,
        most_steps: int,
        peers: str,
    ) -> None:
        """Prepares; the first worker starts here if the splits' shapes aren't stored yet.

        Args:
            dataset: What is trained on.
            spec: Whose sections model, ssl, train and evaluate hold where no variant or protocol says otherwise.
            pool: The dataset's workers.
            studies: Directory for what is stored.
            work: Directory for unfinished trainings.
            trials: Of each variant, when it is tuned.
            seeds: Of each reported row.
            most_steps: Of a training that isn't stopped before.
            peers: Directory of the peers' environments, if there are peers.

        Raises:
            StageError: If what is stored is of another dataset, or of another test split beside it.
        """
        self._spec, self._pool = spec, pool
        self._studies, self._work = studies, work
        self._trials, self._seeds = trials, range(seeds)
        self._peers = peers
        steps = math.ceil(dataset.manifest.counts["examples/train"] / spec.train.batch_size)
        ends = stopping(steps, most_steps=most_steps)
        tree = spec.model_dump(mode="json")
        self._keys = [*(f"{section}={json.dumps(tree[section])}" for section in SECTIONS), *ends]
        self._context = context_of(
            spec, dataset=dataset.manifest.content_digest, steps_an_epoch=steps, most_steps=most_steps
        )
        self._of_all_shares = digest([_unsearched(spec), most_steps, _built(spec)])
        self._shape = self._validation_shape()

    def submit(
        self, threads: Executor, *, variants: Sequence[Variant], protocols: Sequence[Protocol]
    ) -> Iterator[Future[Any]]:
        """Has everything done, by as many threads as there are; what is stored is not done again."""
        for name in BASELINES:
            yield threads.submit(self._rank_baseline, name)
        of = {protocol: [v for v in variants if protocol in v.protocols] for protocol in protocols}
        # They begin in this order: what waits for all searches waits for none that hasn't begun.
        tuned = of.get("tuned", [])
        self._warn_of_left_out(tuned)
        searches = {variant.name: threads.submit(self._search, variant) for variant in tuned}
        yield from searches.values()
        for variant in of.get("paper", []):
            if variant.as_chosen_for is None:
                followers = [v for v in of["paper"] if v.as_chosen_for == variant.name]
                yield threads.submit(self._compare_as_the_paper, variant, followers)
        if tuned:
            known = threads.submit(self._searched, searches)
            yield known
            for exchange in tuned_protocol.EXCHANGES:
                tried = {v.name: threads.submit(self._exchange, v, exchange, known=known) for v in _ours(tuned)}
                yield from tried.values()
                known = threads.submit(_with, known, tried)
                yield known
            for variant in tuned:
                yield threads.submit(self._compare_tuned, variant, known)

    def _warn_of_left_out(self, tuned: Sequence[Variant]) -> None:
        """Names stored variants that aren't at hand, where a search is to come: they aren't offered what it finds."""
        ours = _ours(tuned)
        studies = [self._study(variant, "tuned") for variant in ours]
        if any(study.chosen is None or len(stored_trials(study.trainings)) < self._trials for study in studies):
            others = [v for v in _ours(VARIANTS.values()) if v not in ours and self._study(v, "tuned").trainings]
            if others:
                print(
                    f"warning: --variants leaves out {', '.join(v.name for v in others)}, stored before: what this "
                    "command's searches find isn't tried for them; name them too if they are to be compared with it",
                    file=sys.stderr,
                    flush=True,
                )

    def planned(self, variants: Sequence[Variant], protocol: Protocol) -> int:
        """Trainings under a protocol, without those of settings that variants take over from each other."""
        of = [v for v in variants if protocol in v.protocols]
        if protocol == "paper":
            searched = sum(paper_protocol.searched(variant) for variant in of)
        else:
            searched = sum(
                tuned_protocol.searched(variant, trials=self._trials) * len(tuned_protocol.SEARCH_SEEDS)
                for variant in of
            )
        return searched + len(of) * len(self._seeds)

    def _compare_as_the_paper(self, variant: Variant, followers: Sequence[Variant]) -> None:
        """Searches, then trains and ranks the choice, for a variant and for those that take over its choice."""
        study = self._study(variant, "paper")
        chosen = paper_protocol.choose(variant, self._trainer(study, variant), spec_name=self._spec.name)
        self._report(study, variant, chosen=chosen)
        for follower in followers:
            self._report(self._study(follower, "paper"), follower, chosen=chosen | follower.fixed)

    def _search(self, variant: Variant) -> list[Trial]:
        train = self._trainer(self._study(variant, "tuned"), variant)
        return tuned_protocol.search(variant, train, trials=self._trials)

    def _searched(self, searches: Mapping[str, Future[list[Trial]]]) -> _Known:
        """Once all searches have ended: the trials of every variant of ours, of earlier commands too.

        Of the variants at hand those of searches alone: with what an exchange has tried, one that was interrupted, or
        that meets longer searches than before, would not go on as if it had begun with these.
        """
        searched = {name: search.result() for name, search in searches.items()}
        stored = {v.name: stored_trials(self._study(v, "tuned").trainings) for v in _ours(VARIANTS.values())}
        return {name: searched.get(name, found) for name, found in stored.items() if found}

    def _exchange(self, variant: Variant, exchange: tuned_protocol.Exchange, *, known: Future[_Known]) -> list[Trial]:
        settings = exchange(variant, known.result())
        # Read only now: what the exchange before was still training would be lost.
        train = self._trainer(self._study(variant, "tuned"), variant)
        return [Trial(s, train(s, tuned_protocol.SEARCH_SEEDS)) for s in settings]

    def _compare_tuned(self, variant: Variant, known: Future[_Known]) -> None:
        """Once all has been tried, trains and ranks the choice."""
        known.result()
        study = self._study(variant, "tuned")
        chosen = tuned_protocol.simplest(stored_trials(study.trainings), shape=self._shape).settings
        self._report(study, variant, chosen=chosen)

    def _report(self, study: Study, variant: Variant, *, chosen: Settings) -> None:
        self._train_all(study, variant, settings=chosen, seeds=self._seeds, test=True)
        study.choose(chosen)

    def _trainer(self, study: Study, variant: Variant) -> Trainer:
        def train(settings: Settings, seeds: Sequence[int]) -> list[Training]:
            return self._train_all(study, variant, settings=settings, seeds=seeds, test=False)

        return train

    def _train_all(
        self, study: Study, variant: Variant, *, settings: Settings, seeds: Sequence[int], test: bool
    ) -> list[Training]:
        """Trains with each seed, at the same time where workers are free: a variant's next trial waits for all."""
        threads = ThreadPoolExecutor(self._pool.workers)
        try:
            trained = [
                threads.submit(self._train, study, variant, settings=settings, seed=seed, test=test) for seed in seeds
            ]
            for ended in wait(trained, return_when=FIRST_EXCEPTION).done:
                ended.result()
            return [training.result() for training in trained]
        finally:
            # Not waiting for others once one has failed: whoever hears of it closes the pool, which ends them.
            threads.shutdown(wait=False, cancel_futures=True)

    def _train(self, study: Study, variant: Variant, *, settings: Settings, seed: int, test: bool) -> Training:
        found = study.find(settings, seed, tested=test)
        if found is not None:
            return found
        return self._add(study, self._request(variant, settings, seed=seed, test=test), settings=settings, seed=seed)

    def _add(self, study: Study, request: Request, *, settings: Settings, seed: int | None) -> Training:
        """Has a worker answer, and stores what it says."""
        found = Training.model_validate({"settings": settings, "seed": seed, **self._pool.ask(request)})
        self._check_pairs(found, study)
        study.add(found)
        _print_outcome(study, found)
        return found

    def _check_pairs(self, found: Training, study: Study) -> None:
        """Fails where what was ranked aren't the pairs that the stored rankings are of, though the dataset is."""
        pairs = len(self._shape.query_index)
        ranked = pairs if found.validation is None else found.validation.metrics["overall"].get("pairs", pairs)
        if ranked != pairs:
            raise StageError(
                f"{study.path}: expected rankings of {pairs:,} validation pairs, as those before, got {ranked:,.0f}: "
                "another version made these, or with other keys of evaluate; give another --output"
            )

    def _request(self, variant: Variant, settings: Settings, *, seed: int, test: bool) -> TrainRequest | PeerRequest:
        # By the variant too: two may try equal settings at the same time.
        directory = storage.join(self._work, digest([self._context, variant.name, settings, seed])[:16])
        if variant.peer is not None:
            return PeerRequest(
                peer=variant.peer,
                settings=settings,
                seed=seed,
                python=python_of(self._peers, variant.peer),
                spec=self._keys,
                directory=directory,
                test=test,
            )
        changes = [f"{key}={json.dumps(value)}" for key, value in {**settings, "train.seed": seed}.items()]
        return TrainRequest(train=[*self._keys, *changes], directory=directory, test=test)

    def _rank_baseline(self, name: Baseline) -> None:
        study = Study(storage.join(self._studies, f"{name}.json"), context=self._context)
        if study.find({}, None) is None:
            self._add(study, BaselineRequest(baseline=name), settings={}, seed=None)
        study.choose({})

    def _study(self, variant: Variant, protocol: Protocol) -> Study:
        return Study(storage.join(self._studies, protocol, f"{variant.name}.json"), context=self._context)

    def _validation_shape(self) -> SplitShape:
        path = storage.join(self._studies, shapes_file.NAME)
        stored, dataset = shapes_file.read_shapes(path), self._context["dataset"]
        if stored is not None and stored.dataset != dataset:
            raise StageError(
                f"{path}: expected the splits of dataset {dataset[:12]}, found those of {stored.dataset[:12]}; the "
                "log, or what a build reads of the spec, has changed; give another --output, or the options of before"
            )
        if stored is None:
            context = {
                "dataset": dataset,
                "spec": self._of_all_shares,
                "cold_items": self._spec.split.cold_items or None,
            }
            stored = shapes_file.Shapes.model_validate(context | self._pool.ask(ShapesRequest()))
            self._check_beside(path, stored)
            shapes_file.write_shapes(path, stored)
        return unpack_shape(stored.validation, source=path)

    def _check_beside(self, path: str, shapes: shapes_file.Shapes) -> None:
        """Before anything is stored: two specs under one name would be told apart by nothing."""
        studies = os.path.dirname(self._studies)
        for fraction in shapes_file.fractions_in(studies):
            beside = storage.join(studies, f"fraction-{fraction}", shapes_file.NAME)
            other = shapes_file.read_shapes(beside)
            if other is not None:
                shapes_file.check_same_comparison(path, shapes, beside=beside, other=other)


def _print_outcome(study: Study, training: Training) -> None:
    what = study.path.removesuffix(".json").split("/studies/")[-1]
    details = [f"{key} {value}" for key, value in {**training.settings, "seed": training.seed}.items()]
    details.append(f"{training.cpu_seconds:.0f} s")
    outcome = training.failure or f"Recall@50 {training.recall():.4f} on validation"
    print(f"{what}: {outcome} ({', '.join(details)})", file=sys.stderr, flush=True)


def _ours(variants: Iterable[Variant]) -> list[Variant]:
    return [variant for variant in variants if variant.peer is None]


def _with(known: Future[_Known], tried: Mapping[str, Future[list[Trial]]]) -> _Known:
    """What is known once an exchange has ended."""
    return {
        name: [*trials, *(tried[name].result() if name in tried else [])] for name, trials in known.result().items()
    }


def _unsearched(spec: Spec) -> Json:
    """What the spec says beside its defaults, without keys that protocols set for all, end a training, or change none.

    Without defaults, since a key that the next version adds should not make strangers of stored trainings.
    """
    return {
        f"{section}.{key}": value
        for section in SECTIONS
        for key, value in getattr(spec, section).model_dump(mode="json", exclude_defaults=True).items()
        if f"{section}.{key}" not in (*DECIDED, *_WITHOUT_EFFECT)
    }


def _built(spec: Spec) -> Json:
    """What a dataset depends on, whatever its share of the training pairs."""
    split = spec.split.model_copy(update={"train_fraction": 1.0})
    return digested(spec.model_copy(update={"split": split}), "build-dataset")
