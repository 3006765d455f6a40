"""Evaluations and verdicts among the items on offer alone."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_files import read_examples
from plain_ranking import recall_at_10_the_plain_way

from features.dataset import Dataset
from model import evaluate, gate, report
from model.network.finished_model import FinishedModel
from model.network.two_tower import load_towers
from stage.command_line import run_command


def ids_of(dataset: Dataset) -> list[str]:
    return sorted(one for table in dataset.entities("items", columns=["id"]) for one in table["id"].to_pylist())


def items_of_test_pairs(dataset: Dataset) -> set[str]:
    return {str(example["item_id"][0], "utf-8") for example in read_examples(dataset.example_files("test"))}


def write_candidates(directory: Path, ids: list[str]) -> str:
    pq.write_table(pa.table({"item_id": ids}), directory / "candidates.parquet")
    return str(directory / "candidates.parquet")


def evaluated(trained: str, dataset: Dataset, output: Path, *more: str) -> int:
    command = ["--model", str(trained), "--dataset", dataset.directory, "--output", str(output), *more]
    return run_command(evaluate.main, command)


def test_items_that_are_no_candidates_are_neither_ranked_nor_looked_for(
    tiny_dataset: Dataset, trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = ids_of(tiny_dataset)[::2]
    candidates = write_candidates(tmp_path, half)
    assert evaluated(trained, tiny_dataset, tmp_path / "all") == 0
    assert evaluated(trained, tiny_dataset, tmp_path / "half", "--candidates", candidates) == 0
    among_all, among_half = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("all", "half"))

    two_tower = load_towers(FinishedModel.open(str(trained)))
    as_bytes = [one.encode() for one in half]
    expected = recall_at_10_the_plain_way(tiny_dataset, two_tower, among=as_bytes)
    assert among_half["overall"]["recall@10"] == pytest.approx(expected)
    assert expected != pytest.approx(among_all["overall"]["recall@10"])
    ranked = among_half["overall"]["pairs"]
    assert 0 < ranked < 51
    assert among_half["head"]["pairs"] + among_half["tail"]["pairs"] == ranked
    assert among_half["baselines"]["popularity"]["overall"]["pairs"] == ranked
    assert among_half["cold_among_cold"]["pairs"] == among_half["cold"]["pairs"]
    assert among_half["candidates"]["items"] == len(half)
    assert "candidates" not in among_all
    said = capsys.readouterr()
    assert f"--candidates: {51 - ranked} of 51 test pairs are of other items, and aren't ranked\n" in said.err
    assert f"test, exact ranking of {len(half)} candidates" in said.out


def test_cold_items_are_ranked_among_the_cold_ones_on_offer(
    tiny_dataset: Dataset, trained: str, tmp_path: Path
) -> None:
    found = {}
    for name, more in (("all", []), ("offered", ["--candidates", write_candidates(tmp_path, cold_pair(tiny_dataset))])):
        assert evaluated(trained, tiny_dataset, tmp_path / name, *more) == 0
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        found[name] = metrics["baselines"]["popularity"]["cold_among_cold"]
    # One of five cold items, then one of two, all equally unlikely.
    assert (found["all"]["pairs"], found["all"]["mrr"]) == (1, pytest.approx(1 / 5))
    assert (found["offered"]["pairs"], found["offered"]["mrr"]) == (1, pytest.approx(1 / 2))


def cold_pair(dataset: Dataset) -> list[str]:
    """The cold item that a test pair has, and another cold one."""
    counts = {
        one: count
        for table in dataset.entities("items", columns=["id", "full_train_count"])
        for one, count in zip(table["id"].to_pylist(), table["full_train_count"].to_pylist(), strict=True)
    }
    cold = sorted(one for one, count in counts.items() if not count)
    tested = {one for one in items_of_test_pairs(dataset) if not counts[one]}
    return [*tested, next(one for one in cold if one not in tested)]


def test_what_was_never_on_offer_can_t_be_evaluated(
    tiny_dataset: Dataset, trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = items_of_test_pairs(tiny_dataset)
    candidates = write_candidates(tmp_path, [one for one in ids_of(tiny_dataset) if one not in tested])
    assert evaluated(trained, tiny_dataset, tmp_path / "none", "--candidates", candidates) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --candidates: expected items of the 51 test pairs among them, found none; name the items that were on "
        "offer when these pairs were logged"
    )
    assert not (tmp_path / "none" / "metrics.json").exists()


def test_a_verdict_is_of_the_candidates(
    tiny_dataset: Dataset, trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = write_candidates(tmp_path, ids_of(tiny_dataset)[::2])
    assert evaluated(trained, tiny_dataset, tmp_path / "half", "--candidates", half) == 0
    metrics = json.loads((tmp_path / "half" / "metrics.json").read_text())
    capsys.readouterr()
    command = ["--model", str(trained), "--dataset", tiny_dataset.directory, "--published", str(tmp_path / "p")]
    assert run_command(gate.main, [*command, "--candidates", half, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["candidates"] == metrics["candidates"]
    found = json.loads(said.out)["recall@50"]
    for name in ("overall", "tail"):
        assert found[name]["challenger"] == pytest.approx(metrics[name]["recall@50"])
        assert found[name]["users"] == metrics[name]["queries"]
    assert (
        "warning: no query has more than 30 items ranked, all of which are among the first 50 of any ranking"
        in said.err
    )
    assert run_command(gate.main, [*command, "--candidates", half]) == 0
    assert "against no champion, exact ranking of 30 candidates" in " ".join(capsys.readouterr().out.split())


def test_a_report_is_of_all_items(
    tiny_dataset: Dataset, trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "dataset").symlink_to(tiny_dataset.directory)
    (run / "model").symlink_to(trained)
    half = write_candidates(tmp_path, ids_of(tiny_dataset)[::2])
    assert evaluated(trained, tiny_dataset, run, "--candidates", half) == 0
    capsys.readouterr()
    assert run_command(report.main, ["--run", str(run)]) == 1
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith(
            f"error: {run}/metrics.json: expected metrics of a ranking of all items, as the report's are, found those "
            "of --candidates; give these another --output; ssl-two-tower evaluate "
        )
    )
