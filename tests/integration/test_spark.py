"""aggregate-spark on the real engine: what it leaves is what the Beam job makes, and a build takes it up."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import in_process
import pyarrow.parquet as pq
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from in_process import Built
from json_lines import json_lines
from needs_java import NEEDS_JAVA
from places import ROOT
from private_log import FILES, FILMS, KEY, PAIRS, SPEC, USERS, pseudonym

from features.spec.file import load_spec
from pipelines import cli
from pipelines.aggregation.packing import Keyed, unpack
from pipelines.aggregation.plan import make_plan
from pipelines.beam.aggregate import aggregate
from pipelines.beam.runner import run_pipeline
from pipelines.build_dataset import plan_build
from pipelines.build_options import make_parser

pytestmark = NEEDS_JAVA

Json = dict[str, Any]
BAD_LINES = [b"{", b"null", b'{"query_id": "u1"}', b'{"query_id": 1.5, "item_id": "a"}', b"\xff\xfe", b" "]
UNKNOWN = {"query_id": "u0000001", "item_id": "gone", "event": "install", "timestamp": 1704067757}
SET = ("--set", "sources.max_reject_ratio=0.1", "--set", "split.cold_items=0.1")


Run = Callable[..., Built]


@pytest.fixture(scope="module")
def run() -> Run:
    """`run(verb, output, *flags)`."""
    return lambda verb, output, *flags: Built(output, *in_process.run(cli.dispatch, verb, "--output", output, *flags))


@pytest.fixture(scope="module")
def shop_aggregate(run: Run, shop: Any, shop_dataset: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What Spark makes of the shop's log, in which everything is that can go wrong with a line; items by shuffle."""
    directory = tmp_path_factory.mktemp("spark")
    (directory / "shop.yaml").write_text(yaml.safe_dump(shop.spec, sort_keys=False))
    flags = ["--spec", str(directory / "shop.yaml"), "--raw", str(shop_dataset.directory.parent / "raw")]
    flags += ["--shards", "2", "--master", "local[2]", "--set", "sources.item_join=shuffle", "--json"]
    made = run("aggregate-spark", directory / "aggregate", *flags)
    assert made.code == 0, made.error
    return made


def test_it_makes_of_a_log_what_the_beam_job_makes(shop_aggregate: Built, shop_dataset: Built) -> None:
    _assert_same(shop_aggregate, shop_dataset)
    assert shop_aggregate.manifest["rejected"]["unknown_item"] > 7
    assert shop_aggregate.manifest["rejected"]["not_json"] > 3
    assert json.loads(shop_aggregate.stdout) == shop_aggregate.manifest


def test_a_finished_one_of_the_same_is_left_without_spark_and_one_of_another_refused(
    run: Run, shop_aggregate: Built, shop_dataset: Built
) -> None:
    directory, before = shop_aggregate.directory, shop_aggregate.manifest
    flags = ["--spec", str(directory.parent / "shop.yaml"), "--raw", str(shop_dataset.directory.parent / "raw")]
    flags += ["--skip-done", "--master", "nowhere"]
    threshold = ["--set", "sources.max_reject_ratio=1"]
    kept = run("aggregate-spark", directory, *flags, *threshold, "--overwrite=true", "--json")
    assert (kept.code, kept.error) == (0, f"aggregate-spark: done before, in {directory}")
    assert json.loads(kept.stdout) == kept.manifest == before
    of = "is finished already, made from another"
    for another, what in (
        (["--set", "split.seed=9"], "spec (split.seed is 3 there, 9 here)"),
        (["--data-end", "2024-01-29"], "--data-end (none there, 2024-01-29 here)"),
    ):
        refused = run("aggregate-spark", directory, *flags, *another)
        assert (refused.code, refused.error) == (1, f"error: {directory}: {of} {what}; --overwrite makes it again")
    assert shop_aggregate.manifest == before


