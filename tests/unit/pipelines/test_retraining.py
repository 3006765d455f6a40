"""What the retraining DAG tells its commands and who is to be told, as far as it needs no Airflow."""

import re
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from features.spec.sections_read import SECTIONS_READ
from features.spec.spec import Spec
from model.options.export import make_parser as make_export_parser
from model.options.train import make_parser
from pipelines import publish, remove_runs, validate
from pipelines.build_options import make_parser as make_build_parser
from pipelines.nightly_runs import is_run
from pipelines.spark.aggregate import make_parser as make_spark_parser


@pytest.fixture
def retraining(tmp_path, monkeypatch):
    """`retraining(module)`: one of the folder's modules, imported as from a folder of DAGs."""
    (tmp_path / "retraining").symlink_to(Path(__file__).parents[3] / "pipelines" / "retraining")
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda module: import_module(f"retraining.{module}")


@pytest.fixture
def make_night(retraining):
    """`make_night(**settings)`: that of 2009-07-29."""

    def make(**settings):
        start, end = (datetime(2009, 7, day, tzinfo=UTC) for day in (29, 30))
        made = retraining("settings").Settings(**{"output": "out", **settings})
        return retraining("night").Night(made, start, end)

    return make


@pytest.mark.parametrize(
    ("output", "directory"), [("out/", "out"), ("/mnt//", "/mnt"), ("gs://BUCKET/", "gs://BUCKET")]
)
def test_slashes_after_an_output_make_no_other(make_night, output, directory):
    assert make_night(output=output).published == f"{directory}/published"


@pytest.mark.parametrize("output", ["", "/", "//", "gs://"])
def test_an_output_is_no_root(make_night, output):
    said = f"expected a directory of its own, such as retraining or gs://BUCKET/retraining, got '{output}'"
    with pytest.raises(ValueError, match=re.escape(said)):
        make_night(output=output)


@pytest.mark.parametrize("warm_start", [True, False])
def test_a_published_model_and_its_dataset_are_protected_however_training_starts(retraining, make_night, warm_start):
    night, commands = make_night(warm_start=warm_start), retraining("commands")
    verb, *arguments = commands.train(night)
    options = make_parser().parse_args(arguments)
    assert (verb, options.published, options.cold_start) == ("train", "out/published", not warm_start)
    for build in (commands.build, commands.build_aggregated):
        assert make_build_parser().parse_args(build(night)[1:]).published == "out/published"


@pytest.mark.parametrize(("served", "after"), [(6, 6), (None, 0)])
def test_a_model_is_published_after_what_it_was_judged_by(retraining, make_night, served, after):
    commands, night = retraining("commands"), make_night()
    told = commands.judged("publish", night, verdict={"publish": True, "served": served})
    verb, *arguments = [*commands.publish(night), *told]
    assert (verb, publish._parser().parse_args(arguments).after) == ("publish", after)


@pytest.mark.parametrize("section", sorted(Spec.model_fields.keys() - {"name"}))
def test_an_override_goes_to_every_command_that_reads_its_section(retraining, make_night, section):
    night = make_night(keep_days=1, overrides=[f"{section}={{}}"])
    commands = [make(night) for make in retraining("commands").STAGES.values()]
    told = {verb for verb, *arguments in commands if f"{section}={{}}" in arguments}
    assert told == {verb for verb, *_ in commands if section in SECTIONS_READ.get(verb, ())}


def test_a_run_learns_from_the_days_before_its_interval_and_is_tested_on_it(make_night):
    assert make_night(window_days=14).window == {
        "data-start": "2009-07-16T00:00:00Z",
        "data-end": "2009-07-30T00:00:00Z",
        "test-start": "2009-07-29T00:00:00Z",
    }


