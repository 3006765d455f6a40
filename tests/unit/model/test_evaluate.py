import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import tensorflow as tf
from plain_ranking import recall_at_10_the_plain_way

from features.dataset import Dataset
from features.spec.file import build_spec
from model.evaluate import SHOWN_SLICES, _show, main
from model.network.finished_model import FinishedModel
from model.network.two_tower import TwoTower, save_weights
from model.ranking.held_out import warn_if_seen
from stage.command_line import run_command
from stage.errors import UsageError
from stage.manifest import Manifest, describe_files

NAMES = ["pairs", "queries", "recall@10", "recall@50", "map@10", "map@50", "ndcg@10", "mrr"]


def write_model(directory: Path, dataset: Dataset, *, diverged: bool = False) -> TwoTower:
    """A model that was never trained."""
    two_tower = TwoTower(dataset.spec, dataset.manifest.vocabularies)
    if diverged:
        for weight in two_tower.weights().values():
            weight.assign(tf.fill(weight.shape, math.nan))
    save_weights(two_tower, str(directory))
    Manifest(
        stage="model",
        run_id="never-trained",
        spec=dataset.manifest.spec,
        vocabularies=dataset.manifest.vocabularies,
        transform_digest=dataset.manifest.transform_digest,
        content={"weights": "3"},
        files=describe_files(str(directory)),
    ).write(str(directory))
    return two_tower


