"""The training image and how it is launched, as far as it goes without Docker, a cluster or a cloud."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1.types import CustomJobSpec
from kubernetes.client import ApiClient
from lock_files import locked
from waiting import wait_for

from features.spec.file import load_spec
from model.options.train import make_parser
from model.training.tf_config import Worker, read_tf_config
from pipelines.cli import VERBS
from stage.errors import Interrupted, UsageError

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "training_image"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (IMAGE / "Dockerfile").read_text().replace("\\\n", " ")


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, Json]:
    """Kind -> the manifest."""
    return {found["kind"]: found for found in yaml.safe_load_all((IMAGE / "kubernetes.yaml").read_text())}


@pytest.fixture(scope="module")
def vertex() -> Json:
    return yaml.safe_load((IMAGE / "vertex.yaml").read_text())


def assert_is_a_training(arguments: list[str], *, gpus: int) -> None:
    """That the command takes the arguments, overrides included, on no fewer GPUs, and may be started after the end."""
    verb, *rest = arguments
    assert verb in VERBS
    options = make_parser().parse_args(rest)
    assert options.dataset.startswith("gs://BUCKET/")
    assert options.output.startswith("gs://BUCKET/")
    assert (options.gpus, options.skip_done) == (gpus, True)
    load_spec("debian", options.overrides, verb=verb)


def test_the_image_has_what_the_package_has(dockerfile: str) -> None:
    copied = re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert all((ROOT / source).exists() for source in sources)
    packages = re.search(r"find_packages\(include=\[(.*?)\]", (ROOT / "setup.py").read_text())
    assert packages is not None
    top = re.findall(r'"(\w+)\*"', packages[1])
    assert len(top) >= 4
    assert {*top, "setup.py"} <= set(sources)
    assert {"requirements-bootstrap.lock", "training_image/requirements.lock"} <= set(sources)
    # Only in this form the command is the container's first process, and gets its signals.
    assert dockerfile.splitlines()[-1] == 'ENTRYPOINT ["ssl-two-tower"]'
    assert "FROM python:3.11-slim-bookworm\n" in dockerfile  # the Python that the lock is made for


def test_the_image_looks_for_the_driver_where_gke_mounts_it(dockerfile: str) -> None:
    environment = " ".join(re.findall(r"^ENV (.*)$", dockerfile, re.MULTILINE)).split()
    assert "LD_LIBRARY_PATH=/usr/local/nvidia/lib64" in environment
    assert "PATH=$PATH:/usr/local/nvidia/bin" in environment


def test_the_image_has_the_locked_versions_and_cuda() -> None:
    here, image = locked(ROOT / "requirements.lock"), locked(IMAGE / "requirements.lock")
    assert {name for name, _ in image - here} == {name for name, _ in image if name.startswith("nvidia-")}
    names = {name for name, _ in image}
    assert {"tensorflow", "keras", "tensorflow-transform", "pyarrow", "setuptools"} <= names
    assert {"nvidia-cudnn-cu12", "nvidia-cuda-runtime-cu12", "nvidia-nccl-cu12"} <= names
    assert not {"pytest", "pyspark"} & names


@pytest.mark.parametrize("kind", ["Service", "Job"])
def test_kubernetes_knows_every_key(kubernetes: dict[str, Json], kind: str) -> None:
    # What its client has read and writes again is what stands there: a key that it doesn't know would be gone.
    client = ApiClient()
    read = client.deserialize(json.dumps(kubernetes[kind]), f"V1{kind}", "application/json")
    assert client.sanitize_for_serialization(read) == kubernetes[kind]


def test_kubernetes_starts_each_worker_at_its_place(kubernetes: dict[str, Json]) -> None:
    job, service = kubernetes["Job"], kubernetes["Service"]
    workers, template = job["spec"]["completions"], job["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert_is_a_training(container["args"], gpus=int(container["resources"]["limits"]["nvidia.com/gpu"]))
    index, config = container["env"]
    # Kubernetes puts in what was set before.
    assert (index["name"], config["name"]) == ("INDEX", "TF_CONFIG")
    names = tuple(f"{job['metadata']['name']}-{n}.{service['metadata']['name']}:2222" for n in range(workers))
    for number in range(workers):
        assert read_tf_config(config["value"].replace("$(INDEX)", str(number))) == Worker(number, names)
    assert container["ports"] == [{"containerPort": 2222}]
    assert job["spec"]["parallelism"] == workers == 2
    assert template["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert load_spec("debian").train.input_streams % workers == 0


def test_kubernetes_starts_again_what_was_interrupted(kubernetes: dict[str, Json]) -> None:
    spec = kubernetes["Job"]["spec"]
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # else there is no podFailurePolicy
    rules = spec["podFailurePolicy"]["rules"]
    codes = {rule["action"]: rule["onExitCodes"] for rule in rules if "onExitCodes" in rule}
    of = {"containerName": spec["template"]["spec"]["containers"][0]["name"], "operator": "In"}
    assert codes == {"Ignore": of | {"values": [75]}, "FailJob": of | {"values": [2]}}
    assert {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]} in rules
    assert spec["successPolicy"]["rules"] == [{"succeededIndexes": "0"}]
    assert (Interrupted.exit_code, UsageError.exit_code) == (75, 2)


def test_kubernetes_holds_no_node_for_ever_and_knows_what_a_pod_takes(kubernetes: dict[str, Json]) -> None:
    job, template = kubernetes["Job"]["spec"], kubernetes["Job"]["spec"]["template"]["spec"]
    assert job["activeDeadlineSeconds"] > 0
    assert job["ttlSecondsAfterFinished"] > 0
    (container,) = template["containers"]
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    (mount,), (volume,) = container["volumeMounts"], template["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/dev/shm")
    assert volume["emptyDir"]["medium"] == "Memory"


def test_vertex_knows_every_key_and_each_pool_trains(vertex: Json) -> None:
    spec = CustomJobSpec.from_json(json.dumps(vertex), ignore_unknown_fields=False)
    assert [pool.replica_count for pool in spec.worker_pool_specs] == [1, 1]
    for pool in spec.worker_pool_specs:
        assert_is_a_training(list(pool.container_spec.args), gpus=pool.machine_spec.accelerator_count)
    first, second = vertex["workerPoolSpecs"]
    assert first == second
    assert spec.scheduling.restart_job_on_worker_restart
    assert spec.scheduling.timeout.total_seconds() == 86400  # Vertex AI's own is seven days


def test_vertex_starts_what_the_image_has(vertex: Json, dockerfile: str) -> None:
    for pool in vertex["workerPoolSpecs"]:
        shell, script, command = pool["containerSpec"]["command"]
        assert (shell, command) == ("bash", "ssl-two-tower")
        (directory,) = re.findall(r"^WORKDIR (.*)$", dockerfile, re.MULTILINE)
        name = str(Path(script).relative_to(directory))
        assert f"COPY {name} {name}\n" in dockerfile
        assert (ROOT / name).exists()


def until_done(command: str, *arguments: str, cwd: Path, env: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
    """A shell's command under until_done.sh; it gets the arguments."""
    words = ["bash", str(IMAGE / "until_done.sh"), "bash", "-c", command, "name", *arguments]
    return subprocess.Popen(words, cwd=cwd, env=os.environ | env, text=True, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("codes", "ends_with", "runs"),
    [("0", 0, 1), ("75 75 0", 0, 3), ("75 2", 2, 2), ("1 0", 1, 1), ("75 " * 25, 75, 20)],
)
def test_an_interrupted_command_goes_on(tmp_path: Path, codes: str, ends_with: int, runs: int) -> None:
    command = 'echo "$@" >> runs; codes=(0 $CODES); exit ${codes[$(wc -l < runs)]}'
    with until_done(f"CODES='{codes}'; {command}", "train", "two words", cwd=tmp_path) as process:
        process.communicate(timeout=60)
    assert process.returncode == ends_with
    assert (tmp_path / "runs").read_text() == "train two words\n" * runs


