"""Sources in BigQuery, without a cloud: what is asked of it, its rows as batches, and what is said beforehand."""

import gzip
import random
from pathlib import Path

import pyarrow as pa
import pytest
from places import SAMPLE

from features.data_window import DataWindow
from features.interactions import reject_bad_lines
from features.spec.sources import Source
from pipelines.aggregation.bigquery import batch_rows, find_bigquery
from pipelines.aggregation.columns import Columns
from pipelines.aggregation.input_files import InputFile, NamedFile
from pipelines.aggregation.output import Target, write_rejects
from pipelines.aggregation.packing import pack
from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.errors import StageError, UsageError

COLUMNS = Columns(pa.schema([("id", pa.string()), ("n", pa.float64())]), {"sources.items.id": "id"})
TABLE = InputFile(path="bq://p.d.t", name="bq://p.d.t", size=0, number=3, format="bigquery")


def test_the_window_stands_in_a_query_where_it_names_it() -> None:
    source = Source(query="SELECT * FROM d.t WHERE at >= '{data_start}' AND at < '{data_end}'")
    found = find_bigquery(source, key="sources.interactions", number=0, window=DataWindow(0, 1_704_067_200_500_000))
    assert found.name == "sources.interactions.query"
    assert found.query == (
        "SELECT * FROM d.t WHERE at >= '1970-01-01T00:00:00+00:00' AND at < '2024-01-01T00:00:00.500000+00:00'"
    )
    with pytest.raises(UsageError) as caught:
        find_bigquery(source, key="sources.interactions", number=0, window=DataWindow(0))
    assert str(caught.value) == "sources.interactions.query: holds {data_end}, which needs --data-end"


def test_the_place_of_a_row_is_what_it_says_in_whatever_order_it_comes() -> None:
    rows = [{"id": f"u{n}", "n": n, "other": random.random()} for n in range(9)] + [{"id": "u1", "n": "x"}]
    batch = batch_rows(rows, COLUMNS, file=TABLE)
    assert [bad.reason for bad in batch.bad] == ["wrong_type (n)"]
    assert len(set(batch.places.tolist())) == 9
    assert {place >> 40 for place in batch.places.tolist()} == {3}
    for row, place in zip(batch.rows.to_pylist(), batch.places.tolist(), strict=True):
        alone = batch_rows([{"n": int(row["n"]), "id": row["id"]}], COLUMNS, file=TABLE)
        assert alone.places.tolist() == [place]
    alone = batch_rows(rows[9:], COLUMNS, file=TABLE)
    assert alone.bad == batch.bad


def test_a_reject_names_the_table_and_no_place(tmp_path: Path) -> None:
    batch = batch_rows([{"id": True}], COLUMNS, file=TABLE)
    rejects = pack(reject_bad_lines(batch.bad, batch.first_place))
    names = {3: NamedFile(TABLE.name, TABLE.place_unit)}
    written = write_rejects((0, [rejects]), Target(str(tmp_path), "run", 1), names=names, keep_content=True)
    assert gzip.decompress((tmp_path / written.file.name).read_bytes()) == (
        b'{"reason": "wrong_type (id)", "file": "bq://p.d.t", "lines": 1, '
        b'"content": "{\\"id\\": true, \\"n\\": null}"}\n'
    )


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(StageError) as caught:
        batch_rows([{"user": "a", "n": 1}], COLUMNS, file=TABLE)
    assert str(caught.value) == "bq://p.d.t: expected a column id (sources.items.id), found user, n"


LOG = "--set=sources.interactions={path: bq://p.d.log}"
ITEMS = "--set=sources.items={query: SELECT 1}"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["build-dataset", LOG],
            "--shards: expected a number, since the size of a log in BigQuery isn't known beforehand: one per 64 MiB "
            "of log, about; build-dataset and run take it",
        ),
        (
            ["build-dataset", LOG, "--shards=8"],
            "--temp_location: expected gs://BUCKET/PATH, where BigQuery exports bq://p.d.log to; build-dataset and "
            "run take it",
        ),
        (
            ["build-dataset", ITEMS],
            "--temp_location: expected gs://BUCKET/PATH, where BigQuery exports sources.items.query to; "
            "build-dataset and run take it",
        ),
        (
            ["build-dataset", ITEMS, "--aggregated=somewhere"],
            "sources.items: BigQuery is read by build-dataset alone, not by aggregate-spark, whose output --aggregated "
            "takes",
        ),
        (
            ["aggregate-spark", LOG],
            "sources.interactions: BigQuery is read by build-dataset alone, not by aggregate-spark",
        ),
    ],
)
def test_what_is_said_before_a_job_starts(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    where = ["--spec", "debian", "--raw", str(SAMPLE), "--output", str(output)]
    assert run_command(dispatch, [*arguments, *where]) == 2
    assert capsys.readouterr().err == f"error: {expected}\n"
    assert not output.exists()
