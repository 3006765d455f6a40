"""The DAG without a run: its tasks, what Airflow's operators make of them, and whether our commands take that."""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow_home import ROOT, Airflow
from deployments import DEPLOYMENTS, ENVIRONMENT, GPU_NODE, OWN_GROUP, OWN_USER, SPARK_CONF
from google.cloud.dataflow_v1beta3 import FlexTemplateRuntimeEnvironment

from features.spec.file import load_spec
from features.spec.sections_read import SECTIONS_READ
from pipelines.beam.options import parse_beam_flags
from pipelines.cli import VERBS

pytestmark = pytest.mark.airflow

CHAIN = ["validate", "train", "evaluate", "gate", "may_publish", "export", "publish", "report"]


@pytest.fixture(scope="module")
def described(airflow: Airflow) -> dict[str, Any]:
    """Deployment -> its DAG, as Airflow has it."""
    found = airflow.run("python", str(Path(__file__).with_name("render.py")), stdin=json.dumps(DEPLOYMENTS))
    return json.loads(found.stdout.splitlines()[-1])


def command_of(task: dict[str, Any]) -> list[str]:
    """The arguments of ssl-two-tower in what an operator would run."""
    if "container" in task:
        assert task["container"]["command"] == ["bash", "-c"]
        (script,) = task["container"]["args"]
        words = shlex.split(script)
        assert words[:2] == ["exec", "ssl-two-tower"]
        return words[2:-2] if words[-2:] == [">", "/airflow/xcom/return.json"] else words[2:]
    words = shlex.split(task["bash_command"])
    assert words[:5] == ["exec", "env", "-u", "PYTHONPATH", str(ROOT / ".venv/bin/ssl-two-tower")]
    return words[5:]


def assert_is_taken(arguments: list[str]) -> dict[str, Any]:
    """That the verb takes its arguments, and reads the sections that are overridden; gives them parsed."""
    verb, *rest = arguments
    module = import_module(VERBS[verb].module)
    parser = module.make_parser() if hasattr(module, "make_parser") else module._parser()
    if verb == "build-dataset":
        options, others = parser.parse_known_args(rest)
        parse_beam_flags(others, parser)
    else:
        options = parser.parse_args(rest)
    if hasattr(options, "overrides"):
        load_spec("wikispeedia-daily", options.overrides, verb=verb)
    return vars(options)


def test_the_tasks_follow_each_other_and_a_run_waits_for_no_other(described: dict[str, Any]) -> None:
    for name, builds in (("local", ["build"]), ("cloud", ["build"]), ("spark", ["aggregate", "build"])):
        tasks = described[name]["tasks"]
        order = [*builds, *CHAIN]
        assert {task: found["upstream"] for task, found in tasks.items()} == {
            task: [order[place - 1]] if place else [] for place, task in enumerate(order)
        } | {"remove_runs": []}
        assert {tasks[task]["trigger_rule"] for task in order if task != "report"} == {"all_success"}
        assert tasks["report"]["trigger_rule"] == "none_failed"
        assert (described[name]["max_active_runs"], described[name]["depends_on_past"]) == (1, False)
        assert described[name]["stack"] == []
        assert tasks["may_publish"]["skips_all_after_it"] is False
    assert {task["retries"] for task in described["local"]["tasks"].values()} == {0}
    assert {task["retry_seconds"] for task in described["local"]["tasks"].values()} == {7}
    assert {task["retries"] for name, task in described["cloud"]["tasks"].items() if name != "may_publish"} == {2}
    assert {task["hours"] for task in described["local"]["tasks"].values()} == {1.5}
    assert {task["hours"] for task in described["cloud"]["tasks"].values()} == {36}