@pytest.mark.parametrize(("hold_to_last", "baseline"), [(True, "out/runs"), (False, None)])
def test_a_run_is_held_to_an_earlier_one_unless_it_is_to_be_to_none(make_night, retraining, hold_to_last, baseline):
    night, commands = make_night(hold_to_last=hold_to_last, keep_days=1), retraining("commands")
    assert make_build_parser().parse_args(commands.build(night)[1:]).baseline == baseline
    assert make_build_parser().parse_args(commands.build_aggregated(night)[1:]).baseline == baseline
    assert validate._parser().parse_args(commands.validate(night)[1:]).baseline == baseline
    assert commands.template_parameters(night).get("baseline") == baseline
    assert remove_runs._parser().parse_args(commands.remove_runs(night)[1:]).keep == []


def test_what_ran_before_by_airflow_s_count_makes_no_other_dataset(retraining):
    """As a run by hand into another output, or of the interval that succeeded last."""
    settings = retraining("settings").Settings(output="out")
    context = {
        "data_interval_start": datetime(2009, 7, 29, tzinfo=UTC),
        "data_interval_end": datetime(2009, 7, 30, tzinfo=UTC),
    }
    successes = ({}, *({"prev_data_interval_start_success": datetime(2009, 7, day, tzinfo=UTC)} for day in (27, 29)))
    night = retraining("night").Night
    builds = [retraining("commands").build(night.of(context | success, settings=settings)) for success in successes]
    assert builds[0] == builds[1] == builds[2]


def test_every_command_that_writes_may_be_repeated(retraining, make_night):
    night, stages = make_night(), retraining("commands").STAGES
    writing = {"build", "aggregate", "build_aggregated", "train", "evaluate", "export", "report"}
    assert {name for name, make in stages.items() if "--overwrite" in make(night)} == writing
    resuming = {"build", "aggregate", "build_aggregated", "train"}
    assert {name for name, make in stages.items() if "--skip-done" in make(night)} == resuming


def test_a_build_goes_on_from_what_spark_left_of_the_same_days(retraining, make_night):
    commands, night = retraining("commands"), make_night(window_days=14)
    aggregated = make_spark_parser().parse_args(commands.aggregate(night)[1:])
    built = make_build_parser().parse_args(commands.build_aggregated(night)[1:])
    assert aggregated.output == built.aggregated == "out/runs/2009-07-29/aggregate"
    days = ("2009-07-16T00:00:00Z", "2009-07-30T00:00:00Z", "2009-07-29T00:00:00Z")
    for options in (aggregated, built):
        assert (options.data_start, options.data_end, options.test_start) == days


def test_metrics_lie_where_the_report_looks_and_a_dataset_may_change_as_much_as_is_set(retraining, make_night):
    commands, night = retraining("commands"), make_night(max_change=2.5)
    metrics, report = commands.evaluate(night), commands.report(night)
    assert metrics[metrics.index("--output") + 1] == report[report.index("--run") + 1] == "out/runs/2009-07-29"
    assert validate._parser().parse_args(commands.validate(night)[1:]).max_change == 2.5
    assert "--max-change" not in commands.validate(make_night(hold_to_last=False))


def test_a_log_in_bigquery_may_be_built_by_a_command_and_by_the_template(retraining, make_night):
    commands = retraining("commands")
    night = make_night(output="gs://BUCKET/out", shards=16)
    options, others = make_build_parser().parse_known_args(commands.build(night)[1:])
    assert (options.shards, others) == (16, ["--temp_location", "gs://BUCKET/out/temp"])
    assert commands.template_parameters(night)["shards"] == "16"
    verb, *told = commands.aggregate(night)
    assert (verb, told[told.index("--shards") + 1]) == ("aggregate-spark", "16")
    assert "--shards" not in [*commands.build_aggregated(night), *commands.aggregate(make_night())]
    by_size = make_night()
    options, others = make_build_parser().parse_known_args(commands.build(by_size)[1:])
    assert (options.shards, others) == (None, [])
    assert "shards" not in commands.template_parameters(by_size)


