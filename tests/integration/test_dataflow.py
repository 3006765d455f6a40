"""The Dataflow template: its metadata, and the graph as it would be submitted. Nothing here needs a cloud."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.cloud.dataflow_v1beta3 import TemplateMetadata
from google.protobuf.wrappers_pb2 import BytesValue
from lock_files import locked
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT, SAMPLE

from pipelines.beam.options import parse_beam_flags
from pipelines.build_dataset import build_graph, main, plan_build
from pipelines.build_options import make_parser
from stage.command_line import run_command
from stage.output import start_output

TEMPLATE = ROOT / "dataflow_templates" / "build_dataset"
FLAGS = [
    *("--spec", "debian", "--raw", str(SAMPLE)),
    # A feature of each kind: each more makes the graph larger.
    "--set=query.features={package: {kind: id}}",
    "--set=item.features={package: {kind: id}, section: {kind: categorical}, debtags: {kind: multivalued}, "
    "name_words: {kind: text}, installed_size: {kind: numeric}}",
    *("--runner=DataflowRunner", "--dry_run=True", "--project=my-project", "--region=europe-west1"),
    *("--job_name=build", "--temp_location=gs://my-bucket/temp", "--staging_location=gs://my-bucket/staging"),
    "--sdk_container_image=image:1",
]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The translated graph."""
    parser = make_parser()
    # tensorflow-transform makes its temporary directory while the graph is built, so the output is a local one.
    output = str(tmp_path_factory.mktemp("dataset"))
    arguments, rest = parser.parse_known_args([*FLAGS, "--output", output])
    pipeline = beam.Pipeline(options=parse_beam_flags(rest, parser))
    build_graph(pipeline, plan_build(arguments))
    pipeline.run().wait_until_finish()
    return pipeline.runner.proto_pipeline.components


@pytest.fixture(scope="module")
def transforms(graph: Any) -> dict[str, Any]:
    """Name -> step of the translated graph."""
    return {t.unique_name: t for t in graph.transforms.values()}


def test_google_reads_the_metadata_whose_parameters_are_the_command_s() -> None:
    text = (TEMPLATE / "metadata.json").read_text()
    metadata = TemplateMetadata.from_json(text)
    flags = {flag for action in make_parser()._actions for flag in action.option_strings}
    required = {a.option_strings[0] for a in make_parser()._actions if a.required}
    # A launcher ends before there is anything to print, and one that submits no job counts as failed.
    not_launched = {"-h", "--help", "--json", "--skip-done"}
    assert {f"--{parameter.name}" for parameter in metadata.parameters} == flags - not_launched
    assert {f"--{p.name}" for p in metadata.parameters if not p.is_optional} >= required
    assert all(parameter.help_text and parameter.label for parameter in metadata.parameters)
    (override,) = (parameter for parameter in metadata.parameters if parameter.name == "set")
    assert all(re.fullmatch(regex, "item.features.category_level_1.min_count=2") for regex in override.regexes)


def test_an_output_that_a_job_may_still_be_writing_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "dataset"
    start_output(str(output), "dataset", run_id="running", overwrite=False)
    (output / "train").mkdir()
    (output / "train" / "half").write_bytes(b"")
    assert run_command(main, [*FLAGS, "--output", str(output)]) == 1
    assert capsys.readouterr().err == (
        f"error: {output}: holds an unfinished output, which a job may still be writing; wait for its end, or, if it "
        "has failed, --overwrite makes it again\n"
    )
    assert json.loads((output / ".unfinished").read_bytes())["run_id"] == "running"
    assert (output / "train" / "half").exists()


STEPS = """
    AllCounts AllRejects AllWritten Analyse CheckRejects CopyTransform CountPairs Count_items Count_pairs
    Count_queries Encode EntityBatches GatherHotQueries GatherItemHalves GatherItemIds GatherStatistics
    GroupItemHalves GroupItems GroupLines GroupPairsAndHalves GroupQueries GroupRejects GroupStatistics
    GroupTextCounts ItemBatches ItemsRanges JoinItems JoinQueries KeepMostCommon LearnConstants LogRanges
    MergeLines MergeStatistics MutualInformation PlacePairs PlaceQueries QueryBatches QueryRows ReadItems ReadLog
    SpreadItemsRanges SpreadLogRanges StatisticsCounts SumCounts TextCounts ToAnalyse Transform ValidateItems
    ValidateLines WriteCorpus WriteExamples WriteItems WriteManifest WriteMutualInformation WriteQueries
    WriteRawMetadata WriteRejects WriteStatistics WriteTransform
"""


def test_the_steps_of_the_graph_have_stable_names(transforms: dict[str, Any]) -> None:
    top = {name for name in transforms if name and "/" not in name and not name.startswith("ref_")}
    assert top == set(STEPS.split())


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
    for writer in (*writers, "WriteMutualInformation", "WriteStatistics", "CheckRejects"):
        assert any(name == writer or name.startswith(f"{writer}/") for name in seen), writer


def _below(step: Any, transforms: dict[str, Any]) -> list[Any]:
    return [t for name, t in transforms.items() if name.startswith(f"{step.unique_name}/")]