def test_runs_are_of_the_deployment_s_intervals_and_commands_run_in_its_directory(described: dict[str, Any]) -> None:
    local = described["local"]
    assert local["schedule"] == ["0 6 * * *", "UTC", "2026-01-31 00:00:00+00:00", True]
    assert described["cloud"]["schedule"] == ["0 0 * * *", "UTC", "2009-07-28 00:00:00+00:00", False]
    assert described["zone"]["schedule"][2] == "2026-01-30 23:00:00+00:00"
    assert {task["cwd"] for task in local["tasks"].values() if "bash_command" in task} == {"/work here"}


@pytest.mark.parametrize("deployment", ["local", "cloud", "spark"])
def test_every_command_that_an_operator_starts_is_taken(described: dict[str, Any], deployment: str) -> None:
    told = []
    for name, task in described[deployment]["tasks"].items():
        if name in ("may_publish", "remove_runs") or "body" in task:
            continue
        options = assert_is_taken(command_of(task))
        told += [(command_of(task)[0], override) for override in options.get("overrides", [])]
    verbs = {"train.epochs=4": {"train"}, "gate.margin=0.1": {"gate", "publish"}, "export.top_k=20": {"export"}}
    verbs |= {"evaluate={batch_size: 64}": {"train", "evaluate", "gate", "export"}, "split.seed=1": {"build-dataset"}}
    if deployment == "spark":
        verbs["split.seed=1"] = {"build-dataset", "aggregate-spark"}
    if deployment == "cloud":
        del verbs["split.seed=1"]  # the template is told
    assert {override: {verb for verb, o in told if o == override} for _, override in told} == verbs
    for verb, override in told:
        assert re.split("[.=]", override)[0] in SECTIONS_READ[verb]


def test_spark_runs_where_the_deployment_says(described: dict[str, Any]) -> None:
    for name in ("spark", "spark here"):
        options = assert_is_taken(command_of(described[name]["tasks"]["aggregate"]))
        assert (options["master"], options["conf"]) == (None, [])
    for name, master in (("cluster", "spark://HOST:7077"), ("cluster of pods", "k8s://HOST")):
        tasks = described[name]["tasks"]
        options = assert_is_taken(command_of(tasks["aggregate"]))
        assert (options["master"], options["conf"]) == (master, list(SPARK_CONF.items()))
        assert "--master" not in command_of(tasks["build"])


def test_a_run_s_dates_and_directories(described: dict[str, Any]) -> None:
    tasks = described["local"]["tasks"]
    build = assert_is_taken(command_of(tasks["build"]))
    run = "out of space/runs/2009-07-29"
    assert (build["data_start"], build["data_end"]) == ("2009-07-16T00:00:00Z", "2009-07-30T00:00:00Z")
    assert (build["test_start"], build["baseline"]) == ("2009-07-29T00:00:00Z", "out of space/runs")
    assert (build["output"], build["skip_done"], build["overwrite"]) == (f"{run}/dataset", True, True)
    train = assert_is_taken(command_of(tasks["train"]))
    assert (train["dataset"], train["output"]) == (f"{run}/dataset", f"{run}/model")
    assert (train["published"], train["skip_done"], train["overwrite"]) == ("out of space/published", True, True)
    assert not train["cold_start"]
    gate = assert_is_taken(command_of(tasks["gate"]))
    assert (gate["model"], gate["published"], gate["json"]) == (f"{run}/model", "out of space/published", True)
    publish = assert_is_taken(command_of(tasks["publish"]))
    assert (publish["export"], publish["to"]) == (f"{run}/export", "out of space/published")
    for deployment in ("local", "cloud"):
        assert assert_is_taken(command_of(described[deployment]["tasks"]["publish"]))["after"] == 6
    # A published model is protected though nothing starts from it.
    cold = assert_is_taken(command_of(described["spark"]["tasks"]["train"]))
    assert (cold["published"], cold["cold_start"]) == ("gs://BUCKET/out/published", True)


def test_a_run_waits_for_its_log_if_it_is_to(described: dict[str, Any]) -> None:
    tasks = described["the README's"]["tasks"]
    assert set(tasks) == {"wait", "build", *CHAIN, "remove_runs"}
    assert (tasks["wait"]["upstream"], tasks["build"]["upstream"]) == ([], ["wait"])
    assert tasks["wait"]["waits"] == [7200, "reschedule", 93600]  # a day more, however long it is rescheduled