def test_a_template_is_told_of_the_days_and_of_one_key(retraining, make_night):
    template_parameters = retraining("commands").template_parameters
    assert template_parameters(make_night(spec="debian", raw="raw", overrides=["train.epochs=4", "split.seed=1"])) == {
        "spec": "debian",
        "raw": "raw",
        "output": "out/runs/2009-07-29/dataset",
        "data-start": "2009-07-16T00:00:00Z",
        "data-end": "2009-07-30T00:00:00Z",
        "test-start": "2009-07-29T00:00:00Z",
        "baseline": "out/runs",
        "published": "out/published",
        "set": "split.seed=1",
        "overwrite": "true",
    }
    with pytest.raises(ValueError, match=r"takes one of the build's, got split\.seed=1, sources\.rejects=none"):
        template_parameters(make_night(overrides=["split.seed=1", "sources.rejects=none"]))


@pytest.mark.parametrize(
    ("time", "name"), [((0, 0), "2026-01-31"), ((6, 0), "2026-01-31t06-00"), ((0, 30), "2026-01-31t00-30")]
)
def test_runs_of_intervals_that_do_not_begin_at_midnight_have_names_of_their_own(retraining, time, name):
    assert retraining("night").run_name(datetime(2026, 1, 31, *time, tzinfo=UTC)) == name
    assert is_run(name)


@pytest.mark.parametrize("lacking", ["data_interval_start", "data_interval_end"])
def test_a_run_without_an_interval_is_refused(retraining, lacking):
    day = datetime(2009, 7, 29, tzinfo=UTC)
    context = {"data_interval_start": day, "data_interval_end": day, lacking: None}
    with pytest.raises(ValueError, match="expected a run with a data interval; trigger it with a logical date"):
        retraining("night").Night.of(context, settings=retraining("settings").Settings())


def test_a_run_removes_none_that_is_newer_and_without_keep_days_none(retraining, make_night):
    assert retraining("commands").remove_runs(make_night(keep_days=0)) == []
    verb, *arguments = retraining("commands").remove_runs(make_night(keep_days=30))
    options = remove_runs._parser().parse_args(arguments)
    assert (verb, options.runs, options.published) == ("remove-runs", "out/runs", "out/published")
    assert (options.before, options.keep, is_run(options.before)) == ("2009-06-29", [], True)


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        ("/mnt/disk/retraining", True),
        ("/mnt/disk", True),
        ("/mnt/disks/retraining", False),
        ("/mnt/disk/scratch/retraining", False),
        ("/mnt/disk/scratch/../retraining", True),
        ("/mnt/disk/../retraining", False),
        ("/mnt/key/retraining", False),
        ("/mnt/kindless/retraining", False),
        ("/mnt/sidecar/retraining", False),
        ("/elsewhere", False),
        ("retraining", False),
    ],
)
def test_a_pod_s_files_are_kept_on_a_volume_that_outlives_it(retraining, output, kept):
    claim = {"persistentVolumeClaim": {"claimName": "models", "readOnly": False}}
    volumes = {"disk": claim, "scratch": {"emptyDir": {}}, "key": {"secret": {"secretName": "key"}}, "kindless": {}}
    mounts = {"disk": "/mnt/disk", "scratch": "/mnt/disk/scratch", "key": "/mnt/key", "kindless": "/mnt/kindless"}
    base = [{"name": name, "mountPath": path} for name, path in mounts.items()]
    sidecar = {"name": "sidecar", "volumeMounts": [{"name": "disk", "mountPath": "/mnt/sidecar"}]}
    spec = {
        "volumes": [{"name": name, **kind} for name, kind in volumes.items()],
        "containers": [{"name": "base", "env": [{"name": "A", "value": "b"}], "volumeMounts": base}, sidecar],
    }
    pod = retraining("pod_template").PodTemplate(spec=spec)
    assert pod.keeps(output) is kept
    assert not retraining("pod_template").PodTemplate(spec={"volumes": spec["volumes"]}).keeps(output)
    assert pod.model_dump(by_alias=True, exclude_unset=True) == {"spec": spec}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("train", "failed at train; the published model is as it was"),
        ("export", "failed at export; the published model is as it was"),
        ("publish", "failed at publish; published/CURRENT says which model is served, "),
        ("report", "failed at report; published/CURRENT says which model is served, "),
        (None, "failed at an unknown task; published/CURRENT says which model is served, "),
    ],
)
def test_an_alert_says_what_is_served_by_where_the_run_failed(retraining, task, said):
    told = []
    context = {"run_id": "night", "task_instance": task and SimpleNamespace(task_id=task), "reason": "task_failure"}
    retraining("alerts").run_failed(told.append, context)
    (alert,) = told
    assert alert.message.startswith(f"night {said}")
    assert (alert.kind, alert.details) == ("failed", {"task": task, "reason": "task_failure"})