def test_a_signal_reaches_the_command_which_saves_and_is_not_started_again(tmp_path: Path) -> None:
    command = "trap 'sleep 0.5; echo saved; exit 75' TERM; touch started; while true; do sleep 0.1; done"
    with until_done(command, cwd=tmp_path) as process:
        wait_for((tmp_path / "started").exists, "the command's file", by=[process])
        os.kill(process.pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (75, "saved\n")


@pytest.mark.parametrize("before", [r"\"\$@\"*", "running=*"], ids=["before the command starts", "just after"])
def test_a_signal_is_not_lost_while_the_command_is_started(tmp_path: Path, before: str) -> None:
    (tmp_path / "signal.sh").write_text(f"trap 'case $BASH_COMMAND in {before}) kill -TERM $$ ;; esac' DEBUG")
    with until_done("exec sleep 30", cwd=tmp_path, env={"BASH_ENV": str(tmp_path / "signal.sh")}) as process:
        process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM


def test_what_vertex_sets_is_understood() -> None:
    cluster = {"chief": ["cmle-training-chief-0:2222"], "worker": ["cmle-training-worker-0:2222"]}
    told = {
        "cluster": cluster,
        "environment": "cloud",
        "job": "{}",
        "task": {"type": "worker", "index": 0, "trial": ""},
    }
    assert read_tf_config(json.dumps(told)) == Worker(1, (*cluster["chief"], *cluster["worker"]))


@pytest.fixture(scope="module")
def readme() -> str:
    return (IMAGE / "README.md").read_text().replace("\\\n", " ")


def test_the_readme_s_commands_are_taken(readme: str) -> None:
    trainings = re.findall(r"\$IMAGE +(train .*)", readme)
    assert len(trainings) == 2
    for training in trainings:
        make_parser().parse_args(training.split()[1:])
    (config,) = re.findall(r"TF_CONFIG='(.*?)'", readme)
    assert read_tf_config(config) == Worker(0, ("host-a:2222", "host-b:2222"))
    for name in re.findall(r"training_image/(\S+\.yaml|Dockerfile)", readme):
        assert (IMAGE / name).exists()
    for started in re.findall(r"docker run .*", readme):
        assert {"--shm-size=1g", "--stop-timeout"} <= set(started.split())


def test_the_readme_s_sed_leaves_nothing_to_be_replaced(readme: str) -> None:
    (told,) = re.findall(r"^    (IMAGE=.*)$", readme, re.MULTILINE)
    edits = re.findall(r"^    (sed .* training_image/\S+)", readme, re.MULTILINE)
    assert len(edits) == 2
    for edit in edits:
        done = subprocess.run(
            ["bash", "-c", f"{told}; DATE=2027-02-03; {edit}"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        lines = [line for line in done.stdout.splitlines() if not line.lstrip().startswith("#")]
        assert len(lines) > 20
        for line in lines:
            assert not re.search(r"\bIMAGE\b|\bBUCKET\b|2026", line), line
        assert "gs://my-bucket/models/2027-02-03" in done.stdout
        assert re.search(
            r"mage(Uri)?: europe-west1-docker.pkg.dev/my-project/ssl-two-tower/train:1$", done.stdout, flags=re.M
        )
