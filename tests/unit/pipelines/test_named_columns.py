"""Columns that files name themselves, and what is said before a job starts where one is missing."""

import gzip
from collections.abc import Callable
from pathlib import Path

import formats
import pyarrow as pa
import pytest
import yaml
from small_specs import small_tree

from features.data_window import DataWindow
from features.spec.spec import Spec
from pipelines.aggregation.inputs import find_inputs
from pipelines.aggregation.named_columns import check_named_columns
from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.errors import StageError

SPEC = small_tree(
    log={"path": "log*", "timestamp": "at"},
    sources={"items": {"path": "items*", "id": "app", "title": "name"}},
    item={"price": {"kind": "numeric", "column": "prize"}},
)
LOG, ITEMS = b"query_id,item_id,event,at\nu,a,get,1\n", b"app,name,prize\na,A,1\n"
Check = Callable[[dict[str, bytes]], dict[str, str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Holds these files to the spec, beside a good log and a good item table if there is none among them."""

    def run(files: dict[str, bytes]) -> dict[str, str]:
        for name, content in {"log.csv": LOG, "items.csv": ITEMS}.items():
            if not any(other.startswith(name.split(".")[0]) for other in files):
                (tmp_path / name).write_bytes(content)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        spec = Spec.model_validate(SPEC)
        inputs = find_inputs(spec, str(tmp_path), window=DataWindow())
        return check_named_columns(inputs, spec)

    return run


def parquet(*columns: str, rows: int = 1) -> bytes:
    return formats.parquet(pa.table([pa.array(["x"] * rows, pa.string())] * len(columns), names=columns))


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (b'null\n{"app": "a"\n{"app": "a", "name": null, "price": 1}\n', "; did you mean 'price'?"),
        (b'{"app": "a", "name": "A"}\n' + b"{}\n" * 99 + b'{"price": 1}\n', None),
        (b'{"app": "a", "name": "A", "price": 1}\n{"prize": 1}\n', None),
        (b"\xef\xbb\xbf[", None),
    ],
)
def test_of_the_first_json_lines_it_says_what_is_called_nearly_as_a_column_they_lack(
    items: bytes, said: str | None, check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hints = check({"items.jsonl.gz": gzip.compress(items)})
    assert hints == ({"item.features.price": said} if said else {})
    lacking = f"expected a column 'prize', but none of the first lines of {tmp_path}/items.jsonl.gz has it"
    assert capsys.readouterr().err == (f"warning: item.features.price: {lacking}{said}\n" if said else "")


def test_of_a_column_that_each_json_line_must_have_it_says_what_the_first_have_instead(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check({"log.jsonl": b'{"query_id": "u", "sku": "a", "event": "get"}\n'})
    lacking = f"but none of the first lines of {tmp_path}/log.jsonl has it; found event, query_id, sku\n"
    assert capsys.readouterr().err == (
        f"warning: sources.interactions.item_id: expected a column 'item_id', {lacking}"
        f"warning: sources.interactions.timestamp: expected a column 'at', {lacking}"
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"items.csv": b",id,name,prize\n"},
            "sources.items.id: expected a column 'app' in TMP/items.csv, found '', id, name, prize; name the right one "
            "in the spec",
        ),
        (
            {"items.csv": b"app;name;prize\n"},
            "sources.items.id: expected a column 'app' in TMP/items.csv, found app;name;prize; ';' seems to stand "
            "between its fields: name it as the source's delimiter",
        ),
        (
            {"log.tsv.gz": gzip.compress(b"query_id\titem_id\tat\nu\ta\t1\n")},
            "sources.interactions.event: expected a column 'event' in TMP/log.tsv.gz, found query_id, item_id, at; "
            "name the right one in the spec, or null if there is none",
        ),
        (
            {"log.1.parquet": parquet("query_id", "event", "at"), "log.2.parquet": parquet("item_id")},
            "sources.interactions.item_id: expected a column 'item_id' in TMP/log.1.parquet, found query_id, event, "
            "at; name the right one in the spec",
        ),
        (
            {"items.1.csv": b"app,name,price\n", "items.2.parquet": parquet("app", "name")},
            "item.features.price: expected a column 'prize' in TMP/items.1.csv or 1 more, found app, name, price; did "
            "you mean 'price'?",
        ),
        (
            {"log.csv": b"\nu,a\n"},
            "sources.interactions.query_id: expected a column 'query_id' in TMP/log.csv, found none; its first "
            "line is empty: have it name the columns",
        ),
        (
            {"log.csv": b'"query_id\n'},
            "TMP/log.csv: expected a header, the names of the columns on one line: unexpected end of data",
        ),
        (
            {"log.parquet": parquet("query_id", "item_id", "event", "query_id", "at", rows=0)},
            "TMP/log.parquet: expected one column query_id, found query_id, item_id, event, query_id, at",
        ),
        (
            {"items.1.csv": b"app,name,prize\n", "items.2.parquet": parquet("app", "prize", "prize", "name")},
            "TMP/items.2.parquet: expected one column prize, found app, prize, prize, name",
        ),
        ({"items.csv": b"app,name,prize,app\n"}, "TMP/items.csv: expected one column app, found app, name, prize, app"),
    ],
)  # fmt: skip
def test_a_column_missing_or_there_twice(check: Check, tmp_path: Path, files: dict[str, bytes], expected: str) -> None:
    with pytest.raises(StageError) as caught:
        check(files)
    assert str(caught.value).replace(str(tmp_path), "TMP") == expected


WRONG_PRICE = (
    "column prize (item.features.price): expected numbers, found string; give the feature the kind categorical "
    "or text, or cast it to a number where the file is written"
)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"items.parquet": parquet("app", "name", "prize")}, f"TMP/items.parquet: {WRONG_PRICE}"),
        (
            {"log.parquet": parquet("query_id", "item_id", "event", "at")},
            "TMP/log.parquet: column at (sources.interactions.timestamp): expected times or numbers, found string; "
            "name its unit, or iso, in sources.interactions.timestamp_unit",
        ),
        ({"items.1.csv": b"app,name,prize\n", "items.2.parquet": parquet("app", "name", "prize")}, None),
        ({"items.parquet": parquet("app", "name", "prize", rows=0)}, None),
    ],
    ids=["of a table", "of the log", "not in the first file", "no rows"],
)
def test_a_column_of_another_type(check: Check, tmp_path: Path, files: dict[str, bytes], expected: str | None) -> None:
    if expected is None:
        check(files)
        return
    with pytest.raises(StageError) as caught:
        check(files)
    assert str(caught.value).replace(str(tmp_path), "TMP") == expected


@pytest.mark.parametrize(
    "files",
    [
        {"items.1.csv": b"app\n", "items.2.csv": b"prize,app\n", "items.3.csv": b"app,name\n"},
        {"items.1.csv": b"app\n", "items.2.jsonl": b'{"app": "a"}\n'},
        {f"items.{n:02}.csv": b"app\n" for n in range(17)},
        {"items.csv.gz": gzip.compress(b"")},
        {"log.csv.gz": gzip.compress(LOG)[:-20]},
        {"log.parquet": b"PAR1"},
    ],
    ids=["in another file", "no header", "too many to look at", "empty", "cut", "no footer"],
)
def test_what_only_the_job_can_tell_is_left_to_it(check: Check, files: dict[str, bytes]) -> None:
    check(files)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {
                "items.1.parquet": parquet("app", "name", "prize", rows=0),
                "items.2.parquet": parquet("app", "name", "Prize", rows=0),
            },
            "TMP/items.2.parquet, whose rows are taken without; found app, name, Prize",
        ),
        (
            {"items.1.csv": b"app,name\n", "items.2.csv": b"app,name,prize\n", "items.3.csv": b"app,name\n"},
            "TMP/items.1.csv and 1 more, whose rows are taken without; found app, name",
        ),
        (
            {f"items.{n:02}.csv": b"app,name,prize\n" if n else b"app,name\n" for n in range(17)},
            "TMP/items.00.csv, whose rows are taken without; found app, name",
        ),
        (
            {f"items.{n:02}.csv": b"app,name,prize\n" if n < 15 else b"app,name\n" for n in range(16)},
            "TMP/items.15.csv, whose rows are taken without; found app, name",
        ),
        ({"items.1.csv": b"app,name,prize\n", "items.2.jsonl": b'{"app": "a"}\n'}, None),
        ({"log.1.csv": LOG, "log.2.csv": b"query_id,item_id,event\n"}, None),  # the job fails of it
    ],
    ids=["the second", "not the second", "the first of many", "the last of 16", "no header", "required"],
)
def test_a_column_that_some_files_lack_is_warned_of(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, bytes], said: str | None
) -> None:
    check(files)
    where = "warning: item.features.price: expected a column 'prize' in every file, but it is missing in "
    assert capsys.readouterr().err.replace(str(tmp_path), "TMP") == (f"{where}{said}\n" if said else "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"app,name,prize\na,A,1\n", "the first line looks like a header"),
        (b'"app", name,prize\n', None),
        (b"a,A,1\n", None),
        (b'"a\nb",A,1\n', None),
        (b"", None),
    ],
)
def test_a_header_of_columns_that_the_spec_names(tmp_path: Path, content: bytes, said: str | None) -> None:
    (tmp_path / "log.csv").write_bytes(LOG)
    (tmp_path / "items.csv.gz").write_bytes(gzip.compress(content))
    spec = Spec.model_validate(SPEC)
    items = spec.sources.items.model_copy(update={"column_names": ["app", "name", "prize"]})
    spec = spec.model_copy(update={"sources": spec.sources.model_copy(update={"items": items})})
    inputs = find_inputs(spec, str(tmp_path), window=DataWindow())
    if said is None:
        check_named_columns(inputs, spec)
        return
    with pytest.raises(StageError) as caught:
        check_named_columns(inputs, spec)
    assert str(caught.value) == (
        f"{tmp_path}/items.csv.gz: {said}, being equal to sources.items.column_names: leave column_names out"
    )


@pytest.mark.parametrize("verb", ["build-dataset", "aggregate-spark"])
def test_a_job_is_not_even_started(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    (tmp_path / "log.csv").write_bytes(LOG)
    (tmp_path / "items.csv").write_bytes(b"app,title,prize\n")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    where = ["--spec", str(tmp_path / "spec.yaml"), "--raw", str(tmp_path), "--output", str(tmp_path / "output")]
    assert run_command(dispatch, [verb, *where]) == 1
    assert capsys.readouterr().err == (
        f"error: sources.items.title: expected a column 'name' in {tmp_path}/items.csv, found app, title, prize; name "
        "the right one in the spec, or null if there is none\n"
    )
    assert not (tmp_path / "output").exists()