def test_old_runs_are_removed_beside_the_build_and_no_run_fails_by_it(described: dict[str, Any]) -> None:
    tasks = described["tidy"]["tasks"]
    task = tasks["remove_runs"]
    assert (task["upstream"], task["is_teardown"], task["alerts_by_itself"]) == (["wait"], True, True)
    assert not any(task["is_teardown"] for name, task in tasks.items() if name != "remove_runs")
    assert not any("remove_runs" in task["upstream"] for task in tasks.values())
    options = assert_is_taken(command_of(task))
    assert (options["runs"], options["published"]) == ("gs://BUCKET/out/runs", "gs://BUCKET/out/published")
    assert (options["before"], options["keep"]) == ("2009-06-29", [])
    # Without keep_days there is the task too, since the form for a run may have it; but no command.
    assert command_of(described["cloud"]["tasks"]["remove_runs"]) == []


def test_dataflow_is_given_what_the_template_and_the_command_take(described: dict[str, Any]) -> None:
    task = described["cloud"]["tasks"]["build"]
    launched = task["body"]["launchParameter"]
    assert (launched["jobName"], task["location"]) == ("ssl-two-tower-build-2009-07-29", "europe-west1")
    # The name is the lock by which no second job of a build starts.
    assert (task["project_id"], task["append_job_name"], task["wait_until_finished"]) == ("p", False, True)
    assert launched["containerSpecGcsPath"] == "gs://BUCKET/build.json"
    environment = FlexTemplateRuntimeEnvironment.from_json(
        json.dumps(launched["environment"]), ignore_unknown_fields=False
    )
    assert (environment.sdk_container_image, environment.max_workers) == ("IMAGE", 8)
    assert launched["environment"]["additionalUserLabels"] == {"cost": "1234"}
    assert environment.service_account_email == ENVIRONMENT["serviceAccountEmail"]
    assert (environment.staging_location, environment.temp_location) == ("gs://BUCKET/out/staging", "gs://BUCKET/t")
    metadata = json.loads((ROOT / "dataflow_templates/build_dataset/metadata.json").read_text())
    parameters = json.loads(launched["parameters"])
    assert set(parameters) <= {parameter["name"] for parameter in metadata["parameters"]}
    # As the launcher starts the command.
    flags = [f"--{name}={value}" for name, value in parameters.items()]
    options = assert_is_taken(["build-dataset", *flags])
    assert (options["overwrite"], options["overrides"], options["skip_done"]) == (True, ["split.seed=1"], False)
    assert (options["raw"], options["output"]) == ("gs://BUCKET/raw", "gs://BUCKET/out/runs/2009-07-29/dataset")


def test_pods_run_the_image_and_the_gpus_train(described: dict[str, Any]) -> None:
    tasks = {name: task["container"] for name, task in described["cloud"]["tasks"].items() if "container" in task}
    assert {task["image"] for task in tasks.values()} == {"IMAGE"}
    limits = {name: task["limits"] for name, task in tasks.items() if task["limits"]}
    assert limits == {"train": {"nvidia.com/gpu": "2"}}
    assert [name for name, task in described["cloud"]["tasks"].items() if task["pushes"] and "container" in task] == [
        "gate"
    ]
    # It mustn't train on the CPU where the node shows it no GPU.
    commands = {name: command_of({"container": task}) for name, task in tasks.items()}
    assert assert_is_taken(commands["train"])["gpus"] == 2
    assert {name for name, words in commands.items() if "--gpus" in words} == {"train"}
    assert tasks["train"]["mounts"] == {"/dev/shm": "nccl-shm"}
    assert described["own shm"]["tasks"]["train"]["pod"]["volumes"] == {"shm": None}  # not ours, in memory, beside it
    # Nodes with GPUs let no other pod in.
    selectors = {
        name: task["pod"]["node_selector"] for name, task in described["cloud"]["tasks"].items() if "pod" in task
    }
    assert {name: labels for name, labels in selectors.items() if labels} == {"train": GPU_NODE}
    pods = [task["pod"] for task in described["cloud"]["tasks"].values() if "pod" in task]
    assert {tuple(pod["seconds"]) for pod in pods} == {(1800, 1800)}
    assert {(*pod["account"], pod["grace"]) for pod in pods} == {("models", "train", 120)}


