"""What stored trainings say: each row's metrics with their intervals, and its gains over plain with theirs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from model.comparison import shapes_file
from model.comparison.reported_metrics import AMONG_COLD, REPORTED
from model.comparison.results_file import FractionResults, Gains, NoRow, ProtocolResults, Results, Row, TriedSettings
from model.comparison.split_shape import SplitShape, cold_part, unpack_ranked, unpack_shape
from model.comparison.studies import Ranking, Study, Training, by_settings
from model.comparison.tuned_protocol import SEARCH_SEEDS
from model.comparison.variants import BASELINES, CORRECTED, PLAIN, PROTOCOLS, VARIANTS, Settings
from model.ranking.bootstrap import Bootstrap, Sampled, SeedTerms, seed_terms
from stage import storage
from stage.errors import StageError

TABLE_RESAMPLES = 10_000
"""Of 2,000 an end of an interval over five seeds had a standard deviation of 0.7 points from draw to draw, since seeds
weigh in as Student's t, and whether it lay beyond 0 was chance."""


def read_results(directory: str, *, spec_name: str, against: Sequence[str] = ()) -> Results:
    """Everything that the stored trainings of a comparison say.

    Args:
        directory: The comparison's output; only its `studies` are read.
        spec_name: Of what it is.
        against: Rows beside plain that every row's gains are shown over.

    Raises:
        StageError: If a file of a study isn't whole, or is of another dataset than its splits' shapes, or of another
            spec than the others, or the shares have two test splits.
    """
    # Draws depend on how many queries there are alone, and fractions mostly have one test split.
    bootstrap_of = lru_cache(maxsize=1)(partial(Bootstrap, resamples=TABLE_RESAMPLES))
    found = {}
    first: tuple[str, shapes_file.Shapes] | None = None
    for fraction in shapes_file.fractions_in(storage.join(directory, "studies")):
        folder = storage.join(directory, "studies", f"fraction-{fraction}")
        path = storage.join(folder, shapes_file.NAME)
        shapes = shapes_file.read_shapes(path)
        if shapes is not None:
            first = first or (path, shapes)
            shapes_file.check_same_comparison(path, shapes, beside=first[0], other=first[1])
            shape = unpack_shape(shapes.test, source=path)
            bootstrap = bootstrap_of(int(shape.user_index()[-1]) + 1)
            found[fraction] = _of_fraction(folder, shapes, shape=shape, bootstrap=bootstrap, against=against)
        elif any(_OF_A_STUDY.fullmatch(name) for name in storage.sizes(folder)):
            raise StageError(
                f"{path}: missing, so nobody knows the pairs that the ranks beside it are of; restore it, or the "
                "comparison's command makes it again"
            )
    return Results(spec=spec_name, resamples=TABLE_RESAMPLES, fractions=found)


_OF_A_STUDY = re.compile(rf"(?:(?:{'|'.join(PROTOCOLS)})/)?(?:{'|'.join([*BASELINES, *VARIANTS])})\.json")
"""And what follows in the name of a study."""


def _of_fraction(
    folder: str, shapes: shapes_file.Shapes, *, shape: SplitShape, bootstrap: Bootstrap, against: Sequence[str]
) -> FractionResults:
    baselines = {name: storage.join(folder, f"{name}.json") for name in BASELINES}
    protocols = {}
    specs: dict[str, str] = {}
    held: str | None = None
    for protocol in PROTOCOLS:
        paths = {name: storage.join(folder, protocol, f"{name}.json") for name in VARIANTS}
        studies = {n: _study_of(p, shapes) for n, p in (baselines | paths).items() if storage.exists(p)}
        specs |= {study.context.get("spec", ""): study.path for study in studies.values()}
        held = held or next((study.context.get("spec_keys") for study in studies.values()), None)
        if len(specs) > 1:
            one, other, *_ = specs.values()
            raise StageError(
                f"{one} and {other}: expected trainings that differ by their variant alone, found those of two specs, "
                "or of --set or --most-steps; give each an --output of its own"
            )
        found = {name: row for n, study in studies.items() for name, row in _rows(n, study, shape=shape).items()}
        failed = {name: row for name, study in studies.items() if (row := _no_row(study)) is not None}
        if failed or set(found) - set(BASELINES):
            sampled = _sampled(found, bootstrap=bootstrap)
            rows = {name: _with_gains(name, sampled, bootstrap=bootstrap, against=against) for name in sampled}
            trials = {name: _trials(study) for name, study in studies.items() if name not in BASELINES}
            protocols[protocol] = ProtocolResults(rows=rows, trials=trials, without_row=failed or None)
    pairs = {name: int(flags.sum()) for name, flags in sorted(shape.slices.items())}
    return FractionResults(
        dataset=shapes.dataset,
        test_pairs=pairs,
        test_users=None if shape.users is None else int(shape.users[-1]) + 1,
        protocols=protocols,
        cold_items=shapes.cold_items,
        held_for_all=held,
    )


