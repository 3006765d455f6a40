"""The training image and how it is launched, as far as it goes without Docker, a cluster or a cloud."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1.types import CustomJobSpec
from kubernetes.client import ApiClient

from features.spec_file import load_spec
from model.tf_config import Place, read_tf_config
from model.train import make_parser
from pipelines.cli import VERBS

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


def assert_is_a_training(arguments: list[str]) -> None:
    """That the command takes the arguments, overrides included."""
    verb, *rest = arguments
    assert verb in VERBS
    options = make_parser().parse_args(rest)
    assert options.dataset.startswith("gs://BUCKET/")
    assert options.output.startswith("gs://BUCKET/")
    load_spec("debian", options.overrides, verb=verb)


def test_the_image_has_what_the_package_has(dockerfile: str) -> None:
    copied = re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert all((ROOT / source).exists() for source in sources)
    packages = re.search(r"packages=\[(.*?)\]", (ROOT / "setup.py").read_text(), re.DOTALL)
    assert packages is not None
    assert {name.split(".")[0] for name in re.findall(r'"(\S+)"', packages[1])} <= set(sources)
    assert {"requirements-bootstrap.lock", "training_image/requirements.lock", "setup.py"} <= set(sources)
    # Only in this form the command is the container's first process, and gets its signals.
    assert dockerfile.splitlines()[-1] == 'ENTRYPOINT ["ssl-two-tower"]'
    assert "FROM python:3.11-slim\n" in dockerfile  # the Python that the lock is made for


def _locked(path: Path) -> set[tuple[str, str]]:
    """Names and versions; where Pythons differ in what they can have, all of them."""
    return set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", path.read_text(), re.MULTILINE))


def test_the_image_has_the_locked_versions_and_cuda() -> None:
    here, image = _locked(ROOT / "requirements.lock"), _locked(IMAGE / "requirements.lock")
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
    assert_is_a_training(container["args"])
    index, config = container["env"]
    # Kubernetes puts in what was set before.
    assert (index["name"], config["name"]) == ("INDEX", "TF_CONFIG")
    names = tuple(f"{job['metadata']['name']}-{n}.{service['metadata']['name']}:2222" for n in range(workers))
    for number in range(workers):
        assert read_tf_config(config["value"].replace("$(INDEX)", str(number))) == Place(number, names)
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


def test_vertex_knows_every_key_and_each_pool_trains(vertex: Json) -> None:
    spec = CustomJobSpec.from_json(json.dumps(vertex), ignore_unknown_fields=False)
    assert [pool.replica_count for pool in spec.worker_pool_specs] == [1, 1]
    for pool in spec.worker_pool_specs:
        assert_is_a_training(list(pool.container_spec.args))
    first, second = vertex["workerPoolSpecs"]
    assert first == second
    assert spec.scheduling.restart_job_on_worker_restart


def test_what_vertex_sets_is_understood() -> None:
    cluster = {"chief": ["cmle-training-chief-0:2222"], "worker": ["cmle-training-worker-0:2222"]}
    told = {
        "cluster": cluster,
        "environment": "cloud",
        "job": "{}",
        "task": {"type": "worker", "index": 0, "trial": ""},
    }
    assert read_tf_config(json.dumps(told)) == Place(1, (*cluster["chief"], *cluster["worker"]))


def test_the_readme_s_commands_are_taken() -> None:
    text = (IMAGE / "README.md").read_text().replace("\\\n", " ")
    trainings = re.findall(r"\$IMAGE (train .*)", text)
    assert len(trainings) == 2
    for training in trainings:
        make_parser().parse_args(training.split()[1:])
    (config,) = re.findall(r"TF_CONFIG='(.*?)'", text)
    assert read_tf_config(config) == Place(0, ("host-a:2222", "host-b:2222"))
    for name in re.findall(r"training_image/(\S+\.yaml|Dockerfile)", text):
        assert (IMAGE / name).exists()