def test_pods_are_made_from_the_deployment_s(described: dict[str, Any]) -> None:
    tasks = {name: task for name, task in described["disk"]["tasks"].items() if "container" in task}
    assert set(tasks) == {"build", *CHAIN, "remove_runs"} - {"may_publish"}
    for name, task in tasks.items():
        container, pod = task["container"], task["pod"]
        requests = {key: str(value) for key, value in container["requests"].items()}
        assert requests == {"ephemeral-storage": "50Gi", "cpu": "4", "memory": "16Gi"}
        gpus = {"nvidia.com/gpu": "2"} if name == "train" else {}
        assert container["limits"] == {"ephemeral-storage": "60Gi", "memory": "16Gi"} | gpus
        assert container["env"] == {"ONE": "1"}
        of_stage = {"train": {"/dev/shm": "nccl-shm"}, "gate": {"/airflow/xcom": "xcom"}}.get(name, {})
        assert container["mounts"] == {"/mnt": "disk"} | of_stage
        assert pod["node_selector"] == {"pool": "models", "generation": "7"} | (GPU_NODE if name == "train" else {})
        assert pod["volumes"]["disk"] is None
        assert pod["volumes"].get("nccl-shm") == ("Memory" if name == "train" else None)
        assert pod["seconds"] == [60, 60]


def test_no_pod_is_root_s_unless_the_deployment_says_so(described: dict[str, Any]) -> None:
    nobody = {"runAsUser": 1000, "runAsGroup": 1000}
    users = {"cloud": nobody, "disk": nobody, "own user": OWN_USER, "own group": nobody | OWN_GROUP}
    for deployment, user in users.items():
        pods = [task["pod"] for task in described[deployment]["tasks"].values() if "pod" in task]
        assert len(pods) >= len(CHAIN) - 1
        assert [pod["user"] for pod in pods] == [user] * len(pods)


