"""The gate as a command, and a training that starts from what is published."""

import json
import shutil
from types import SimpleNamespace

import pytest
from manifests import rewrite
from negated_model import negate
from published_exports import SPEC, publish_export

from model import evaluate, gate, train
from model.ranking.bootstrap import Estimate
from model.ranking.verdict import SliceVerdict, Verdict
from stage.command_line import run_command
from stage.manifest import Manifest

SHORT = ("--set", "train.epochs=1", "--set", "ssl.alpha=0")


@pytest.mark.parametrize("start", [(), ("--cold-start",), ("--warm-start", "good")])
def test_a_training_leaves_a_published_model_whatever_it_starts_from(models, tmp_path, capsys, monkeypatch, start):
    monkeypatch.chdir(models)
    base, model = tmp_path / "published", models / "bad"
    publish_export(base, "one", model=model)
    before = (model / "manifest.json").read_bytes()
    command = ["--dataset", "dataset", "--published", str(base), "--set", "train.epochs=1", *start]
    capsys.readouterr()
    assert run_command(train.main, [*command, "--output", "bad", "--skip-done", "--overwrite"]) == 1
    assert capsys.readouterr().err.startswith(
        f"error: bad: {base}/1 was exported from it, so it must stay; it was made "
    )
    assert (model / "manifest.json").read_bytes() == before


def test_a_cold_start_takes_nothing_of_a_published_model(models, tmp_path, capsys):
    base, output = tmp_path / "published", tmp_path / "model"
    publish_export(base, "one", model=models / "good")
    command = ["--dataset", str(models / "dataset"), "--published", str(base), *SHORT]
    train.main([*command, "--cold-start", "--output", str(output)])
    assert set(Manifest.read(str(output), "model").inputs) == {"dataset"}
    assert "starts from" not in capsys.readouterr().err


def test_a_training_says_why_it_starts_from_no_published_model(models, tmp_path, capsys):
    base = tmp_path / "published"
    command = ["--dataset", str(models / "dataset"), "--published", str(base), *SHORT]
    train.main([*command, "--output", str(tmp_path / "first")])
    nothing = f"starts from nothing: nothing is published in {base}, which is not there"
    assert nothing in capsys.readouterr().err.splitlines()
    publish_export(base, "first", model=tmp_path / "first")
    # Published by now, it is the same training all the same.
    train.main([*command, "--output", str(tmp_path / "first"), "--skip-done"])
    assert f"train: done before, in {tmp_path}/first" in capsys.readouterr().err.splitlines()
    # So it is once another challenger is published too, from which it would start now.
    publish_export(base, "good", model=models / "good")
    train.main([*command, "--output", str(tmp_path / "first"), "--skip-done"])
    assert f"train: done before, in {tmp_path}/first" in capsys.readouterr().err.splitlines()
    for flags, said in (
        (("--set", "train.epochs=2"), "another spec (train.epochs is 1 there, 2 here)"),
        (("--warm-start", str(models / "good")), "another input (warm_start)"),
    ):
        again = [*command, "--output", str(tmp_path / "first"), "--skip-done", "--overwrite", *flags]
        assert run_command(train.main, again) == 1
        must = f"error: {tmp_path}/first: {base}/1 was exported from it, so it must stay; it was made from "
        assert capsys.readouterr().err.splitlines()[-1] == f"{must}{said}; give another --output"
    shutil.rmtree(base)
    publish_export(base, "one", model=models / "good", spec=SPEC | {"split": SPEC["split"] | {"seed": 5}})
    train.main([*command, "--output", str(tmp_path / "second")])
    reason = f"every model published in {base} may have been trained on this test split"
    assert f"starts from nothing: {reason}" in capsys.readouterr().err.splitlines()