def _study_of(path: str, shapes: shapes_file.Shapes) -> Study:
    study = Study(path)
    if study.context.get("dataset") != shapes.dataset:
        raise StageError(
            f"{path}: expected trainings on the dataset of {shapes_file.NAME} beside it, {shapes.dataset}, found those "
            f"on {study.context.get('dataset')}; run the comparison again, or take both files from one output"
        )
    return study


def _others(name: str, against: Sequence[str]) -> Iterator[str]:
    """What a row's gains are shown over."""
    yield from (other for other in (PLAIN, *against) if other != name)
    if name in VARIANTS and (counterpart := VARIANTS[name].counterpart) is not None:
        yield counterpart
    of_plain = [PLAIN + corrected for corrected in CORRECTED.values()]
    if name not in (PLAIN, *of_plain):
        yield from of_plain


@dataclass(frozen=True)
class _RankedRow:
    """A row of the tables, before anything is drawn."""

    row: Row
    """Without metrics and gains."""
    terms: dict[str, SeedTerms]
    by_seed: dict[int | None, float]
    """Seed -> Recall@10 overall."""


@dataclass(frozen=True)
class _SampledRow(_RankedRow):
    """With its metrics, and what gains over it need."""

    sampled: dict[str, Sampled]


def _sampled(rows: Mapping[str, _RankedRow], *, bootstrap: Bootstrap) -> dict[str, _SampledRow]:
    """With each row's metrics; all at once, since that takes half the time."""
    of_all = bootstrap.sample({(name, key): term for name, row in rows.items() for key, term in row.terms.items()})
    found = {}
    for name, row in rows.items():
        sampled = {key: of_all[name, key] for key in row.terms}
        metrics = {key: value.estimate() for key, value in sampled.items()}
        found[name] = _SampledRow(row.row.model_copy(update={"metrics": metrics}), row.terms, row.by_seed, sampled)
    return found


def _rows(name: str, study: Study, *, shape: SplitShape) -> dict[str, _RankedRow]:
    """A study's row, and below it those of the same models with their cold items' scores corrected, if it has them."""
    reported = study.reported()
    if not reported:
        return {}
    row = partial(_row, best_steps=[t.best_step for t in reported], shape=shape, source=study.path)
    found = {
        name: row(
            [(t.seed, t.test) for t in reported if t.test is not None],
            settings=reported[0].settings,
            trials=len(_trials(study)),
            choices=len(by_settings(t for t in study.trainings if t.test is not None)),
            failures=_failures(study),
            cpu_seconds=_cpu_seconds(study),
        )
    }
    for price, title in CORRECTED.items():
        corrected = [(t.seed, t.corrections[price]) for t in reported if t.corrections is not None]
        if len(corrected) == len(reported):
            shift = float(np.mean([correction.shift for _, correction in corrected]))
            rankings = [(seed, correction.test) for seed, correction in corrected]
            found[name + title] = row(rankings, settings={"cold constant": round(shift, 4)})
    return found


def _no_row(study: Study) -> NoRow | None:
    """Why a variant has no row though it was trained with its choice; None if it has one, or may still get one."""
    failures = _failures(study)
    if study.chosen is None or study.reported() or not failures:
        return None
    return NoRow(settings=study.chosen, failures=failures, cpu_seconds=_cpu_seconds(study))


def _failures(study: Study) -> list[str]:
    """Seeds of the choice that came to nothing, and why."""
    failed = [t for t in study.trainings if t.failure is not None and t.settings == study.chosen]
    return [f"seed {t.seed}: {t.failure}" for t in failed]


def _cpu_seconds(study: Study) -> float:
    return round(sum(training.cpu_seconds for training in study.trainings), 1)


