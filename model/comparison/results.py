"""What stored trainings say: each row's metrics with their intervals, and its gains over plain with theirs.

Shapes: P pairs of the test split, Q its queries.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from model.bootstrap import RESAMPLES, Bootstrap, Estimate, Sampled, mean_terms
from model.comparison.split_shape import SplitShape, unpack_ranked, unpack_shape
from model.comparison.studies import Study, Training
from model.comparison.tuned_protocol import SEARCH_SEEDS
from model.comparison.variants import BASELINES, PLAIN, VARIANTS
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


def read_results(directory: str) -> Json:
    """Everything that the stored trainings of a comparison say.

    Args:
        directory: The comparison's output; only its `studies` are read.

    Returns:
        What results.json holds: `fractions` -> protocol -> its rows, and the trials behind them.

    Raises:
        StageError: If a file of a study isn't whole.
    """
    names = sorted(storage.sizes(storage.join(directory, "studies")))
    fractions = sorted({name.split("/")[0] for name in names}, key=_as_number, reverse=True)
    found: Json = {"resamples": RESAMPLES, "fractions": {}}
    for fraction in fractions:
        folder = storage.join(directory, "studies", fraction)
        shapes = storage.join(folder, "shapes.json")
        if storage.exists(shapes):
            found["fractions"][fraction.removeprefix("fraction-")] = _of_fraction(folder, shapes)
    return found


def _as_number(folder: str) -> float:
    return float(folder.removeprefix("fraction-"))


def _of_fraction(folder: str, shapes: str) -> Json:
    stored: Json = json.loads(storage.read_bytes(shapes))
    shape = unpack_shape(stored["test"], source=shapes)
    bootstrap = Bootstrap(int(shape.query_index[-1]) + 1)
    found: Json = {"dataset": stored["dataset"], "test_pairs": _pairs(shape), "protocols": {}}
    baselines = {name: storage.join(folder, f"{name}.json") for name in BASELINES}
    for protocol in PROTOCOLS:
        paths = {name: storage.join(folder, protocol, f"{name}.json") for name in list(VARIANTS)}
        studies = {n: Study.recorded(p) for n, p in (baselines | paths).items() if storage.exists(p)}
        rows: dict[str, tuple[Json, dict[str, Sampled]]] = {}
        for name, study in studies.items():
            reported = study.reported()
            if reported:
                rows[name] = _row(study, reported, shape=shape, bootstrap=bootstrap)
        if not set(rows) - set(BASELINES):
            continue
        if PLAIN in rows:
            over = rows[PLAIN][1]
            for name, (row, sampled) in rows.items():
                if name != PLAIN:
                    row["gains"] = {key: asdict(sampled[key].gain_over(over[key])) for key in sampled}
                    row["gain_by_seed"] = _gain_by_seed(studies[name], studies[PLAIN])
        trials = {name: _trials(study) for name, study in studies.items() if name not in BASELINES}
        found["protocols"][protocol] = {"rows": {name: row for name, (row, _) in rows.items()}, "trials": trials}
    return found


def _pairs(shape: SplitShape) -> dict[str, int]:
    return {name: int(flags.sum()) for name, flags in sorted(shape.slices.items())}


def _row(
    study: Study, reported: Sequence[Training], *, shape: SplitShape, bootstrap: Bootstrap
) -> tuple[Json, dict[str, Sampled]]:
    """A row of the table, and its resamples."""
    rankings = [unpack_ranked(t.test, shape, source=study.path) for t in reported if t.test is not None]
    terms = mean_terms(rankings, slices=shape.slices, metrics=REPORTED, queries=int(shape.query_index[-1]) + 1)
    sampled = bootstrap.sample(terms)
    metrics: dict[str, Estimate] = {key: value.estimate() for key, value in sampled.items()}
    recalls = [t.test.metrics["overall"]["recall@10"] or 0.0 for t in reported if t.test is not None]
    row = {
        "settings": study.chosen,
        "seeds": [training.seed for training in reported],
        "trials": len(_trials(study)),
        "cpu_seconds": round(sum(training.cpu_seconds for training in study.trainings), 1),
        "seed_deviation": float(np.std(recalls, ddof=1)) if len(recalls) > 1 else None,
        "metrics": {key: asdict(estimate) for key, estimate in metrics.items()},
    }
    return row, sampled


def _gain_by_seed(study: Study, plain: Study) -> list[float]:
    """Gains in overall Recall@10, seed by seed: how far they differ is what no bootstrap over queries sees."""
    recalls = [
        {t.seed: t.test.metrics["overall"]["recall@10"] or 0.0 for t in s.reported() if t.test is not None}
        for s in (study, plain)
    ]
    seeds = sorted(seed for seed in recalls[0] if seed is not None and recalls[1].get(seed))
    return [recalls[0][seed] / recalls[1][seed] - 1 for seed in seeds]


def _trials(study: Study) -> list[Json]:
    """Settings that were tried, each with its seeds' mean on validation."""
    found: list[tuple[Any, list[Training]]] = []
    for training in study.trainings:
        if training.seed in SEARCH_SEEDS:
            same = next((seeds for settings, seeds in found if settings == training.settings), None)
            if same is None:
                found.append((training.settings, [training]))
            else:
                same.append(training)
    return [
        {
            "settings": settings,
            "seeds": len(trainings),
            "recall@50": _mean(trainings, "overall"),
            "tail_recall@50": _mean(trainings, "tail"),
            "failures": [t.failure for t in trainings if t.failure is not None],
        }
        for settings, trainings in found
    ]


def _mean(trainings: Sequence[Training], slice_name: str) -> float | None:
    values = [t.validation.metrics[slice_name]["recall@50"] for t in trainings if t.validation is not None]
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