def test_runs_that_could_not_be_removed_are_told_of_and_for_no_failed_run(retraining):
    told, alerts = [], retraining("alerts")
    context = {"run_id": "night", "task_instance": SimpleNamespace(task_id="remove_runs"), "exception": OSError("full")}
    alerts.not_removed(told.append, context)
    alerts.run_failed(told.append, context | {"reason": "task_failure"})
    alone, last_of_several = told
    assert (alone.kind, alone.message) == ("failed", "night: remove_runs failed; old runs stay, all else goes on")
    assert alone.details == {"task": "remove_runs", "reason": "full"}
    assert last_of_several.message.startswith("night failed at an unknown task; published/CURRENT says which model is ")


def test_a_try_that_failed_is_told_of_before_the_run_fails(retraining):
    told = []
    task = SimpleNamespace(run_id="night", task_id="build", try_number=1)
    retraining("alerts").try_failed(told.append, {"task_instance": task, "exception": TimeoutError("36 hours")})
    (alert,) = told
    assert (alert.kind, alert.run) == ("retried", "night")
    assert alert.message == "night: build failed on try 1, and is tried again"
    assert alert.details == {"task": "build", "try": 1, "reason": "36 hours"}


def test_a_refusal_is_told_of_unless_a_backfill_s_run_is_bound_to_have_it(retraining):
    told = []
    for of_backfill in (True, False):
        for verdict in ("older_interval", "worse"):
            found = {"verdict": verdict, "served_model": None}
            retraining("alerts").not_published(told.append, "night", verdict=found, of_backfill=of_backfill)
    said = [(alert.kind, alert.run, alert.message, alert.details) for alert in told]
    assert said == [
        (
            "not_published",
            "night",
            f"night: {verdict}; the published model stays",
            {"verdict": verdict, "served_model": None},
        )
        for verdict in ("worse", "older_interval", "worse")
    ]


@pytest.mark.parametrize("path", ["broken_alerts.send", "no_such_module.send", "no_function"])
def test_an_alert_that_nobody_can_be_told_of_is_logged_and_fails_nothing(retraining, path, tmp_path, caplog):
    (tmp_path / "broken_alerts.py").write_text("def send(alert):\n    raise ConnectionError('no network')\n")
    alerts = retraining("alerts")
    caplog.set_level("WARNING", logger=alerts.log.name)  # which a command that ran before may have raised
    alerts.receiver(path)(alerts.Alert("failed", "night", "night failed at train", {}))
    said = ["alert: failed: night failed at train", f"nobody was told of it: {path} failed"]
    assert [record.getMessage() for record in caplog.records] == said


@pytest.mark.parametrize("candidates", ["offers/*.parquet", None])
@pytest.mark.parametrize(("passes", "model"), [(True, "out/runs/2009-07-29/model"), (False, "served/model")])
def test_an_export_is_told_what_is_on_offer_and_which_model_may_be_served(
    retraining, make_night, candidates, passes, model
):
    commands, night = retraining("commands"), make_night(candidates=candidates)
    told = commands.judged("export", night, verdict={"publish": passes, "served_model": "served/model"})
    verb, *arguments = [*commands.export(night), *told]
    options = make_export_parser().parse_args(arguments)
    assert (verb, options.candidates, options.model) == ("export", candidates, model)
    assert (options.dataset, options.output) == ("out/runs/2009-07-29/dataset", "out/runs/2009-07-29/export")
