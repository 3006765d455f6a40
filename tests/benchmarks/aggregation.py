"""JSON lines to pairs: the build's own steps, the textbook's, and Polars."""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import polars as pl
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from beam_as_it_comes import beams_own_clock
from measure import Row, Turns
from raw_logs import clean_log

from features.data_window import DataWindow
from features.pseudonyms import Pseudonyms
from features.spec.spec import Spec
from pipelines.aggregation import kinds, steps
from pipelines.aggregation.input_files import InputFile
from pipelines.aggregation.packing import Packed, pack, unpack
from pipelines.beam.log import read_log
from pipelines.beam.runner import run_pipeline
from pipelines.beam.steps import outputs_in_threads

SIZES = (1_000_000, 4_000_000)
"""Lines. Of our time for the first an eighth is the start of a job, of that for the second a thirtieth."""
SHARDS = 8
FOUND: list[Any] = []
"""What the last pipeline found; its steps run in this process."""
KNOWN: list[Packed] = []
"""The ids of items that it is given."""


def measure(work: Path, turns: Turns) -> list[Row]:
    return [row for lines in SIZES for row in _measure(clean_log(work, lines), lines, turns=turns)]


def _measure(log: Path, lines: int, *, turns: Turns) -> list[Row]:
    items = pl.scan_ndjson(log).select("item_id").unique().collect().to_arrow().rename_columns(["id"])
    known = pack(items.cast(pa.schema([("id", pa.string())])))
    runs = {
        "ours": lambda: ours(log, known),
        "textbook Beam": lambda: textbook(log),
        "Polars": lambda: polars(log),
    }
    seconds = turns(runs)
    assert counts_of(ours(log, known)) == counts_of(textbook(log)) == counts_of(polars(log))
    ours_is = f"ours {seconds['ours']:.2f} s"
    name = f"{lines / 1e6:g} M JSON lines to pairs, rate against"
    return [
        Row(
            f"{name} the textbook's",
            seconds["textbook Beam"] / seconds["ours"],
            "x",
            f"{ours_is}, ReadFromText | json.loads | CombinePerKey {seconds['textbook Beam']:.2f} s",
            at_least=15,
        ),
        Row(
            f"{name} Polars'",
            seconds["Polars"] / seconds["ours"],
            "x",
            f"{ours_is}, scan_ndjson | group_by {seconds['Polars']:.2f} s",
            at_least=1 / 3,
        ),
    ]


def ours(log: Path, known_items: bytes) -> pa.Table:
    """The build's steps, which also validate, date and split each line."""
    KNOWN[:] = [known_items]
    item = {"item": {"kind": "id"}}
    spec = Spec.model_validate(
        {
            "name": "benchmark",
            "sources": {
                "interactions": {"path": str(log), "timestamp": "timestamp", "drop_duplicates": False},
                "items": {"path": "unused"},
                "queries": "items",
            },
            "query": {"features": item},
            "item": {"features": item},
        }
    )
    file = InputFile(path=str(log), name=log.name, size=log.stat().st_size, number=0, format="jsonl")

    def build(pipeline: beam.Pipeline) -> None:
        window, pseudonyms = DataWindow(), Pseudonyms()
        read = read_log(pipeline, [file], spec=spec, window=window, shards=SHARDS, pseudonyms=pseudonyms, bounds=None)
        known = pipeline | beam.Impulse() | "KnownItems" >> beam.ParDo(GiveKnown())
        merge = partial(steps.merge, spec=spec, bounds=None, shards=SHARDS)
        merged = (
            {kinds.LINES: read.lines}
            | beam.CoGroupByKey()
            | outputs_in_threads(merge, kinds.PAIRS, kinds.REJECTS, kinds.COUNTS, known=AsSingleton(known))
        )
        # Without their type, Beam would pickle the tables to sample their size.
        tables = merged[kinds.PAIRS] | beam.MapTuple(lambda _, packed: unpack(packed)).with_output_types(pa.Table)
        _ = tables | beam.ParDo(Keep())

    run_pipeline(build, PipelineOptions([]), local=True)
    return pa.concat_tables(take_found())


class GiveKnown(beam.DoFn):
    """Not created as they are, and no lambda, with which what it names would travel: Beam compresses its graph."""

    def process(self, _: bytes) -> Iterable[Packed]:
        yield KNOWN[0]


class Keep(beam.DoFn):
    def process(self, element: Any) -> Iterable[None]:
        FOUND.append(element)
        return ()


def take_found() -> list[Any]:
    """What the pipeline found, and no longer holds."""
    found = list(FOUND)
    FOUND.clear()
    return found


def textbook(log: Path) -> list[tuple[tuple[str, str], int]]:
    with beams_own_clock(), beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = (
            pipeline
            | beam.io.ReadFromText(str(log))
            | beam.Map(json.loads)
            | beam.Map(lambda line: ((line["query_id"], line["item_id"]), 1))
            | beam.CombinePerKey(sum)
            | beam.ParDo(Keep())
        )
    return take_found()


def polars(log: Path) -> pl.DataFrame:
    return pl.scan_ndjson(log).group_by("query_id", "item_id").len().collect()


def counts_of(found: object) -> dict[tuple[str, str], int]:
    """(query, item) -> lines."""
    if isinstance(found, list):
        return dict(found)
    columns = (
        found.rows()
        if isinstance(found, pl.DataFrame)
        else zip(*(found.column(name).to_pylist() for name in ("query_id", "item_id", "count")), strict=True)
    )
    return {(query, item): count for query, item, count in columns}