@pytest.fixture(scope="module")
def models(tiny_dataset, trained, tmp_path_factory):
    """A dataset, a model of it, one that ranks alike, and one that ranks as these do, but the last first."""
    directory = tmp_path_factory.mktemp("gate")
    (directory / "dataset").symlink_to(tiny_dataset.directory)
    shutil.copytree(trained, directory / "good")
    assert set(Manifest.read(str(directory / "good"), "model").inputs) == {"dataset"}
    for name in ("alike", "bad"):
        shutil.copytree(directory / "good", directory / name)
    rewrite(directory / "alike", content={"weights": "another's"})
    negate(directory / "bad")
    return directory


@pytest.fixture
def ask(models, tmp_path, capsys):
    """`ask(challenger, *flags)`: exit code, verdict or None, stderr."""

    def run(challenger, *flags, dataset="dataset"):
        arguments = ["--model", models / challenger, "--dataset", models / dataset, *flags]
        arguments += ["--published", tmp_path / "published", "--json"]
        capsys.readouterr()
        code = run_command(gate.main, [str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, json.loads(said.out) if code == 0 else None, said.err

    return run


def warnings_in(err):
    return [line.partition(":")[2].strip() for line in err.splitlines() if line.startswith("warning:")]


def test_a_verdict_that_a_random_ranking_may_reach_is_warned_of(models, ask, tmp_path, monkeypatch):
    (said,) = warnings_in(ask("good", "--set", "gate.floor=0.909")[2])
    assert said.startswith("a random ranking of 55 items has a Recall@50 of 0.91, and gate.floor is 0.909, so ")
    for floor in ("0.9091", "0"):
        assert warnings_in(ask("good", "--set", f"gate.floor={floor}")[2]) == []
    monkeypatch.setattr("model.ranking.cut_off.CUT_OFF", 59)
    (said,) = warnings_in(ask("good")[2])
    assert said.endswith("nothing can be chosen by Recall@59: the verdict says nothing of what a model recommends")
    monkeypatch.undo()
    publish_export(tmp_path / "published", "good", model=models / "good")
    assert warnings_in(ask("bad")[2]) == []


def test_verdicts(models, ask, tmp_path, capsys):
    base = tmp_path / "published"
    code, found, err = ask("good")
    assert (code, found["publish"], found["verdict"], found["champion"]) == (0, True, "first_model", None)
    assert found["served"] is None
    assert f"nothing is published in {base}, which is not there: the model is judged as a first one\n" in err
    assert not base.exists()
    base.mkdir()
    assert f"nothing is published in {base}: the model is judged as a first one\n" in ask("good")[2]
    first = ask("good", "--set", "evaluate.max_queries=1")[1]["recall@50"]["overall"]
    assert first["users"] == 1 < found["recall@50"]["overall"]["users"]
    found = ask("bad")[1]  # the good one may find all
    assert ask("bad", "--set", "gate.floor=1")[:2] == (0, found | {
        "publish": False, "verdict": "below_floor",
        "recall@50": found["recall@50"] | {
            "overall": found["recall@50"]["overall"] | {"bound": 1, "finding": "below_floor"}
        },
    })  # fmt: skip

    publish_export(base, "good", model=models / "good")
    code, found, err = ask("bad")
    assert (code, found["publish"], found["verdict"], found["champion"]) == (0, False, "worse", f"{base}/1")
    assert "nothing is published" not in err
    assert (found["served"], found["served_model"]) == (1, str(models / "good"))
    for name in ("good", "bad"):
        arguments = ["--model", models / name, "--dataset", models / "dataset", "--output", tmp_path / name]
        assert run_command(evaluate.main, [str(argument) for argument in arguments]) == 0
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        role = "champion" if name == "good" else "challenger"
        for slice_name in ("overall", "tail"):
            assert found["recall@50"][slice_name][role] == pytest.approx(metrics[slice_name]["recall@50"])
    # Published already, it isn't compared with itself.
    found = ask("good")[1]
    assert (found["verdict"], found["served"], found["served_model"]) == ("first_model", 1, str(models / "good"))
    publish_export(base, "alike", model=models / "alike")
    # Alike, but of 51 pairs.
    found = ask("good")[1]
    assert (found["verdict"], found["publish"]) == ("too_little_data", False)
    overall = found["recall@50"]["overall"]
    assert overall["difference"] == {"value": 0, "low": 0, "high": 0}
    assert (overall["users"], overall["needed"]) == (metrics["overall"]["queries"], 150)
    wide = ("--set", "gate.margin=0.5", "--set", "gate.tail_margin=0.9")
    assert ask("good", *wide)[1]["verdict"] == "replaces"
    publish_export(base, "bad", model=models / "bad")
    # Far better.
    assert ask("good")[1]["verdict"] == "too_little_data"
    assert ask("good", *wide)[1]["verdict"] == "replaces"

    arguments = ["--model", models / "good", "--dataset", models / "dataset", "--published", base]
    assert run_command(gate.main, [str(argument) for argument in [*arguments, *wide]]) == 0
    assert "publish: overall and tail recall@50" in capsys.readouterr().out


NO_INTERVAL = Estimate(None, None, None)
TOO_LITTLE = (
    "publish nothing: too little data; take a longer test split, or wider margins (gate.margin, gate.tail_margin)"
)


@pytest.mark.parametrize(
    ("verdict", "champion", "rows", "said"),
    [
        (
            Verdict("too_little_data", {
                "overall": SliceVerdict(0.25, None, NO_INTERVAL, 0.05, 1, 1, "above_floor"),
                "tail": SliceVerdict(None, None, NO_INTERVAL, 0.01, 0, 1, "too_little_data"),
            }),
            None,
            ["overall | 0.2500 | - | - | 0.05 | above floor", "tail | - | - | - | 0.01 | too little data"],
            ["tail: 0 queries have a pair, too few: expected 1 or more", TOO_LITTLE],
        ),
        (
            Verdict("too_little_data", {
                "overall": SliceVerdict(0.5, 0.5, Estimate(0, -0.5, 0.5), 0.02, 1500, 150, "too_little_data"),
                "tail": SliceVerdict(0.25, 0.25, Estimate(0, 0, 0), 0.002, 1499, 1500, "too_little_data"),
            }),
            "published/1",
            [
                "overall | 0.5000 | 0.5000 | +0.0000 (-0.5000 to +0.5000) | 0.02 | too little data",
                "tail | 0.2500 | 0.2500 | +0.0000 (+0.0000 to +0.0000) | 0.002 | too little data",
            ],
            [
                "overall: the interval is 1.0000 wide, too wide: expected at most the margin, 0.02",
                "tail: 1,499 queries have a pair, too few: expected 1,500 or more",
                TOO_LITTLE,
            ],
        ),
        (
            Verdict("worse", {
                "overall": SliceVerdict(0.25, 0.125, Estimate(0.125, 0.0625, 0.1875), 0.05, 60, 60, "better"),
                "tail": SliceVerdict(0.5, 0.75, Estimate(-0.25, -0.375, -0.125), 0.1, 4, 30, "worse"),
            }),
            "published/1",
            [
                "overall | 0.2500 | 0.1250 | +0.1250 (+0.0625 to +0.1875) | 0.05 | better",
                "tail | 0.5000 | 0.7500 | -0.2500 (-0.3750 to -0.1250) | 0.1 | worse",
            ],
            ["keep the champion: recall@50 is worse, or may be by more than the margin"],
        ),
        (Verdict("older_interval", {}), None, [], ["keep the champion: the data of what is published ends later"]),
    ],
)  # fmt: skip
def test_what_people_are_told(capsys, verdict, champion, rows, said):
    gate._show(verdict, None if champion is None else SimpleNamespace(directory=champion), drawn="queries", ranked="")
    lines = capsys.readouterr().out.replace("┃", "│").splitlines()
    table, last = lines[: -len(said)], lines[-len(said) :]
    shown = [" | ".join(cell.strip() for cell in line.split("│")[1:-1]) for line in table if "│" in line]
    bound = "floor" if champion is None else "margin"
    assert shown == ([f" | challenger | champion | difference | {bound} | ", *rows] if rows else [])
    assert [line.strip() for line in table[:1]] == [f"test recall@50, against {champion or 'no champion'}"] * bool(rows)
    assert last == said


def test_at_80_columns_no_number_is_cut(capsys, monkeypatch):
    monkeypatch.setattr("stage.console._WIDTH_OF_A_FILE", 80)
    found = SliceVerdict(0.25, 0.125, Estimate(0.125, 0.0625, 0.1875), 0.05, 60, 60, "within_margin")
    gate._show(Verdict("replaces", {"overall": found}), SimpleNamespace(directory="P/1"), drawn="queries", ranked="")
    lines = capsys.readouterr().out.replace("┃", "│").splitlines()
    rows = [[cell.strip() for cell in line[1:-1].split("│")] for line in lines if line[0] == "│"]
    assert rows == [
        ["", "challenger", "champion", "difference", "margin", ""],
        ["overall", "0.2500", "0.1250", "+0.1250", "0.05", "within"],
        ["", "", "", "(+0.0625 to +0.1875)", "", "margin"],
    ]


def alter(model, copy, **fields):
    """A copy of a model with other fields in its manifest."""
    rewrite(shutil.copytree(model, copy), **fields)
    return copy


def test_an_older_interval_keeps_the_champion(models, ask, tmp_path):
    for name, data_end in (("earlier", "2009-07-30"), ("later", "2009-07-31")):
        publish_export(tmp_path / "published", name, model=models / "good", data_end=data_end)
    other = alter(models / "bad", tmp_path / "other", job_options={"data_end": "2009-07-30T23:00:00Z"})
    code, found, err = ask(other)
    assert (code, found["publish"], found["verdict"], found["recall@50"]) == (0, False, "older_interval", {})
    base = tmp_path / "published"
    assert err == f"{base}/2: its data ends at 2009-07-31, after the new model's (2009-07-30T23:00:00Z)\n"
    assert found["served"] == 2


@pytest.mark.parametrize(
    ("served", "champion", "outcome", "again"),
    [
        ("a", "a", "worse", "at/a"),
        ("new", "a", "worse", "at/new"),  # a warm start that nothing beat has the served model's weights
        ("a", "b", "worse", None),  # which may not fit the dataset
        ("a", None, "too_little_data", None),
        ("new", None, "older_interval", None),
        (None, None, "below_floor", None),
    ],
)
def test_what_is_served_may_be_exported_again_if_it_ranked_the_split(served, champion, outcome, again):
    def published(model):
        manifest = SimpleNamespace(job_options={"model": f"at/{model}"}, inputs={})
        return model and SimpleNamespace(model=model, manifest=manifest)

    ranked = {"challenger": SimpleNamespace(content_digest="new", inputs={}), "champion": published(champion)}
    assert gate._to_export_again(published(served), Verdict(outcome, {}), **ranked) == again


def test_a_champion_of_an_older_key_ranks_but_is_not_exported_with_ids_of_another(models, ask, tmp_path):
    base, spec = tmp_path / "published", Manifest.find(str(models / "dataset")).spec
    spec["sources"]["interactions"]["timestamp"] = "at"
    spec["split"] = {"method": "time", "validation_seconds": 3600, "test_start": "2009-07-31"}
    by_time = alter(models / "dataset", tmp_path / "by-time", spec=spec)
    publish_export(base, "good", model=models / "good", data_end="2009-07-30")
    _, found, err = ask("bad", dataset=by_time)
    assert found is not None, err
    assert (found["verdict"], found["champion"], found["served_model"]) == ("worse", f"{base}/1", str(models / "good"))
    publish_export(base, "alike", model=models / "alike", data_end="2009-07-30", pseudonyms="of an older key")
    found = ask("bad", dataset=by_time)[1]
    assert (found["verdict"], found["champion"], found["served_model"]) == ("worse", f"{base}/2", None)


def test_a_candidate_of_another_dataset_is_refused(models, ask, tmp_path):
    code, _, err = ask(alter(models / "bad", tmp_path / "other", inputs={"dataset": "another"}))
    assert (code, "expected a model trained on" in err) == (1, True)
