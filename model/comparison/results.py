"""What stored trainings say: each row's metrics with their intervals, and its gains over plain with theirs.

Shapes: P pairs of the test split, Q its queries.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.bootstrap import RESAMPLES, Bootstrap, Estimate, Sampled, SeedTerms, seed_terms
from model.comparison import shapes_file
from model.comparison.split_shape import SplitShape, cold_part, unpack_ranked, unpack_shape
from model.comparison.studies import Ranking, Study, Training, by_settings
from model.comparison.tuned_protocol import SEARCH_SEEDS
from model.comparison.variants import BASELINES, PLAIN, VARIANTS
from model.metrics import COLD_AMONG_COLD
from stage import storage

Json = dict[str, Any]

PROTOCOLS = ("paper", "tuned")
REPORTED = (
    ("overall", "recall@10"),
    ("overall", "recall@50"),
    ("overall", "map@10"),
    ("head", "recall@10"),
    ("tail", "recall@10"),
    ("tail", "recall@50"),
    ("cold", "recall@10"),
    ("cold", "recall@50"),
)
"""(slice, metric) of every row."""
AMONG_COLD = ((COLD_AMONG_COLD, "recall@10"), (COLD_AMONG_COLD, "recall@50"))
"""And where the spec has `split.cold_items`."""
CORRECTED = {"0.0": " + cold correction", "0.02": " + cold correction at 2%"}
"""By price, behind a row's name: the same models, with a constant added to the scores of cold items."""


def read_results(directory: str) -> Json:
    """Everything that the stored trainings of a comparison say.

    Args:
        directory: The comparison's output; only its `studies` are read.

    Returns:
        What results.json holds: `fractions` -> protocol -> its rows, and the trials behind them.

    Raises:
        StageError: If a file of a study isn't whole.
    """
    names = storage.sizes(storage.join(directory, "studies"))
    # What else lies there, such as notes, is none of ours.
    fractions = {found[1] for name in names if (found := _OF_A_FRACTION.match(name))}
    content: Json = {"resamples": RESAMPLES, "fractions": {}}
    for fraction in sorted(fractions, key=float, reverse=True):
        folder = storage.join(directory, "studies", f"fraction-{fraction}")
        path = storage.join(folder, shapes_file.NAME)
        shapes = shapes_file.read_shapes(path)
        if shapes is not None:
            content["fractions"][fraction] = _of_fraction(folder, shapes, source=path)
    return content


_OF_A_FRACTION = re.compile(r"fraction-(\d+(?:\.\d+)?(?:e-\d+)?)/")
"""How the name of a file begins that is of a fraction."""


def _of_fraction(folder: str, shapes: shapes_file.Shapes, *, source: str) -> Json:
    shape = unpack_shape(shapes.test, source=source)
    bootstrap = Bootstrap(int(shape.query_index[-1]) + 1)
    found: Json = {"dataset": shapes.dataset, "test_pairs": _pairs(shape), "protocols": {}}
    if shapes.cold_items is not None:
        found["cold_items"] = shapes.cold_items
    baselines = {name: storage.join(folder, f"{name}.json") for name in BASELINES}
    for protocol in PROTOCOLS:
        paths = {name: storage.join(folder, protocol, f"{name}.json") for name in list(VARIANTS)}
        studies = {n: Study.recorded(p) for n, p in (baselines | paths).items() if storage.exists(p)}
        rows = {
            name: row
            for study_name, study in studies.items()
            for name, row in _rows(study_name, study, shape=shape, bootstrap=bootstrap).items()
        }
        if not set(rows) - set(BASELINES):
            continue
        for name, row in rows.items():
            if PLAIN in rows and name != PLAIN:
                row.content.update(_gains(row, rows[PLAIN], bootstrap=bootstrap))
            others = [other for other in _others(name) if other in rows]
            row.content["gains_over"] = {other: _gains(row, rows[other], bootstrap=bootstrap) for other in others}
        trials = {name: _trials(study) for name, study in studies.items() if name not in BASELINES}
        found["protocols"][protocol] = {"rows": {name: row.content for name, row in rows.items()}, "trials": trials}
    return found


def _others(name: str) -> Iterator[str]:
    """What else than plain a row's gain is shown over."""
    if name in VARIANTS and (counterpart := VARIANTS[name].counterpart) is not None:
        yield counterpart
    if not name.startswith(tuple(PLAIN + corrected for corrected in CORRECTED.values())) and name != PLAIN:
        yield from (PLAIN + corrected for corrected in CORRECTED.values())


def _pairs(shape: SplitShape) -> dict[str, int]:
    return {name: int(flags.sum()) for name, flags in sorted(shape.slices.items())}


@dataclass(frozen=True)
class _Row:
    """A row of the tables, and what gains over it need."""

    content: Json
    terms: dict[str, SeedTerms]
    sampled: dict[str, Sampled]
    by_seed: dict[int | None, float]
    """Seed -> Recall@10 overall."""


