"""Tables between steps: told in size without being pickled, and whole where they leave a process."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.coders import registry
from apache_beam.options.pipeline_options import PipelineOptions

from features.parsing.parsed_lines import BadLine
from pipelines.aggregation.batches import Batch
from pipelines.aggregation.input_files import InputFile
from pipelines.beam import table_coder
from pipelines.beam.runner import run_pipeline

ROWS = pa.RecordBatch.from_pydict({"n": pa.array([1, 2, 3], pa.int64())})  # 24 bytes
BATCH = Batch(
    rows=ROWS,
    places=np.arange(3),
    bad=[BadLine(7, "not_json", b"x")],
    first_place=0,
    blank=1,
    file=InputFile(path="a.jsonl", name="a.jsonl", size=9, number=0, format="jsonl"),
)
FOUND: list[object] = []


class ToTable(beam.DoFn):
    def process(self, batch: Batch) -> Iterable[pa.Table]:
        yield pa.Table.from_batches([batch.rows])


class NotPickled(list[BadLine]):
    def __reduce__(self) -> Any:
        raise AssertionError("pickled")


class ToBatch(beam.DoFn):
    def process(self, number: int) -> Iterable[Batch]:
        del number
        yield replace(BATCH, bad=NotPickled())


class Keep(beam.DoFn):
    def process(self, table: pa.Table) -> None:
        FOUND.append(table.num_rows)


def test_what_passes_from_step_to_step_is_measured_without_being_pickled() -> None:
    def build(pipeline: beam.Pipeline) -> None:
        numbers = pipeline | beam.Create(range(20))
        _ = numbers | beam.ParDo(ToBatch()) | beam.ParDo(ToTable()) | beam.ParDo(Keep())

    FOUND.clear()
    run_pipeline(build, PipelineOptions([]), local=True)
    assert FOUND == [3] * 20


def test_a_coder_gives_back_what_it_was_given() -> None:
    table_coder.measure_tables()
    for value, size in ((ROWS, 24), (pa.Table.from_batches([ROWS, ROWS]), 48)):
        coder = registry.get_coder(type(value))
        assert coder.estimate_size(value) == size
        assert coder.decode(coder.encode(value)).equals(value)
    coder = registry.get_coder(Batch)
    assert coder.estimate_size(BATCH) == 24
    again = coder.decode(coder.encode(BATCH))
    assert (again.rows, again.bad, again.lines, again.file) == (ROWS, BATCH.bad, 5, BATCH.file)
