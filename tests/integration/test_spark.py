"""aggregate-spark on the real engine: what it leaves is what the Beam job makes, and a build takes it up."""

import contextlib
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import build_dataset, cli
from pipelines.aggregation.packing import Keyed, unpack
from pipelines.aggregation.plan import make_plan
from pipelines.beam.aggregate import aggregate
from pipelines.beam.local_runner import run_pipeline
from pipelines.beam.sources import match_files
from stage.command_line import run_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("java") is None and "JAVA_HOME" not in os.environ, reason="Spark needs Java 17 or newer"
    ),
]

Json = dict[str, Any]
BAD_LINES = [b"{", b"null", b'{"query_id": "u1"}', b'{"query_id": 1.5, "item_id": "a"}', b"\xff\xfe", b" "]
UNKNOWN = {"query_id": "u0000001", "item_id": "gone", "event": "install", "timestamp": 1704067757}
SET = ("--set", "sources.max_reject_ratio=0.1")


@dataclass(frozen=True)
class Ran:
    directory: Path
    code: int
    error: str

    @property
    def manifest(self) -> Json:
        return json.loads((self.directory / "manifest.json").read_text())

    def tables(self, folder: str) -> list[pa.Table]:
        return [pq.ParquetFile(file).read() for file in sorted((self.directory / folder).glob("*.parquet"))]


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def run() -> Run:
    """`run(verb, output, *flags)`."""

    def of(verb: str, output: Path, *flags: str) -> Ran:
        arguments = [verb, "--output", str(output), *flags]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
            code = run_command(cli.dispatch, arguments)
        return Ran(output, code, err.getvalue().rstrip().rpartition("\n")[2])

    return of


