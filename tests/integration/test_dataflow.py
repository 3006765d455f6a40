"""The Dataflow template: its metadata, and the graph as it would be submitted. Nothing here needs a cloud."""

import re
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from google.cloud.dataflow_v1beta3 import TemplateMetadata

from pipelines.beam.options import parse_beam_flags
from pipelines.build_dataset import build_graph, make_parser, plan_build

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "dataflow_templates" / "build_dataset"
FLAGS = [
    *(
        "--spec",
        "debian",
        "--raw",
        str(ROOT / "tests/data/debian-sample"),
    ),
    *("--runner=DataflowRunner", "--dry_run=True", "--project=my-project", "--region=europe-west1"),
    *("--job_name=build", "--temp_location=gs://my-bucket/temp", "--staging_location=gs://my-bucket/staging"),
    "--sdk_container_image=image:1",
]


@pytest.fixture(scope="module")
def transforms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Name -> step of the translated graph."""
    parser = make_parser()
    # tensorflow-transform makes its temporary directory while the graph is built, so the output is a local one.
    output = str(tmp_path_factory.mktemp("dataset"))
    arguments, rest = parser.parse_known_args([*FLAGS, "--output", output])
    pipeline = beam.Pipeline(options=parse_beam_flags(rest, parser))
    build_graph(pipeline, plan_build(arguments))
    pipeline.run().wait_until_finish()
    return {t.unique_name: t for t in pipeline.runner.proto_pipeline.components.transforms.values()}


def test_google_reads_the_metadata_and_the_command_takes_each_parameter() -> None:
    text = (TEMPLATE / "metadata.json").read_text()
    metadata = TemplateMetadata.from_json(text)
    flags = {flag for action in make_parser()._actions for flag in action.option_strings}
    required = {a.option_strings[0] for a in make_parser()._actions if a.required}
    assert {f"--{parameter.name}" for parameter in metadata.parameters} <= flags
    assert {f"--{p.name}" for p in metadata.parameters if not p.is_optional} >= required
    assert all(parameter.help_text and parameter.label for parameter in metadata.parameters)


def test_the_steps_of_the_graph_have_stable_names(transforms: dict[str, Any]) -> None:
    top = {name for name in transforms if name and "/" not in name and not name.startswith("ref_")}
    for name in (
        *("LogRanges", "ReadLog", "ValidateLines", "GroupLinesByQuery", "MergeLines", "CountByItem", "JoinItems"),
        *("JoinQueries", "MutualInformation", "Analyse", "Transform", "Encode", "WriteExamples"),
        *("WriteCorpus", "WriteItems", "WriteQueries", "WriteRejects", "CheckRejects", "WriteManifest"),
    ):
        assert name in top


def test_the_manifest_waits_for_every_writer(transforms: dict[str, Any]) -> None:
    produced = {
        pcollection: t for t in transforms.values() for pcollection in t.outputs.values() if not t.subtransforms
    }
    waiting, seen = [transforms["WriteManifest"]], set()
    while waiting:
        step = waiting.pop()
        seen.add(step.unique_name)
        inputs = [i for s in (step, *_below(step, transforms)) for i in s.inputs.values()]
        waiting += [produced[i] for i in inputs if i in produced and produced[i].unique_name not in seen]
    writers = ("WriteExamples", "WriteCorpus", "WriteItems", "WriteQueries", "WriteRejects", "CopyTransform")
    for writer in (*writers, "WriteMutualInformation", "CheckRejects"):
        assert any(name == writer or name.startswith(f"{writer}/") for name in seen), writer


def _below(step: Any, transforms: dict[str, Any]) -> list[Any]:
    return [t for name, t in transforms.items() if name.startswith(f"{step.unique_name}/")]


def test_counts_are_summed_before_they_are_shuffled(transforms: dict[str, Any]) -> None:
    assert transforms["SumCounts/Sum"].spec.urn == "beam:transform:combine_per_key:v1"


def test_the_launcher_is_the_command() -> None:
    launcher = (TEMPLATE / "main.py").read_text()
    assert "from pipelines.build_dataset import main" in launcher
    assert "ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py" in (TEMPLATE / "Dockerfile").read_text()


def test_the_image_has_the_locked_beam() -> None:
    image = re.search(r"FROM apache/beam_python3.11_sdk:(\S+)", (TEMPLATE / "Dockerfile").read_text())
    locked = re.search(r"^apache-beam==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert image is not None
    assert locked is not None
    assert image[1] == locked[1]