def test_a_build_goes_on_from_it_to_the_same_dataset(
    *,
    shop: Any,
    shop_aggregate: Built,
    shop_dataset: Built,
    build: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.aggregation.placement.HOT_EXAMPLES", 6)
    built = build(tmp_path / "dataset", shop.spec, "--aggregated", str(shop_aggregate.directory), "--shards", "3")
    assert built.code == 0, built.error
    _assert_same_dataset(built.manifest, shop_dataset.manifest)


def test_ids_are_replaced_by_their_pseudonyms(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a keyed BLAKE2b, as a build without Spark does, in the log and in both tables."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "private.yaml").write_text(yaml.safe_dump(SPEC))
    monkeypatch.setenv("PSEUDONYM_KEY", KEY)
    flags = ["--spec", str(tmp_path / "private.yaml"), "--raw", str(tmp_path), "--shards", "1", "--master", "local[2]"]
    made = run("aggregate-spark", tmp_path / "aggregate", *flags)
    assert made.code == 0, made.error
    assert {(row["query_id"], row["item_id"]) for row in _rows(made.directory / "pairs")} == PAIRS
    # What was bad about a line is said without its ids.
    rejects = b"".join(gzip.decompress(file.read_bytes()) for file in (made.directory / "rejects").iterdir())
    assert (rejects.count(b"\n"), b"person" in rejects, b"secret" in rejects) == (4, False, False)
    entities = {
        (row["id"], row.get("feature/country"), row.get("feature/shelf")) for row in _rows(made.directory / "entities")
    }
    users, films = (set(map(pseudonym, ids)) for ids in (USERS, FILMS))
    assert entities == {(one, "NL", None) for one in users} | {(one, None, "left") for one in films}
    again = run("aggregate-spark", made.directory, *flags)
    assert (again.code, again.error) == (1, f"error: {made.directory}: is finished already; --overwrite makes it again")
    monkeypatch.setenv("PSEUDONYM_KEY", "another horse battery")
    other = run("aggregate-spark", made.directory, *flags)
    assert ", made from another input (pseudonyms); " in other.error
    # A build goes on without the key, and is of the aggregate's.
    monkeypatch.delenv("PSEUDONYM_KEY")
    flags = ["--spec", str(tmp_path / "private.yaml"), "--output", "dataset"]
    goes_on = plan_build(make_parser().parse_args([*flags, "--aggregated", str(made.directory)]))
    assert goes_on.source.job.input_digests["pseudonyms"] == made.manifest["inputs"]["pseudonyms"]


def test_of_partitions_it_tells_what_a_build_tells_and_caps_as_it_does(run: Run, tmp_path: Path) -> None:
    spec = {
        "name": "days",
        "sources": {
            "interactions": {"path": "log/{date}.jsonl", "timestamp": "at", "timestamp_unit": "ms"},
            "items": {"path": "items/{date}.jsonl"},
            "max_reject_ratio": 0.1,
            "rejects": "place_only",
        },
        "query": {"features": {"user": {"kind": "id"}}},
        "item": {"features": {"film": {"kind": "id"}}},
        "split": {"method": "time", "validation_seconds": 86_400, "max_train_pairs_per_query": 1},
    }
    (tmp_path / "log").mkdir()
    (tmp_path / "items").mkdir()
    noon = 1_704_110_400_000  # of 2024-01-01
    for day in range(5):
        # The second day is written in seconds; the fourth is validation, the fifth test.
        at = (noon + 86_400_000 * day) // (1_000 if day == 1 else 1)
        lines = [{"query_id": f"u{n}", "item_id": f"f{(n + day) % 5}", "event": "see", "at": at} for n in range(50)]
        (tmp_path / f"log/2024-01-0{day + 1}.jsonl").write_bytes(json_lines(lines))
    with (tmp_path / "log/2024-01-01.jsonl").open("a") as file:
        file.write("no\n")
    (tmp_path / "items/2024-01-02.jsonl").write_bytes(json_lines({"item_id": f"f{n}"} for n in range(5)))
    (tmp_path / "days.yaml").write_text(yaml.safe_dump(spec))
    flags = ["--spec", str(tmp_path / "days.yaml"), "--raw", str(tmp_path), "--shards", "2"]
    flags += ["--data-start", "2024-01-01", "--data-end", "2024-01-06", "--test-start", "2024-01-05"]
    made = run("aggregate-spark", tmp_path / "aggregate", *flags, "--master", "local[2]")
    assert made.code == 0, made.error
    built = run("build-dataset", tmp_path / "dataset", *flags)
    assert built.code == 0, built.error
    stale = "expected a partition of 2024-01-05, the window's last day, but the latest that has files is of"
    for one in (made, built):
        assert one.manifest["table_days"] == {"items": "2024-01-02"}
        assert [(row["reason"], "content" in row) for row in one.rejects()] == [("not_json", False)]
        assert one.manifest["counts"]["outside_window/log/2024-01-02.jsonl"] == 50
        assert f"warning: sources.items.path: {stale} 2024-01-02, and is taken; " in one.stderr
        assert "warning: log/2024-01-02.jsonl: expected lines of --data-start to --data-end " in one.stderr
    _assert_same(made, built)
    counts = made.manifest["counts"]
    assert [counts[f"pairs/{split}"] for split in ("train", "validation", "test")] == [50, 50, 50]
    assert counts["filtered/over_cap"] == 50


def _assert_same(aggregate: Built, dataset: Built) -> None:
    found, expected = aggregate.manifest, dataset.manifest
    assert found["stage"] == "aggregate"
    assert found["rejected"] == expected["rejected"]
    assert found["ids_to_compare"] == expected["ids_to_compare"]
    mine = {name: n for name, n in found["counts"].items() if name not in ("pairs", "shards")}
    assert mine == {name: expected["counts"][name] for name in mine}
    assert found["spec_digest"] == expected["spec_digest"]
    assert found["inputs"]["raw"] == expected["inputs"]["raw"]
    for name in ("entities/items", "entities/queries", "rejects", "mutual_information"):
        assert found["content"][name] == expected["content"][name], name
    name = "mutual_information.json"
    assert (aggregate.directory / name).read_bytes() == (dataset.directory / name).read_bytes()
    rows = [sorted(_rows(directory / "entities"), key=str) for directory in (aggregate.directory, dataset.directory)]
    assert len(rows[0]) > 50
    assert rows[0] == rows[1]


def _assert_same_dataset(found: Json, expected: Json) -> None:
    assert found["content"] == expected["content"]
    assert found["counts"] == expected["counts"]
    assert found["rejected"] == expected["rejected"]
    assert found["ids_to_compare"] == expected["ids_to_compare"]
    assert found["inputs"]["raw"] == expected["inputs"]["raw"]


def _rows(folder: Path) -> list[Json]:
    return [row for file in folder.glob("*.parquet") for row in pq.ParquetFile(file).read().to_pylist()]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "split.seed=9"], "AGG was made from another spec (split.seed is 3 there, 9 here); give the same, "),
        (
            ["--data-end", "2024-01-29"],
            "error: --aggregated: AGG was made from another --data-end (none there, 2024-01-29 here); give the same, "
            "or aggregate again",
        ),
    ],
)
def test_a_build_refuses_what_was_made_otherwise(
    *, shop: Any, shop_aggregate: Built, build: Any, tmp_path: Path, flags: list[str], message: str
) -> None:
    refused = build(tmp_path / "dataset", shop.spec, "--aggregated", str(shop_aggregate.directory), *flags)
    assert refused.code == 2
    assert message in refused.error.replace(str(shop_aggregate.directory), "AGG")
    assert not (tmp_path / "dataset").exists()