@pytest.fixture(scope="module")
def model(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("evaluated") / "model"
    write_model(directory, tiny_dataset)
    return directory


def arguments(model: Path, dataset: Dataset, output: Path, *more: str) -> list[str]:
    return ["--model", str(model), "--dataset", dataset.directory, "--output", str(output), *more]


def test_metrics_json(tiny_dataset: Dataset, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a[" / "b]"  # no markup
    main(arguments(model, tiny_dataset, output))

    found = json.loads((output / "metrics.json").read_text())
    for metrics in (found, *found["baselines"].values()):
        for name in ("overall", "head", "tail", "cold", "cold_among_cold"):
            assert list(metrics[name]) == NAMES
    assert set(found["baselines"]) == {"popularity", "co_occurrence"}
    assert found["overall"]["pairs"] == 51
    assert found["head"]["pairs"] + found["tail"]["pairs"] == 51
    assert found["cold"]["pairs"] == found["cold_among_cold"]["pairs"] == 1
    # There are five cold items.
    assert found["cold_among_cold"]["recall@10"] == 1
    assert found["cold_among_cold"]["mrr"] >= max(1 / 5, found["cold"]["mrr"])
    # What is equally unlikely to popularity comes last.
    assert found["baselines"]["popularity"]["cold_among_cold"]["mrr"] == pytest.approx(1 / 5)
    assert found["split"] == "test"
    assert found["settings"] == {
        "exclude_known": True, "exclude_self": True, "batch_size": 8192, "baselines": True, "max_queries": None
    }  # fmt: skip
    assert found["digests"] == {
        "model": Manifest.read(str(model), "model").content_digest,
        "dataset": tiny_dataset.manifest.content_digest,
    }
    assert [p.name for p in output.iterdir()] == ["metrics.json"]
    printed, progress = capsys.readouterr()
    once_more = found["cold_among_cold"]["queries"]
    for bar, rankings in (
        ("evaluate test", found["overall"]["queries"] + once_more),
        ("evaluate: baselines", 2 * (found["overall"]["queries"] + once_more)),
    ):
        assert re.search(rf"{bar}: 100%.* {rankings}\.?0?/{rankings}\.?0? \[.* rankings/s\]", progress), progress
    assert f"written: {output}/metrics.json\n" in printed
    assert "co-occurrence" in printed
    assert f"{found['overall']['recall@10']:.4f}" in printed


def test_without_baselines_co_occurrence_is_not_counted(
    tiny_dataset: Dataset, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.ranking.split_scorers.co_occurrence", lambda *_, **__: pytest.fail("it was counted"))
    main(arguments(model, tiny_dataset, tmp_path, "--set", "evaluate.baselines=false"))
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["baselines"] == {}
    assert found["overall"]["pairs"] == 51


def test_recall_is_the_plain_way_s(tiny_dataset: Dataset, model: Path, tmp_path: Path) -> None:
    main(arguments(model, tiny_dataset, tmp_path, "--set", "evaluate.batch_size=7"))
    found = json.loads((tmp_path / "metrics.json").read_text())
    two_tower = TwoTower(tiny_dataset.spec, tiny_dataset.manifest.vocabularies)
    expected = recall_at_10_the_plain_way(tiny_dataset, two_tower)
    assert 0 < expected < 1
    assert found["overall"]["recall@10"] == pytest.approx(expected)


def test_popularity_beats_chance_where_items_are_unequal(tiny_dataset: Dataset, model: Path, tmp_path: Path) -> None:
    main(arguments(model, tiny_dataset, tmp_path))
    baselines = json.loads((tmp_path / "metrics.json").read_text())["baselines"]
    assert baselines["popularity"]["overall"]["recall@10"] > 10 / 50
    # The cold item ties with the other cold ones at the end of both.
    assert baselines["popularity"]["cold"]["recall@10"] == 0
    assert baselines["co_occurrence"]["cold"]["recall@10"] == 0


def test_json_and_another_split(
    tiny_dataset: Dataset, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments(model, tiny_dataset, tmp_path, "--split", "validation", "--json"))
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "metrics.json").read_text())
    assert printed["split"] == "validation"
    assert printed["overall"]["pairs"] == 50
    assert printed["cold"] == {"pairs": 0, "queries": 0} | dict.fromkeys(NAMES[2:])


def test_known_items_are_left_out_unless_asked_for(tiny_dataset: Dataset, model: Path, tmp_path: Path) -> None:
    main(arguments(model, tiny_dataset, tmp_path / "without"))
    main(arguments(model, tiny_dataset, tmp_path / "with", "--set", "evaluate.exclude_known=false"))
    mrr = [
        json.loads((tmp_path / name / "metrics.json").read_text())["baselines"]["popularity"]["overall"]["mrr"]
        for name in ("without", "with")
    ]
    assert mrr[0] > mrr[1]


def test_what_a_model_was_validated_by_it_is_evaluated_by(tiny_dataset: Dataset, model: Path, tmp_path: Path) -> None:
    validated = shutil.copytree(model, tmp_path / "model")
    spec = build_spec(tiny_dataset.manifest.spec, ["evaluate.exclude_known=false"], source="s").model_dump(mode="json")
    Manifest.read(str(validated), "model").model_copy(update={"spec": spec}).write(str(validated))
    main(arguments(validated, tiny_dataset, tmp_path, "--set", "evaluate.baselines=false"))
    settings = json.loads((tmp_path / "metrics.json").read_text())["settings"]
    assert settings == spec["evaluate"] | {"baselines": False}


def test_other_files_of_the_output_are_left_alone(tiny_dataset: Dataset, model: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "kept").write_text("kept")
    main(arguments(model, tiny_dataset, tmp_path))
    assert (tmp_path / "dataset" / "kept").read_text() == "kept"


def test_metrics_are_replaced_only_when_asked(
    tiny_dataset: Dataset, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.json").write_text("old")
    assert run_command(main, arguments(model, tiny_dataset, tmp_path)) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "metrics.json").read_text() == "old"
    assert run_command(main, arguments(model, tiny_dataset, tmp_path, "--overwrite")) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["overall"]["pairs"] == 51


def test_a_finished_evaluation_of_the_same_is_printed_again_and_another_refused(
    tiny_dataset: Dataset,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = ["--set", "evaluate.baselines=false", "--skip-done"]
    path = tmp_path / "metrics.json"
    main(arguments(model, tiny_dataset, tmp_path, *fast))
    printed, found = capsys.readouterr().out, path.read_bytes()
    shown, written, rest = printed.rpartition(f"written: {path}\n")
    assert (bool(written), rest) == (True, "")
    again = arguments(model, tiny_dataset, tmp_path, *fast, "--overwrite")
    lacking = "import sys; sys.modules['tensorflow'] = None; import pipelines.cli; pipelines.cli.main()"
    process = subprocess.run(
        [sys.executable, "-c", lacking, "evaluate", *again], capture_output=True, text=True, check=True
    )
    assert (process.stdout, process.stderr) == (shown, f"evaluate: done before, in {path}\n")
    monkeypatch.setattr("model.evaluate.evaluate", lambda *_, **__: pytest.fail("it was ranked"))
    for flags, what in (
        (fast[:2], "is there already"),
        ([*fast, "--split=validation"], "was made from another split"),
        (fast[2:], "was made from another section evaluate"),
    ):
        assert run_command(main, arguments(model, tiny_dataset, tmp_path, *flags)) == 1
        assert capsys.readouterr().err == f"error: {path}: {what}; --overwrite makes it again\n"
    assert path.read_bytes() == found


def test_more_epochs_are_advised_where_the_last_validation_was_the_best(
    tiny_dataset: Dataset, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, path = shutil.copytree(model, tmp_path / "model"), tmp_path / "metrics.json"
    manifest = Manifest.read(str(trained), "model")
    main(arguments(trained, tiny_dataset, tmp_path))
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"overall": found["overall"] | {"recall@50": 0.0}}))
    capsys.readouterr()
    for recalls, advised in ((None, False), ((0.1, 0.2), True), ((0.2, 0.1), False)):
        if recalls is not None:
            history = [{"step": 8, "recall@50": recalls[0]}, {"step": 16, "recall@50": recalls[1]}]
            (trained / "history.json").write_text(json.dumps(history))
        (trained / "manifest.json").unlink()
        manifest.model_copy(update={"files": describe_files(str(trained))}).write(str(trained))
        main(arguments(trained, tiny_dataset, tmp_path, "--skip-done"))
        (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("no better than")]
        assert ("more train.epochs" in told) is advised


