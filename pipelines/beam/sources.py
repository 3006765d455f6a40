"""Reading raw logs and tables in Beam: files in ranges, BigQuery through its connector."""

from functools import partial

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.aggregation.batches import Batch, rows_per_batch
from pipelines.aggregation.bigquery import batch_rows
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import InputFile, ranges_of
from pipelines.aggregation.inputs import Inputs
from pipelines.aggregation.reading import Reading
from pipelines.beam.steps import InBundles
from stage.errors import UsageError


def check_bigquery(inputs: Inputs, options: PipelineOptions) -> None:
    """Fails before the job starts where BigQuery couldn't be read.

    Raises:
        UsageError: If it has nowhere to export to.
    """
    tables = [file.name for file in inputs.files if file.format == "bigquery"]
    place = options.view_as(GoogleCloudOptions).temp_location or ""
    if tables and not place.startswith("gs://"):
        raise UsageError(
            f"--temp_location: expected gs://BUCKET/PATH, where BigQuery exports {tables[0]} to; build-dataset and "
            "run take it"
        )


def read_source(pipeline: beam.Pipeline, label: str, *, files: list[InputFile], columns: Columns) -> beam.PCollection:
    """Reads the log or a table, in batches.

    Args:
        pipeline: The job.
        label: Names the steps.
        files: All of the source.
        columns: The columns to read.
    """
    if files[0].format == "bigquery":
        rows = rows_per_batch(columns.schema)
        return (
            pipeline
            | f"Export{label}" >> _export(files[0])
            | f"Batch{label}" >> beam.BatchElements(rows, rows)
            | f"Read{label}" >> beam.Map(batch_rows, columns, file=files[0])
        )
    return (
        pipeline
        | f"{label}Ranges" >> beam.Create(ranges_of(files))
        | f"Spread{label}Ranges" >> beam.Reshuffle()
        | f"Read{label}" >> beam.ParDo(InBundles(partial(Reading, columns))).with_output_types(Batch)
    )


def _export(file: InputFile) -> beam.PTransform:
    """The rows of a table or query, as mappings; Beam's flags say where the export lies meanwhile."""
    if file.query is not None:
        return beam.io.ReadFromBigQuery(query=file.query, use_standard_sql=True, flatten_results=False)
    project, dataset, table = file.path.removeprefix("bq://").rsplit(".", 2)
    return beam.io.ReadFromBigQuery(project=project, dataset=dataset, table=table)
