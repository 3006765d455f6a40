"""Mutual information of all pairs of ten features: the build's step, an element for each pair, and scikit-learn."""

import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import fsum, log
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from beam_as_it_comes import beams_own_clock
from measure import Row, Turns
from pandas import factorize
from sklearn.metrics import mutual_info_score

from features.spec.spec import Spec
from pipelines.aggregation.packing import Keyed, pack
from pipelines.beam.mutual_information import compute_mutual_information
from pipelines.beam.runner import run_pipeline

ROWS = 1_000_000
TEXTBOOK_ROWS = 20_000
TEXT_ROWS = 50_000
"""Of what scikit-learn is given as texts: it sorts them, and a million take minutes."""
SHARDS = 8
SIZES = (2, 3, 5, 10, 20, 50, 100, 500, 2_000, 10_000)
"""Values of each feature."""
FOUND: list[Any] = []


def measure(work: Path, turns: Turns) -> list[Row]:
    codes = correlated(ROWS)
    texts = as_texts(codes)
    corpus = write_corpus(texts, work / "corpus")
    objects = [column.to_numpy(zero_copy_only=False) for column in texts]
    few_codes, few_objects = codes[:, :TEXTBOOK_ROWS], [column[:TEXT_ROWS] for column in objects]
    found: dict[str, Any] = {}
    runs = {
        "ours": lambda: found.update(ours=ours(corpus)),
        "textbook Beam": lambda: found.update(textbook=textbook(few_codes)),
        "scikit-learn": lambda: scikit_learn(few_objects),
        "scikit-learn, numbered": lambda: found.update(numbered=scikit_learn([factorize(of)[0] for of in objects])),
        "scikit-learn on integers": lambda: found.update(integers=scikit_learn(codes)),
    }
    seconds = turns(runs)
    assert np.allclose(found["ours"], found["integers"], rtol=0, atol=1e-9)
    assert np.allclose(found["numbered"], found["integers"], rtol=0, atol=1e-9)
    assert np.allclose(from_counts(found["textbook"], TEXTBOOK_ROWS), scikit_learn(few_codes), rtol=0, atol=1e-9)
    rows = {"textbook Beam": TEXTBOOK_ROWS, "scikit-learn": TEXT_ROWS}
    rates = {name: rows.get(name, ROWS) / spent for name, spent in seconds.items()}
    us = f"ours {rates['ours']:,.0f} rows/s: {ROWS:,} rows of texts in Parquet, by chance too, told to the end"

    def against(baseline: str, what: str, *, at_least: float | None) -> Row:
        value, name = rates["ours"] / rates[baseline], f"mutual information, rate against {baseline}"
        return Row(name, value, "x", f"{us}; {what}, {rates[baseline]:,.0f} rows/s", at_least=at_least)

    # The target is on texts, which a build has and mutual_info_score takes. The other two show what of it is their
    # numbering, which ours does once for a column, mutual_info_score once for each pair.
    every = "mutual_info_score of each of the 45 pairs of columns"
    return [
        against("textbook Beam", f"an element for each pair of values, on {TEXTBOOK_ROWS:,} rows", at_least=25),
        against("scikit-learn", f"{every}, of these texts in memory, on {TEXT_ROWS:,} rows", at_least=5),
        against("scikit-learn, numbered", f"{every}, once pandas.factorize has numbered their texts", at_least=None),
        against("scikit-learn on integers", f"{every}, which are numbers from the start", at_least=None),
    ]


def correlated(rows: int) -> np.ndarray:
    """Codes of ten features, [10, rows]: each follows one draw, with noise."""
    rng = np.random.default_rng(7)
    hidden = rng.random(rows) ** 2
    return np.array([((hidden + 0.3 * rng.random(rows) ** 3) / 1.3 * size).astype(np.int64) for size in SIZES])


def as_texts(codes: np.ndarray) -> list[pa.Array]:
    """A text for each code."""
    return [
        pa.array([f"value-{code}" for code in range(size)]).take(pa.array(column))
        for size, column in zip(SIZES, codes, strict=True)
    ]


def write_corpus(texts: list[pa.Array], directory: Path) -> list[str]:
    """The rows as items of the build, in shards."""
    directory.mkdir(exist_ok=True)
    rows = len(texts[0])
    ids = pa.array([f"item-{row:07d}" for row in range(rows)])
    table = pa.table({"id": ids, **{f"feature/f{number}": column for number, column in enumerate(texts)}})
    width = -(-rows // SHARDS)
    paths = [f"{directory}/{shard}.parquet" for shard in range(SHARDS)]
    for shard, path in enumerate(paths):
        pq.write_table(table.slice(shard * width, width), path)
    return paths


def ours(corpus: list[str]) -> list[float]:
    FOUND.clear()
    item = {"features": {f"f{number}": {"kind": "categorical"} for number in range(len(SIZES))}}
    sources = {"interactions": {"path": "unused"}, "items": {"path": "unused"}, "queries": "items"}
    spec = Spec.model_validate({"name": "benchmark", "sources": sources, "query": item, "item": item})

    def build(pipeline: beam.Pipeline) -> None:
        items = (
            pipeline
            | beam.Create(corpus)
            | beam.Map(lambda path: (0, pack(pq.read_table(path)))).with_output_types(Keyed)
        )
        _ = items | compute_mutual_information(spec, shards=SHARDS) | beam.ParDo(Keep())

    run_pipeline(build, PipelineOptions([]), local=True)
    matrix = json.loads(FOUND[0])["mutual_information"]
    return [matrix[a][b] for a, b in combinations(range(len(SIZES)), 2)]


class Keep(beam.DoFn):
    def process(self, element: Any) -> Iterable[None]:
        FOUND.append(element)
        return ()


def textbook(codes: np.ndarray) -> dict[tuple[int, int, int, int], int]:
    FOUND.clear()
    with beams_own_clock(), beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(zip(*codes.tolist(), strict=True)))
            | beam.FlatMap(pairs_of_values)
            | beam.combiners.Count.PerElement()
            | beam.ParDo(Keep())
        )
    return dict(FOUND)


def pairs_of_values(row: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    return [(a, b, row[a], row[b]) for a, b in combinations(range(len(row)), 2)]


def from_counts(counts: dict[tuple[int, int, int, int], int], rows: int) -> list[float]:
    """Mutual information of each pair of features, from the counts of their values."""
    found = []
    for a, b in combinations(range(len(SIZES)), 2):
        joint = {key[2:]: count for key, count in counts.items() if key[:2] == (a, b)}
        alone: list[dict[int, int]] = [{}, {}]
        for values, count in joint.items():
            for side, value in zip(alone, values, strict=True):
                side[value] = side.get(value, 0) + count
        terms = (n / rows * log(n * rows / (alone[0][x] * alone[1][y])) for (x, y), n in joint.items())
        found.append(fsum(terms))
    return found


def scikit_learn(columns: Sequence[np.ndarray] | np.ndarray) -> list[float]:
    return [mutual_info_score(columns[a], columns[b]) for a, b in combinations(range(len(columns)), 2)]