def test_a_build_refuses_an_unfinished_one(shop: Any, build: Any, tmp_path: Path) -> None:
    (tmp_path / "aggregate").mkdir()
    (tmp_path / "aggregate" / ".unfinished").touch()
    refused = build(tmp_path / "dataset", shop.spec, "--aggregated", str(tmp_path / "aggregate"))
    assert refused.code == 1
    assert "expected a finished aggregate, but the directory has no manifest.json; make it again" in refused.error


# ----------------------------------------------------------------------------------------- a larger log, and bad input


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


@pytest.mark.slow
def test_pairs_are_those_of_the_beam_job(run: Run, raw: Path, tmp_path: Path) -> None:
    flags = ["--spec", "synthetic", "--raw", str(raw), *SET]
    spark = run("aggregate-spark", tmp_path / "aggregate", *flags, "--shards", "3", "--master", "local[2]")
    assert spark.code == 0, spark.error
    assert spark.manifest["counts"]["filtered/cold_item"] > 50
    arguments = make_parser().parse_args([*flags, "--shards", "2", "--output", str(tmp_path / "x")])
    plan = make_plan(arguments, load_spec("synthetic", arguments.overrides))
    run_pipeline(lambda p: _save(aggregate(p, plan).pairs, tmp_path), PipelineOptions([]), local=True)
    expected, found = _rows(tmp_path), _rows(spark.directory / "pairs")
    assert len(found) > 1000
    assert sorted(found, key=_key) == sorted(expected, key=_key)
    assert sum(row["count"] for row in found) == spark.manifest["counts"]["lines/kept"]


def _save(pairs: beam.PCollection, directory: Path) -> None:
    _ = pairs | "Save" >> beam.Map(_save_shard, str(directory))


def _save_shard(element: Keyed, directory: str) -> None:
    pq.write_table(unpack(element[1]), f"{directory}/{element[0]}.parquet")


def _key(row: Json) -> tuple[str, str, int]:
    return row["query_id"], row["item_id"], row["split"]


@pytest.mark.slow
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
    assert doubled.error.endswith("; there may be more: remove all duplicates from the table")
    for output in ("a", "b"):
        assert not (tmp_path / output / "manifest.json").exists()


_ELSEWHERE = """
import os, sys
from dataclasses import replace
from features.spec.file import load_spec
from pipelines.aggregation.plan import make_plan
from pipelines.spark.aggregate import make_parser
from pipelines.spark.job import aggregate
from pipelines.spark.session import start_spark
from stage.command_line import run_command
from stage.output import start_output

def body(argv):
    arguments = make_parser().parse_args(argv)
    spec = load_spec(arguments.spec, arguments.overrides)
    plan = make_plan(arguments, spec)
    target = replace(plan.job.target, directory="aggregate")
    with start_spark("local[1]", []) as spark:
        os.chdir("driver")  # workers stay where Spark began
        start_output("aggregate", "aggregate", run_id=target.run_id, overwrite=False)
        aggregate(spark, replace(plan, job=replace(plan.job, target=target)))

sys.exit(run_command(body))
"""


@pytest.mark.slow
def test_what_workers_wrote_where_the_driver_does_not_see_it_fails_the_job(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "driver").mkdir()
    (tmp_path / "features.py").write_text("raise ImportError('not where workers stand')")
    flags = ["--spec", "synthetic", "--raw", str(raw), "--output", "unused", "--shards", "1"]
    command = [sys.executable, "-P", "-c", _ELSEWHERE, *flags, "--set", "sources.max_reject_ratio=0.1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    failed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    said = failed.stderr.splitlines()[-1]
    assert said.startswith("error: expected workers to write to --output as this machine sees it, but aggregate/")
    assert said.endswith(": named by the manifest but missing; make the aggregate again")
    assert not (tmp_path / "driver/aggregate/manifest.json").exists()