def test_the_readme_s_variable_is_taken(described: dict[str, Any]) -> None:
    tasks = described["the README's"]["tasks"]
    assert tasks["train"]["container"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
    assert tasks["build"]["body"]["launchParameter"]["environment"]["maxWorkers"] == 8


def test_no_task_s_end_is_left_to_another_process_than_started_it(described: dict[str, Any]) -> None:
    # There wrong use would be skipped, and a job on Dataflow is either deferred or waited for.
    deferrable = {
        task["operator"]: task["deferrable"] for task in described["cloud"]["tasks"].values() if "deferrable" in task
    }
    assert deferrable == {"PodCommand": False, "FlexTemplateBuild": False}


def test_a_build_whose_name_is_taken_waits(airflow: Airflow) -> None:
    script = str(Path(__file__).with_name("taken_name.py"))
    statuses = [[200], [409, 409, 200], [409, 400, 200], [403, 200], [409, 409, 409, 409, 200]]
    found = airflow.run("python", script, stdin=json.dumps(statuses))
    assert json.loads(found.stdout.splitlines()[-1]) == [
        [1, {"id": "the job"}],
        [3, {"id": "the job"}],
        [2, 400],
        [1, 403],
        [4, "failed for good"],
    ]


def test_only_wrong_use_is_not_tried_again(airflow: Airflow) -> None:
    found = airflow.run("python", str(Path(__file__).with_name("exit_codes.py")), stdin="[0, 1, 2, 75, 137]")
    assert json.loads(found.stdout.splitlines()[-1]) == [
        ["succeeded"] * 2,
        ["failed"] * 2,
        ["failed for good"] * 2,
        ["failed"] * 2,
        ["failed"] * 2,
    ]


def test_the_form_has_a_typed_field_with_a_text_for_each_setting(described: dict[str, Any]) -> None:
    form = described["local"]["form"]
    assert {name: field["schema"]["type"] for name, field in form.items()} == {
        "spec": "string",
        "raw": "string",
        "output": "string",
        "window_days": "integer",
        "shards": "integer",
        "overrides": "array",
        "warm_start": "boolean",
        "hold_to_last": "boolean",
        "candidates": ["string", "null"],
        "keep_days": "integer",
        "max_change": "number",
    }
    assert all(field["description"] for field in form.values())


def test_a_wrong_variable_is_one_line_that_names_the_key(described: dict[str, Any]) -> None:
    at = "Airflow variable ssl_two_tower_retraining:"
    assert described["misspelt"]["error"] == f"{at} setings: Extra inputs are not permitted"
    assert described["empty window"]["error"] == (
        f"{at} settings.window_days: Input should be greater than or equal to 1"
    )
    time = "Value error, expected a time such as 2026-01-31 or 2026-01-31T06:00Z, got 31.1.2026"
    assert described["no time"]["error"] == f"{at} start: {time}"
    assert described["misspelt spark"]["error"] == f"{at} spark.masters: Extra inputs are not permitted"
    both = "Value error, spark, dataflow: expected one of them, got both"
    assert described["two engines"]["error"] == f"{at} (all): {both}"
    bucket = "Value error, settings.output: expected gs://BUCKET/PATH, which pods and Dataflow see"
    disk = "or a path below a mountPath of kubernetes.pod's container base, of a volume that outlives the pod"
    assert described["pods without a disk"]["error"] == f"{at} (all): {bucket}, {disk}, got retraining"
    assert described["pods on another disk"]["error"] == f"{at} (all): {bucket}, {disk}, got /srv"
    assert described["Dataflow without a disk"]["error"] == f"{at} (all): {bucket}, got retraining"
    assert described["empty pod"]["error"].startswith(f"{at} kubernetes.pod.spec: Input should be a valid dictionary")
    labels = "Value error, gpu_node_selector: expected gpus beside it, got none"
    assert described["labels without GPUs"]["error"] == f"{at} kubernetes: {labels}"
    image = "Value error, environment: sdkContainerImage: expected as image, beside environment"
    assert described["two images"]["error"] == f"{at} dataflow: {image}"
    unknown = "expected a pod as Kubernetes has it, got a key that it doesn't know there"
    assert described["misspelt pod"]["error"] == f"{at} kubernetes.pod.spec.nodeSelectors: {unknown}"
    name = "kubernetes.pod.spec.containers.0.name: Field required"
    assert described["nameless container"]["error"] == f"{at} {name}"


def test_a_form_s_output_is_held_to_where_commands_run_and_fails_its_run_for_good(described: dict[str, Any]) -> None:
    tasks = described["pods, and in the form a disk of theirs"]["tasks"]
    assert assert_is_taken(command_of(tasks["train"]))["output"] == "/mnt/by hand/runs/2009-07-29/model"
    at = "the form of this run:"
    bucket = "(all): Value error, settings.output: expected gs://BUCKET/PATH, which pods and Dataflow see"
    disk = "or a path below a mountPath of kubernetes.pod's container base, of a volume that outlives the pod"
    assert described["pods, and in the form another disk"]["error"] == f"{at} {bucket}, {disk}, got /srv"
    assert described["Dataflow, and in the form a disk"]["error"] == f"{at} {bucket}, got /srv"
    root = "expected a directory of its own, such as retraining or gs://BUCKET/retraining, got '/'"
    assert described["a root in the form"] == {
        "error": f"{at} settings.output: Value error, {root}",
        "is_tried_again": False,
    }