@pytest.fixture(scope="module")
def raw(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 lines in two compressed files, and bad ones among others in a third."""
    directory = tmp_path_factory.mktemp("raw") / "synthetic"
    made = run("generate", directory, "--interactions", "3000", "--queries", "300", "--items", "150", "--seed", "3")
    assert made.code == 0, made.error
    (whole,) = directory.glob("interactions-*")
    lines = gzip.decompress(whole.read_bytes()).splitlines(keepends=True)
    whole.unlink()
    some = [line + b"\n" for line in BAD_LINES] + [json.dumps(UNKNOWN).encode() + b"\n"] * 2
    for name, part in (("0", lines[:2000]), ("1", lines[2000:2900] + some[:4]), ("2", some[4:] + lines[2900:])):
        (directory / f"interactions-{name}.jsonl.gz").write_bytes(gzip.compress(b"".join(part)))
    return directory


@pytest.fixture(scope="module")
def spark(run: Run, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    output = tmp_path_factory.mktemp("spark") / "aggregate"
    flags = ["--spec", "synthetic", "--raw", str(raw), "--shards", "3", "--master", "local[2]", *SET]
    made = run("aggregate-spark", output, *flags)
    assert made.code == 0, made.error
    return made


@pytest.fixture(scope="module")
def dataset(run: Run, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """What the Beam job alone makes."""
    output = tmp_path_factory.mktemp("beam") / "dataset"
    built = run("build-dataset", output, "--spec", "synthetic", "--raw", str(raw), "--shards", "2", *SET)
    assert built.code == 0, built.error
    return built


def test_it_counts_and_rejects_as_the_beam_job_does(spark: Ran, dataset: Ran) -> None:
    found, expected = spark.manifest, dataset.manifest
    assert found["stage"] == "aggregate"
    assert found["rejected"]["unknown_item"] == 2
    assert found["rejected"]["not_json"] > 2
    assert found["rejected"] == expected["rejected"]
    assert found["counts"]["lines/read"] == 3008
    mine = {name: n for name, n in found["counts"].items() if name not in ("pairs", "shards")}
    assert mine == {name: expected["counts"][name] for name in mine}
    assert found["spec_digest"] == expected["spec_digest"]
    assert found["inputs"] == expected["inputs"]


def test_entities_rejects_and_mutual_information_are_the_same(spark: Ran, dataset: Ran) -> None:
    for name in ("entities/items", "entities/queries", "rejects", "mutual_information"):
        assert spark.manifest["content"][name] == dataset.manifest["content"][name], name
    name = "mutual_information.json"
    assert (spark.directory / name).read_bytes() == (dataset.directory / name).read_bytes()
    rows = [sorted(_rows(ran.tables("entities")), key=lambda row: str(row["id"])) for ran in (spark, dataset)]
    assert len(rows[0]) > 300
    assert rows[0] == rows[1]


def test_pairs_are_those_of_the_beam_job(spark: Ran, raw: Path, tmp_path: Path) -> None:
    flags = ["--spec", "synthetic", "--raw", str(raw), "--output", str(tmp_path / "x"), "--shards", "2", *SET]
    plan = make_plan(build_dataset.make_parser().parse_args(flags), verb="build-dataset", match=match_files)
    run_pipeline(lambda p: _save(aggregate(p, plan).pairs, tmp_path), PipelineOptions([]), local=True)
    expected = [row for file in tmp_path.glob("*.parquet") for row in pq.ParquetFile(file).read().to_pylist()]
    found = _rows(spark.tables("pairs"))
    assert len(found) > 1000
    assert sorted(found, key=_key) == sorted(expected, key=_key)
    assert sum(row["count"] for row in found) == spark.manifest["counts"]["lines/kept"]


def _save(pairs: beam.PCollection, directory: Path) -> None:
    _ = pairs | "Save" >> beam.Map(_save_shard, str(directory))


def _save_shard(element: Keyed, directory: str) -> None:
    pq.write_table(unpack(element[1]), f"{directory}/{element[0]}.parquet")


def _rows(tables: list[pa.Table]) -> Iterator[Json] | list[Json]:
    return [row for table in tables for row in table.to_pylist()]


def _key(row: Json) -> tuple[str, str, int]:
    return row["query_id"], row["item_id"], row["split"]


def test_a_build_takes_it_up_to_the_same_dataset(run: Run, spark: Ran, dataset: Ran, tmp_path: Path) -> None:
    flags = ["--spec", "synthetic", "--aggregated", str(spark.directory), "--shards", "4", *SET]
    built = run("build-dataset", tmp_path / "dataset", *flags)
    assert built.code == 0, built.error
    assert built.manifest["content"] == dataset.manifest["content"]
    assert built.manifest["counts"] == dataset.manifest["counts"]
    assert built.manifest["rejected"] == dataset.manifest["rejected"]
    assert built.manifest["inputs"]["raw"] == dataset.manifest["inputs"]["raw"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "split.seed=9"], "was made under another spec: split.seed is 0 there, 9 here; aggregate again"),
        (
            ["--test-start", "2024-01-29"],
            "error: --test-start: AGG was aggregated with none, got 2024-01-29; give the same, or aggregate again",
        ),
    ],
)
def test_a_build_refuses_what_was_made_otherwise(
    run: Run, spark: Ran, tmp_path: Path, flags: list[str], message: str
) -> None:
    base = ["--spec", "synthetic", "--aggregated", str(spark.directory), *SET]
    refused = run("build-dataset", tmp_path / "dataset", *base, *flags)
    assert refused.code == 2
    assert message in refused.error.replace(str(spark.directory), "AGG")
    assert not (tmp_path / "dataset").exists()


def test_a_build_refuses_an_unfinished_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "aggregate").mkdir()
    refused = run(
        "build-dataset", tmp_path / "dataset", "--spec", "synthetic", "--aggregated", str(tmp_path / "aggregate")
    )
    assert refused.code == 1
    assert "expected a finished aggregate, but the directory has no manifest.json: it isn't whole" in refused.error


def test_what_it_says_of_bad_input_is_one_line_and_leaves_no_manifest(run: Run, raw: Path, tmp_path: Path) -> None:
    flags = ["--spec", "synthetic", "--master", "local[2]"]
    strict = run("aggregate-spark", tmp_path / "a", *flags, "--raw", str(raw), "--set", "sources.max_reject_ratio=0")
    assert strict.code == 1
    assert strict.error.startswith("error: sources.max_reject_ratio: ")
    assert "lines of the log are bad, more than 0 of them: " in strict.error
    assert list((tmp_path / "a" / "rejects").iterdir())

    twice = tmp_path / "twice"
    shutil.copytree(raw, twice)
    shutil.copy(next(twice.glob("items-*")), twice / "items-again.jsonl.gz")
    doubled = run("aggregate-spark", tmp_path / "b", *flags, "--raw", str(twice), *SET)
    assert doubled.code == 1
    assert doubled.error.startswith("error: items: expected each id once, but 'a00")
    assert "stands at items-" in doubled.error
    assert doubled.error.endswith("remove the duplicates from the table")
    for output in ("a", "b"):
        assert not (tmp_path / output / "manifest.json").exists()