def _rows(name: str, study: Study, *, shape: SplitShape, bootstrap: Bootstrap) -> dict[str, _Row]:
    """A study's row, and below it those of the same models with their cold items' scores corrected, if it has them."""
    reported = study.reported()
    if not reported:
        return {}
    of_models = [(t.seed, t.test) for t in reported if t.test is not None]
    row = _row(of_models, shape=shape, bootstrap=bootstrap, source=study.path)
    cpu_seconds = round(sum(training.cpu_seconds for training in study.trainings), 1)
    failures = [
        f"seed {t.seed}: {t.failure}" for t in study.trainings if t.failure is not None and t.settings == study.chosen
    ]
    row.content.update(
        settings=study.chosen,
        trials=len(_trials(study)),
        choices=len(by_settings(t for t in study.trainings if t.test is not None)),
        best_steps=[t.best_step for t in reported],
        failures=failures,
        cpu_seconds=cpu_seconds,
    )
    found = {name: row}
    for price, title in CORRECTED.items():
        corrected = [(t.seed, t.corrections[price]) for t in reported if t.corrections is not None]
        if len(corrected) < len(reported):
            continue
        row = _row([(seed, c.test) for seed, c in corrected], shape=shape, bootstrap=bootstrap, source=study.path)
        shift = float(np.mean([correction.shift for _, correction in corrected]))
        row.content.update(settings={"cold shift": round(shift, 4)}, trials=0, cpu_seconds=0.0)
        row.content.update(best_steps=[t.best_step for t in reported], failures=[])
        found[name + title] = row
    return found


def _row(
    rankings: Sequence[tuple[int | None, Ranking]], *, shape: SplitShape, bootstrap: Bootstrap, source: str
) -> _Row:
    queries = int(shape.query_index[-1]) + 1
    ranked = [unpack_ranked(r.last_ranks, shape, source=source) for _, r in rankings]
    terms = seed_terms(ranked, slices=shape.slices, metrics=REPORTED, queries=queries)
    if all(r.cold_last_ranks is not None for _, r in rankings):
        part = cold_part(shape)
        ranked = [unpack_ranked(r.cold_last_ranks, part, source=source) for _, r in rankings]
        terms |= seed_terms(ranked, slices=part.slices, metrics=AMONG_COLD, queries=queries)
    sampled = bootstrap.sample(terms)
    metrics: dict[str, Estimate] = {key: value.estimate() for key, value in sampled.items()}
    by_seed = {seed: r.metrics["overall"]["recall@10"] or 0.0 for seed, r in rankings}
    content = {
        "seeds": list(by_seed),
        "seed_deviation": float(np.std(list(by_seed.values()), ddof=1)) if len(by_seed) > 1 else None,
        "metrics": {key: asdict(estimate) for key, estimate in metrics.items()},
    }
    return _Row(content, terms, sampled, by_seed)


def _gains(row: _Row, plain: _Row, *, bootstrap: Bootstrap) -> Json:
    """Gains, with intervals over queries, and over queries and seeds; of overall Recall@10 seed by seed too.

    They are of the seeds that both have, where one lacks some, so that a seed is paired with itself.
    """
    common = [seed for seed in row.by_seed if seed in plain.by_seed] or [None]
    own, others = (_of_seeds(common, of, bootstrap=bootstrap) for of in (row, plain))
    seeds = sorted(seed for seed in common if seed is not None and plain.by_seed.get(seed))
    both = [key for key in own if key in others]
    return {
        "gains": {key: asdict(own[key].gain_over(others[key])) for key in both},
        "gains_seeds_too": {key: asdict(own[key].gain_over(others[key], seeds_too=True)) for key in both},
        "gain_by_seed": [row.by_seed[seed] / plain.by_seed[seed] - 1 for seed in seeds],
    }


def _of_seeds(seeds: Sequence[int | None], row: _Row, *, bootstrap: Bootstrap) -> dict[str, Sampled]:
    """A row's metrics by some of its seeds; by all that it has, where those aren't seeds that it can be paired by."""
    own = list(row.by_seed)
    if seeds in ([None], own):
        return row.sampled
    places = [own.index(seed) for seed in seeds]
    terms = {key: SeedTerms(term.numerators[places], term.denominators) for key, term in row.terms.items()}
    return bootstrap.sample(terms)


def _trials(study: Study) -> list[Json]:
    """Settings that were tried, each with its seeds' mean on validation."""
    return [
        {
            "settings": settings,
            "seeds": len(trainings),
            "recall@50": _mean(trainings, "overall"),
            "tail_recall@50": _mean(trainings, "tail"),
            "failures": [t.failure for t in trainings if t.failure is not None],
        }
        for settings, trainings in by_settings(t for t in study.trainings if t.seed in SEARCH_SEEDS)
    ]


def _mean(trainings: Sequence[Training], slice_name: str) -> float | None:
    values = [t.validation.metrics[slice_name]["recall@50"] for t in trainings if t.validation is not None]
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