def test_where_nothing_can_be_written_nothing_is_ranked(
    tiny_dataset: Dataset,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("model.evaluate.evaluate", lambda *_, **__: pytest.fail("it was ranked"))
    (tmp_path / "file").touch()
    assert run_command(main, arguments(model, tiny_dataset, tmp_path / "file")) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/file: expected a directory, found a file; give another one\n"


def test_the_table_says_a_slice_once(capsys: pytest.CaptureFixture[str]) -> None:
    def ranking(value: float | None) -> dict[str, object]:
        counts = {"pairs": 1234, "queries": 99}
        found: dict[str, object] = {name: counts | dict.fromkeys(NAMES[2:], value) for name in SHOWN_SLICES}
        return found | {"cold": {"pairs": 0, "queries": 0} | dict.fromkeys(NAMES[2:])}

    result = ranking(0.25) | {"baselines": {"co_occurrence": ranking(0.125)}}
    _show(result, split="validation", path="out/metrics.json")
    title, *table = capsys.readouterr().out.splitlines()
    assert title.strip() == "validation, exact ranking of all candidates"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table if "│" in line]
    shown = []
    for name in ("overall", "head", "tail", "cold", "cold among cold"):
        counts, (own, others) = (["0", "0"], "--") if name == "cold" else (["1,234", "99"], ("0.2500", "0.1250"))
        shown += [[name, "model", *counts, *[own] * 6], ["", "co-occurrence", "", "", *[others] * 6]]
    assert rows == shown