def _row(
    rankings: Sequence[tuple[int | None, Ranking]],
    *,
    settings: Settings,
    best_steps: list[int],
    shape: SplitShape,
    source: str,
    trials: int = 0,
    choices: int | None = None,
    failures: Sequence[str] = (),
    cpu_seconds: float = 0.0,
) -> _RankedRow:
    queries = int(shape.query_index[-1]) + 1
    ranked = [unpack_ranked(r.last_ranks, shape, source=source) for _, r in rankings]
    terms = seed_terms(ranked, slices=shape.slices, keys=REPORTED, queries=queries)
    if all(r.cold_last_ranks is not None for _, r in rankings):
        part = cold_part(shape)
        ranked = [unpack_ranked(r.cold_last_ranks, part, source=source) for _, r in rankings]
        terms |= seed_terms(ranked, slices=part.slices, keys=AMONG_COLD, queries=queries)
    if shape.users is not None:
        terms = {key: term.by_user(shape.users) for key, term in terms.items()}
    by_seed = {seed: r.metrics["overall"]["recall@10"] or 0.0 for seed, r in rankings}
    row = Row(
        seeds=list(by_seed),
        seed_deviation=float(np.std(list(by_seed.values()), ddof=1)) if len(by_seed) > 1 else None,
        metrics={},
        settings=settings,
        trials=trials,
        choices=choices,
        best_steps=best_steps,
        failures=[*failures],
        cpu_seconds=cpu_seconds,
        gains_over={},
    )
    return _RankedRow(row, terms, by_seed)


def _with_gains(name: str, rows: Mapping[str, _SampledRow], *, bootstrap: Bootstrap, against: Sequence[str]) -> Row:
    """One of a protocol's rows, with its gains over others."""
    gains = partial(_gains, rows[name], bootstrap=bootstrap)
    gains_over = {other: gains(rows[other]) for other in dict.fromkeys(_others(name, against)) if other in rows}
    return rows[name].row.model_copy(update={"gains_over": gains_over})


def _gains(row: _SampledRow, other: _SampledRow, *, bootstrap: Bootstrap) -> Gains:
    """Gains, with intervals over queries or users, and over seeds too; of overall Recall@10 seed by seed as well.

    They are of the seeds that both have, where one lacks some, so that a seed is paired with itself. Of a single seed
    nothing says how far it matters, so there is no interval over seeds.
    """
    common = [seed for seed in row.by_seed if seed in other.by_seed]
    used = [common or list(of.by_seed) for of in (row, other)]
    own, others = (_of_seeds(of, seeds, bootstrap=bootstrap) for of, seeds in zip((row, other), used, strict=True))
    seeds = sorted(seed for seed in common if seed is not None and other.by_seed.get(seed))
    both = [key for key in own if key in others]
    has_single_seed = any(len(seeds) == 1 and seeds != [None] for seeds in used)
    wide = {} if has_single_seed else {key: own[key].gain_over(others[key], seeds_too=True) for key in both}
    return Gains(
        gains={key: own[key].gain_over(others[key]) for key in both},
        gains_seeds_too=wide,
        gain_by_seed=[row.by_seed[seed] / other.by_seed[seed] - 1 for seed in seeds],
    )


def _of_seeds(row: _SampledRow, seeds: Sequence[int | None], *, bootstrap: Bootstrap) -> dict[str, Sampled]:
    """A row's metrics by some of its seeds."""
    own = list(row.by_seed)
    if seeds == own:
        return row.sampled
    places = [own.index(seed) for seed in seeds]
    terms = {key: SeedTerms(term.numerators[places], term.denominators) for key, term in row.terms.items()}
    return bootstrap.sample(terms)


def _trials(study: Study) -> list[TriedSettings]:
    """Settings that were tried, each with its seeds' mean on validation."""
    return [
        TriedSettings(
            settings=settings,
            seeds=len(trainings),
            recall_50=_mean(trainings, "overall"),
            tail_recall_50=_mean(trainings, "tail"),
            failures=[t.failure for t in trainings if t.failure is not None],
        )
        for settings, trainings in by_settings(t for t in study.trainings if t.seed in SEARCH_SEEDS)
    ]


def _mean(trainings: Sequence[Training], slice_name: str) -> float | None:
    values = [t.validation.metrics[slice_name]["recall@50"] for t in trainings if t.validation is not None]
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