def test_counts_are_summed_before_they_are_shuffled(transforms: dict[str, Any]) -> None:
    assert transforms["SumCounts/Sum"].spec.urn == "beam:transform:combine_per_key:v1"


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has our requirements, and of us what the sdist holds, as Beam's --setup_file makes it."""
    directory = tmp_path_factory.mktemp("clean")
    shutil.copytree(ROOT, directory / "tree", ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "demo"))
    run("setup.py", "--quiet", "sdist", "--dist-dir", directory, cwd=directory / "tree")
    (sdist,) = directory.glob("*.tar.gz")
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir")
    run("-m", "pip", "wheel", "--quiet", *flags, "--wheel-dir", directory, sdist, cwd=directory)
    (wheel,) = directory.glob("*.whl")
    run("-m", "venv", "--without-pip", directory / "environment", cwd=directory)
    (packages,) = directory.glob("environment/lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # Of a directory that a .pth file names, the .pth files do nothing, and so neither does our editable install.
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib"))
    shutil.rmtree(directory / "tree")
    return directory / "environment/bin/python"


def run(*arguments: Any, cwd: Path, python: Any = sys.executable) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(part) for part in (python, *arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


_PAR_DO, _COMBINE = beam_runner_api_pb2.ParDoPayload, beam_runner_api_pb2.CombinePayload
UNPICKLE = """
import base64, sys
from pathlib import Path
from apache_beam.coders.coders import deserialize_coder
from apache_beam.internal import pickler
for number, line in enumerate(open(sys.argv[1])):
    if number == int(sys.argv[2]):
        assert "apache_beam" in sys.modules
        assert "tensorflow" not in sys.modules
    data = base64.b64decode(line)
    # Beam pickles a coder behind its name and a $.
    print(type(deserialize_coder(data) if b"$" in data else pickler.loads(data)).__name__)
ours = [m for n, m in sys.modules.items() if n.split(".")[0] in ("stage", "features", "pipelines", "model")]
assert len(ours) > 20
assert all(Path(m.__file__).is_relative_to(sys.prefix) for m in ours), ours
from features.spec.file import load_spec
load_spec("wikispeedia-links", [], verb="build-dataset")
"""


OF_TENSORFLOW = ("Analyse", "CopyTransform", "LearnConstants", "Transform", "WriteRawMetadata", "WriteTransform")
"""Steps that are tensorflow-transform's."""


def test_workers_that_have_the_sdist_unpickle_every_step_and_import_no_tensorflow_for_most(
    graph: Any, transforms: dict[str, Any], clean_python: Path, tmp_path: Path
) -> None:
    without, rest = [], []
    for name, step in transforms.items():
        function = _function(step.spec)
        if function is not None and "pickled_python" in function.urn:
            (rest if name.split("/")[0] in OF_TENSORFLOW else without).append(function.payload)
    coders = [coder.spec for coder in graph.coders.values() if "pickled_python" in coder.spec.urn]
    pickled = [*without, *rest, *(BytesValue.FromString(coder.payload).value for coder in coders)]
    (tmp_path / "pickled").write_bytes(b"\n".join(base64.b64encode(part) for part in pickled))
    said = run("-c", UNPICKLE, tmp_path / "pickled", len(without), cwd=tmp_path, python=clean_python)
    assert len(said.splitlines()) == len(pickled) > len(without) > 50


def _function(spec: Any) -> Any:
    """What a step runs, if it is a DoFn or a combiner."""
    if spec.urn == "beam:transform:pardo:v1":
        return _PAR_DO.FromString(spec.payload).do_fn
    return _COMBINE.FromString(spec.payload).combine_fn if spec.urn == "beam:transform:combine_per_key:v1" else None


def test_the_launcher_is_the_command() -> None:
    launcher = (TEMPLATE / "main.py").read_text()
    assert "from pipelines.build_dataset import main" in launcher
    assert "ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/template/main.py" in (TEMPLATE / "Dockerfile").read_text()


def test_the_image_has_the_locked_beam() -> None:
    image = re.search(r"FROM apache/beam_python3.11_sdk:(\S+)", (TEMPLATE / "Dockerfile").read_text())
    assert image is not None
    assert image[1] == dict(locked(ROOT / "requirements.lock"))["apache-beam"]


def test_the_image_has_what_a_build_wants_in_the_locked_versions_and_no_more() -> None:
    assert locked(TEMPLATE / "requirements.lock") <= locked(ROOT / "requirements.lock")
    image = dict(locked(TEMPLATE / "requirements.lock"))
    wanted = [Requirement(line) for line in requires("ssl-two-tower") or []]
    wanted = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": "gcp"})]
    assert len(wanted) > 15
    for requirement in wanted:
        assert requirement.specifier.contains(image[canonicalize_name(requirement.name)]), requirement
    assert "google-cloud-dataflow-client" in image
    assert "setuptools" in image  # builds the package
    assert not {"pytest", "mypy", "pyspark", "faiss-cpu", "tensorboard", "optuna", "scikit-learn"} & set(image)


def test_the_image_is_built_of_what_is_there() -> None:
    dockerfile = (TEMPLATE / "Dockerfile").read_text()
    copied = [
        source for line in re.findall(r"^COPY ([^-].*) \S+$", dockerfile, re.MULTILINE) for source in line.split()
    ]
    assert all((ROOT / source).exists() for source in copied)
    assert str((TEMPLATE / "requirements.lock").relative_to(ROOT)) in copied
    for image in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE):
        assert not image.endswith(":latest")
        assert ":" in image