@pytest.mark.parametrize(
    ("width", "columns", "left_out"),
    [
        (118, NAMES, ""),
        (117, NAMES[:-1], "mrr"),
        (81, NAMES[:4], "map@10, map@50, ndcg@10, mrr"),
        (80, NAMES[2:4], "pairs, queries, map@10, map@50, ndcg@10, mrr"),
        (40, NAMES[2:4], "pairs, queries, map@10, map@50, ndcg@10, mrr"),  # and the terminal breaks the lines
    ],
)
def test_where_there_is_little_room_columns_are_left_out_and_no_number_is_cut(
    width: int, columns: list[str], left_out: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stage.console._WIDTH_OF_A_FILE", width)
    values = dict.fromkeys(NAMES, 0.25) | {"pairs": 1_234_567, "queries": 99}
    ranking: dict[str, object] = dict.fromkeys(SHOWN_SLICES, values)
    _show(ranking | {"baselines": {"co_occurrence": ranking}}, split="test", path="m.json")
    lines = capsys.readouterr().out.splitlines()
    head, *rows = [
        [cell.strip() for cell in line[1:-1].replace("┃", "│").split("│")] for line in lines if line[0] in "┃│"
    ]
    assert head == ["", "", *columns]
    shown = {"pairs": "1,234,567", "queries": "99"}
    assert rows[0] == ["overall", "model", *(shown.get(name, "0.2500") for name in columns)]
    assert rows[1] == ["", "co-occurrence", *("" if name in shown else "0.2500" for name in columns)]
    said = [f"too narrow for {left_out}, which m.json has too"] if left_out else []
    assert [line for line in lines if line.startswith("too narrow")] == said


@pytest.mark.parametrize("mark", ["manifest.json", ".unfinished"])
def test_into_another_command_s_output_nothing_is_written(
    tiny_dataset: Dataset, model: Path, tmp_path: Path, mark: str
) -> None:
    (tmp_path / mark).touch()
    said = f"^{tmp_path}: expected no output of another command, found one; give another --output$"
    with pytest.raises(UsageError, match=said):
        main(arguments(model, tiny_dataset, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [mark]


def test_the_split_that_a_model_was_trained_on_is_refused_in_one_line(
    tiny_dataset: Dataset, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(main, arguments(model, tiny_dataset, tmp_path / "out", "--split", "train")) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "invalid choice: 'train'" in error
    assert not (tmp_path / "out").exists()


def test_a_model_that_may_have_seen_the_split_is_told(
    tiny_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    write_model(model, tiny_dataset)
    manifest = Manifest.read(str(model), "model")
    split = {**tiny_dataset.manifest.spec["split"], "seed": 7}
    other = {"dataset": "another"}
    manifest.model_copy(update={"inputs": other, "spec": {**manifest.spec, "split": split}}).write(str(model))
    assert run_command(main, arguments(model, tiny_dataset, tmp_path / "a")) == 0
    seen = (
        f"warning: {model} is of another dataset than {tiny_dataset.directory} and may have been trained on pairs of "
        "its test split, so that its figures are too good: split.seed was 7, is 0\n"
    )
    assert seen in capsys.readouterr().err
    assert json.loads((tmp_path / "a" / "metrics.json").read_text())["seen"] == "split.seed was 7, is 0"
    manifest.model_copy(update={"inputs": other}).write(str(model))
    assert run_command(main, arguments(model, tiny_dataset, tmp_path / "b")) == 0
    assert "warning" not in capsys.readouterr().err
    assert "seen" not in json.loads((tmp_path / "b" / "metrics.json").read_text())
    of_a_key = manifest.model_copy(update={"inputs": other | {"pseudonyms": "a"}})
    warn_if_seen(FinishedModel(str(model), of_a_key), dataset=tiny_dataset, split="test")
    assert "too good: ids have other pseudonyms, of another key or " in capsys.readouterr().err


def test_a_split_by_time_is_seen_by_a_model_whose_data_ends_later(
    tiny_dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    by_time = "split={method: time, test_start: 2024-04-01, validation_seconds: 86400}"
    spec = build_spec(tiny_dataset.manifest.spec, ["sources.interactions.timestamp=at", by_time], source="test")
    # The option goes before the spec.
    given = {"spec": spec.model_dump(mode="json"), "job_options": {"test_start": "2024-03-02"}}
    manifest = tiny_dataset.manifest.model_copy(update=given)
    dataset = replace(tiny_dataset, manifest=manifest, spec=spec)
    told = {}
    for end in ("2024-03-01", "2024-03-02", "2024-03-03", None):
        options = {} if end is None else {"data_end": end}
        model = manifest.model_copy(update={"stage": "model", "job_options": options})
        for name in ("validation", "test"):
            warn_if_seen(FinishedModel("m", model), dataset=dataset, split=name)
            err = capsys.readouterr().err
            told[end, name] = f"too good: what it was trained on ends {end or '2024-04-01'}T00:00:00+00:00, " in err
    assert told == {
        ("2024-03-01", "validation"): False, ("2024-03-01", "test"): False,
        ("2024-03-02", "validation"): True, ("2024-03-02", "test"): False,
        ("2024-03-03", "validation"): True, ("2024-03-03", "test"): True,
        (None, "validation"): True, (None, "test"): True,
    }  # fmt: skip
    # One of the same days, as of a dataset that was built again, knows nothing of the test split; but its validation
    # chose its weights.
    again = manifest.model_copy(
        update={"stage": "model", "job_options": given["job_options"] | {"data_end": "2024-03-03"}}
    )
    for name in ("test", "validation"):
        warn_if_seen(FinishedModel("m", again), dataset=dataset, split=name)
        told[name] = capsys.readouterr().err.rpartition(": ")[2]
    assert told["test"] == ""
    ends, begins = "2024-03-02T00:00:00+00:00", "2024-03-01T00:00:00+00:00"
    assert told["validation"] == f"what it was trained on ends {ends}, and the validation split begins {begins}\n"
    # A model of the dataset itself has seen the days of its splits, and none of their pairs.
    own = model.model_copy(update={"inputs": {"dataset": manifest.content_digest}})
    warn_if_seen(FinishedModel("m", own), dataset=dataset, split="test")
    assert capsys.readouterr().err == ""


def test_a_dataset_is_no_model(tiny_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(main, arguments(Path(tiny_dataset.directory), tiny_dataset, tmp_path)) == 1
    assert "expected a model, found a dataset" in capsys.readouterr().err


def test_a_diverged_model_leaves_no_metrics_but_those_that_were_there(
    make_dataset: Callable[..., Dataset], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset()
    write_model(tmp_path / "model", dataset, diverged=True)
    assert run_command(main, arguments(tmp_path / "model", dataset, tmp_path / "out")) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.match(f"error: {tmp_path}/model: expected finite embeddings, found .* with NaN or infinity", error)
    path = tmp_path / "out" / "metrics.json"
    assert not path.exists()
    path.write_text("of the model before")
    assert run_command(main, [*arguments(tmp_path / "model", dataset, tmp_path / "out"), "--overwrite"]) == 1
    assert path.read_text() == "of the model before"
