"""Which aggregates a build takes up."""

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from features.sessions import pair_schema
from features.spec.digest import spec_digest
from features.spec.file import load_spec
from pipelines.aggregation.finished import FinishedAggregate, open_aggregate, take_up
from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import unpack
from pipelines.beam.finished import read_aggregate
from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.errors import StageError, UsageError
from stage.manifest import File, Manifest

SCHEMA = pair_schema(load_spec("synthetic"))
UNDIGESTED = ["sources.max_reject_ratio=0.9", "sources.item_join=shuffle", "statistics.max_new_values=0.4"]


@pytest.mark.parametrize("same", ["2026-03-28", "2026-03-28T00:00:00Z", "2026-03-28T01:00:00+01:00"])
def test_an_aggregate_of_the_same_instants_is_taken_however_they_are_written(tmp_path: Path, same: str) -> None:
    spec = load_spec("synthetic")
    options = {"data_start": "2026-03-28", "data_end": None, "test_start": None}
    digest = spec_digest(spec, "build-dataset")
    Manifest(stage="aggregate", run_id="r", spec_digest=digest, job_options=options).write(str(tmp_path))
    assert open_aggregate(str(tmp_path), spec, job_options=options | {"data_start": same}).run_id == "r"
    for other, got in (("2026-03-28T00:00:01Z", "2026-03-28T00:00:01Z"), (None, "none")):
        with pytest.raises(UsageError) as caught:
            open_aggregate(str(tmp_path), spec, job_options=options | {"data_start": other})
        assert str(caught.value) == (
            f"--aggregated: {tmp_path} was made from another --data-start (2026-03-28 there, {got} here); give the "
            "same, or aggregate again"
        )


def test_an_aggregate_made_under_other_thresholds_is_taken_and_of_another_split_is_not(tmp_path: Path) -> None:
    spec = load_spec("synthetic")
    tree, digest = spec.model_dump(mode="json"), spec_digest(spec, "build-dataset")
    Manifest(stage="aggregate", run_id="r", spec=tree, spec_digest=digest).write(str(tmp_path))
    assert open_aggregate(str(tmp_path), load_spec("synthetic", UNDIGESTED), job_options={}).run_id == "r"
    with pytest.raises(UsageError, match=r"made from another spec \(split\.seed is 0 there, 9 here\); give the"):
        open_aggregate(str(tmp_path), load_spec("synthetic", [*UNDIGESTED, "split.seed=9"]), job_options={})


def test_an_aggregate_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    files = [File(name="pairs/0.parquet", size=1, sha256="")]
    Manifest(stage="aggregate", run_id="r", files=files).write(str(tmp_path))
    with pytest.raises(StageError, match=r"pairs/0.parquet: named by the manifest but missing; make the aggregate"):
        open_aggregate(str(tmp_path), load_spec("synthetic"), job_options={})


def test_a_dataset_says_what_the_aggregate_was_made_of_and_counted(tmp_path: Path) -> None:
    counts = {"lines/read": 9, "pairs": 7, "shards": 3}
    made = Manifest(stage="aggregate", run_id="r", table_days={"items": "2024-01-02"}, inputs={"raw": "x"})
    sizes = {"pairs/0.parquet": 3, "entities/items-0.parquet": 1, "entities/queries-0.parquet": 2, "rejects/0.gz": 9}
    files = [File(name=name, size=size, sha256="") for name, size in sizes.items()]
    made = made.model_copy(
        update={"counts": counts, "rejected": {"not_json": 2}, "content": {"pairs": "y"}, "files": files}
    )
    source = take_up(str(tmp_path), made, spec=load_spec("synthetic"), target=Target("out", "r", 1), job_options={})
    assert source.job.input_digests == {"raw": "x", "aggregate": made.content_digest}
    assert source.counts == {"lines/read": 9, "rejected/not_json": 2}
    assert source.job.table_days == {"items": "2024-01-02"}
    assert source.needed_bytes == 1_300_000_108  # 18 times the pairs and entities


def test_vectors_of_an_aggregate_are_reckoned_by_their_numbers(tmp_path: Path) -> None:
    spec = load_spec("synthetic", ["item.features.of_text={kind: vector, size: 256}"])
    sizes = {"pairs/0.parquet": (100, 9), "entities/items-0.parquet": (2000, 1), "entities/items-1.parquet": (4000, 3)}
    files = [File(name=name, size=size, sha256="", records=records) for name, (size, records) in sizes.items()]
    made = Manifest(stage="aggregate", run_id="r", files=files)
    source = take_up(str(tmp_path), made, spec=spec, target=Target("out", "r", 1), job_options={})
    # 1,024 numbers, 40 bytes each; of 6,100 bytes 4,096 are theirs, and 18 times the 2,004 others.
    assert source.needed_bytes == 1_300_000_000 + 40_960 + 36_072


def test_a_local_build_from_one_that_will_not_fit_leaves_the_old_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.aggregation.local_memory.available", lambda: 1_389_999_999)
    aggregate, output = tmp_path / "aggregate", tmp_path / "dataset"
    (aggregate / "pairs").mkdir(parents=True)
    (aggregate / "pairs/0.parquet").write_bytes(bytes(5_000_000))  # 1.3 GB, and 18 times these
    files = [File(name="pairs/0.parquet", size=5_000_000, sha256="")]
    digest = spec_digest(load_spec("synthetic"), "build-dataset")
    made = Manifest(stage="aggregate", run_id="r", files=files, counts={"shards": 8}, spec_digest=digest)
    made.write(str(aggregate))
    Manifest(stage="dataset", run_id="old").write(str(output))
    flags = ["--spec", "synthetic", "--aggregated", str(aggregate), "--output", str(output), "--overwrite"]
    assert run_command(dispatch, ["build-dataset", *flags]) == 1
    assert capsys.readouterr().err.startswith(
        "error: this input needs about 1 GiB of memory for a build on one machine"
    )
    assert Manifest.read(str(output), "dataset").run_id == "old"


def source_of(directory: Path, files: int) -> FinishedAggregate:
    """An aggregate of so many files of pairs, and nothing else but its mutual information."""
    (directory / "mutual_information.json").write_text("{}")
    written = [File(name=f"pairs/{number}.parquet", size=1, sha256="") for number in range(files)]
    made = Manifest(stage="aggregate", run_id="r", files=written)
    return take_up(str(directory), made, spec=load_spec("synthetic"), target=Target("out", "r", 2), job_options={})


def test_pairs_are_counted_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for number in range(3):
        pq.write_table(SCHEMA.empty_table(), tmp_path / f"pairs/{number}.parquet")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        assert_that(read_aggregate(pipeline, source_of(tmp_path, 3)).pairs | beam.Keys(), equal_to([0, 1, 2]))


def test_a_query_is_hot_by_its_pairs_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.aggregation.placement.HOT_EXAMPLES", 3)
    pair = {"split": 0, "count": 1, "thinned": False}
    (tmp_path / "pairs").mkdir()
    for number, queries in enumerate((["bot", "bot", "u"], ["u", "bot", "bot", "u"])):
        rows = [pair | {"query_id": query, "item_id": f"i{number}{row}"} for row, query in enumerate(queries)]
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / f"pairs/{number}.parquet")
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        hot = read_aggregate(pipeline, source_of(tmp_path, 2)).hot
        ids = hot | beam.FlatMap(lambda keyed: unpack(keyed[1])["id"].to_pylist())
        assert_that(ids, equal_to(["bot"]))
