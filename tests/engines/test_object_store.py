"""What reads from and writes to gs://, on an emulator: the same as from and to local disk.

TensorFlow's own file system for gs:// knows no emulator; a training comes there by a proxy. A local build makes its
transform on local disk, and copies it; on Dataflow, which no test here has, TensorFlow works on gs:// itself.
"""

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems
from free_ports import free_ports
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from google_addresses import google_addresses
from needs_java import NEEDS_JAVA
from same_weights import assert_same_weights
from waiting import killed_at_the_end, wait_for

from features.dataset import Dataset
from features.spec.file import load_spec
from model.network.npz import unpack
from stage import globs, storage
from stage.manifest import Manifest, describe_files

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
EMULATOR = ROOT / ".engines/gcs-emulator/bin/gcp-storage-emulator"
BUCKET = "gs://bucket"


CREDENTIALS = {
    "type": "authorized_user",
    **dict.fromkeys(("client_id", "client_secret", "refresh_token", "token"), "of nobody"),
    "expiry": "2100-01-01T00:00:00Z",
}


def _upload(directory: str, target: str) -> str:
    for name in storage.sizes(directory):
        storage.copy(f"{directory}/{name}", f"{target}/{name}")
    return target


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty bucket, for this process and those it starts."""
    if not EMULATOR.exists():
        pytest.skip("no emulator of gs://: make engines fetches it")
    (port,) = free_ports(1)  # it reports none that it chose
    flags = ["--host", "localhost", "--port", str(port), "--default-bucket", "bucket", "--in-memory", "--quiet"]
    process = subprocess.Popen([EMULATOR, "start", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{port}")
    # Without credentials each process that starts Beam looks for some until half a minute is over; without the other,
    # it asks Google's metadata server who it is.
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    (tmp_path / "credentials.json").write_text(json.dumps(CREDENTIALS))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    try:
        wait_for(lambda: _answers(port), "an answer of the emulator", by=[process])
        yield BUCKET
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket_of_tensorflow(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The same, for TensorFlow too."""
    port = int(os.environ[storage.EMULATOR].rpartition(":")[2])
    with google_addresses(port, tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield bucket


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("localhost", port)) == 0


def test_a_build_from_and_to_an_object_store(bucket: str, generated: Any, run: Callable[..., Any]) -> None:
    raw, output = _upload(generated.raw, f"{bucket}/raw"), f"{bucket}/deep/dataset"
    storage.write_bytes(f"{output}/.unfinished", b'{"stage": "dataset", "run_id": "a-run-that-died"}')
    with FileSystems.create(f"{output}/train/of-a-run-that-died"):
        pass

    arguments = ("build-dataset", *generated.flags, "--raw", raw, "--output", output)
    manifest = run(*arguments, "--json").manifest
    assert manifest["content"] == generated.content
    assert set(storage.sizes(output)) == {"manifest.json"} | {file["name"] for file in manifest["files"]}
    assert json.loads(storage.read_bytes(f"{output}/manifest.json")) == manifest

    dataset = Dataset.open(output, verify=True)
    assert sum(table.num_rows for table in dataset.entities("items")) == manifest["counts"]["items"]
    again = run(*arguments)
    assert (again.code, again.stderr.splitlines()[-1]) == (
        1, f"error: {output}: is finished already; --overwrite makes it again"
    )  # fmt: skip


@NEEDS_JAVA
def test_an_aggregation_on_spark_from_and_to_an_object_store(
    bucket: str, generated: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    raw, output = _upload(generated.raw, f"{bucket}/raw"), f"{bucket}/deep/aggregate"
    storage.write_bytes(f"{output}/.unfinished", b'{"stage": "aggregate", "run_id": "a-run-that-died"}')
    storage.write_bytes(f"{output}/pairs/of-a-run-that-died", b"")

    aggregate = ("aggregate-spark", *generated.flags, "--raw", raw, "--output", output, "--master", "local[2]")
    manifest = run(*aggregate, "--json").manifest
    assert set(storage.sizes(output)) == {"manifest.json"} | {file["name"] for file in manifest["files"]}
    assert json.loads(storage.read_bytes(f"{output}/manifest.json")) == manifest

    dataset = ("--aggregated", output, "--output", str(tmp_path / "dataset"))
    assert run("build-dataset", *generated.flags, *dataset, "--json").manifest["content"] == generated.content


def test_what_beam_and_tensorflow_leave_there_is_found_and_deleted(bucket: str) -> None:
    """No object stands for a directory of Beam's; an empty one, named as a directory, does for each of TensorFlow's."""
    output, temporary = f"{bucket}/deep/dataset", f"{bucket}/deep/.run-tft"
    names = (".unfinished", "train/a", "items/b", "transform/transform_fn/variables/c")
    for path in (*(f"{output}/{name}" for name in names), f"{temporary}/transform/", f"{temporary}/transform/assets/d"):
        with FileSystems.create(path, "application/octet-stream") as file:
            file.write(b"" if path.endswith("/") else b"1")
    assert list(storage.sizes(f"{temporary}/transform")) == ["assets/d"]
    storage.delete(temporary)
    storage.delete(temporary)
    assert storage.sizes(temporary) == {}
    storage.clear(output, keep=".unfinished")
    assert storage.sizes(f"{bucket}/deep") == {"dataset/.unfinished": 1}


def test_what_would_arrive_unpacked_is_refused(bucket: str) -> None:
    """An object's Content-Encoding isn't of its bytes as they are stored, of which its size is."""
    blob = Client("none", AnonymousCredentials()).bucket("bucket").blob("log/a.jsonl")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"{}"))
    storage.write_bytes(f"{bucket}/log/b.jsonl", b"{}")
    for seeks in (True, False):
        with pytest.raises(
            OSError, match=r"^expected no Content-Encoding, found gzip, so gs:// unpacks it on the way: "
        ):
            storage.open_input(f"{bucket}/log/a.jsonl", seeks=seeks)
        with storage.open_input(f"{bucket}/log/b.jsonl", seeks=seeks) as file:
            assert file.read() == b"{}"
    blob.content_encoding = "identity"
    blob.upload_from_string(b"[]")
    with storage.open_input(f"{bucket}/log/a.jsonl") as file:
        assert file.read() == b"[]"


def test_an_object_that_stands_for_a_directory_is_no_file(bucket: str) -> None:
    for name in ("log/", "log/day=1/", "log/day=1/a.jsonl"):
        with FileSystems.create(f"{bucket}/{name}", "application/octet-stream") as file:
            file.write(b"" if name.endswith("/") else b"1")
    assert globs.match(f"{bucket}/log/**") == globs.match(f"{bucket}/*/day=?/*") == [(f"{bucket}/log/day=1/a.jsonl", 1)]
    assert globs.match(f"{bucket}/log/*") == globs.match(f"{bucket}/log/day=1") == []


def _last_checkpoint(model: str) -> str:
    """Its name; empty if there is none."""
    return max((name for name in storage.sizes(model) if name.startswith("checkpoints/step-")), default="")


def _stop(number: int, *arguments: str, output: str) -> tuple[int, str]:
    """Sends a signal to a training once it has saved a checkpoint; its exit code, and the last that it said."""
    before = _last_checkpoint(output)
    command = [sys.executable, "-m", "pipelines.cli", "train", *arguments, "--output", output]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process, killed_at_the_end(process):
        wait_for(lambda: _last_checkpoint(output) > before, "a later checkpoint", by=[process], seconds=600)
        time.sleep(0.1)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    return process.returncode, said.splitlines()[-1]


@pytest.mark.slow
def test_a_training_from_and_to_an_object_store_that_is_interrupted(
    bucket_of_tensorflow: str, generated: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    dataset, local = str(Path(generated.raw).parent / "local"), str(tmp_path / "model")
    there, output = f"{bucket_of_tensorflow}/deep/dataset", f"{bucket_of_tensorflow}/deep/model"
    long = {"epochs": 30, "batch_size": 192, "input_streams": 3, "checkpoint_every": 20, "patience": None}
    sets = ("--set", "model={embedding_dim: 8, hidden: [8]}", "--set", f"train={json.dumps(long)}")
    assert run("train", "--dataset", dataset, "--output", local, *sets).code == 0

    flags = ("--dataset", _upload(dataset, there), *sets)
    code, said = _stop(signal.SIGTERM, *flags, output=output)
    assert code == 75
    step = int(_last_checkpoint(output)[-13:-4])
    assert said == f"error: interrupted; saved after step {step}, from which the same command goes on"
    code, _ = _stop(signal.SIGKILL, *flags, output=output)
    assert code == -signal.SIGKILL
    assert not storage.exists(f"{output}/manifest.json")
    trained = run("train", *flags, "--output", output)
    assert trained.code == 0, trained.stderr

    manifest, found = json.loads(storage.read_bytes(f"{output}/manifest.json")), set(storage.sizes(output))
    logs = {name for name in found if name.startswith("logs/events.out.tfevents.")}
    assert len(logs) == 3
    assert found - logs == {"manifest.json"} | {file["name"] for file in manifest["files"]}
    for name in ("weights.npz", _last_checkpoint(local)):
        assert_same_weights(unpack(f"{output}/{name}"), unpack(f"{local}/{name}"))
    evaluated = [
        run("evaluate", "--model", model, "--dataset", data, "--output", f"{model}-evaluated", "--json")
        for model, data in ((output, there), (local, dataset))
    ]
    assert evaluated[0].stdout == evaluated[1].stdout


@pytest.mark.slow  # the build beside it reads and writes there too
def test_an_export_on_an_object_store(bucket: str, generated: Any, run: Callable[..., Any], tmp_path: Path) -> None:
    dataset, model, exported = str(Path(generated.raw).parent / "local"), str(tmp_path / "model"), f"{bucket}/served/1"
    small = ("--set", "model={embedding_dim: 8, hidden: [8]}", "--set", "train={epochs: 1, batch_size: 192}")
    small += ("--set", "train.input_streams=3")
    trained = run("train", "--dataset", dataset, "--output", model, *small)
    assert trained.code == 0, trained.stderr
    storage.write_bytes(f"{exported}/.unfinished", b'{"stage": "export", "run_id": "a-run-that-died"}')
    storage.write_bytes(f"{exported}/of_a_run_that_died", b"")
    made = run("export", "--model", model, "--dataset", dataset, "--output", exported)
    assert made.code == 0, made.stderr
    manifest = json.loads(storage.read_bytes(f"{exported}/manifest.json"))
    assert set(storage.sizes(exported)) == {"manifest.json"} | {file["name"] for file in manifest["files"]}
    asked = run("recommend", "--export", exported, "--query", '{"country": "x"}', "--top-k", "7", "--json", "--verify")
    assert asked.code == 0, asked.stderr
    assert len({item["item_id"] for item in json.loads(asked.stdout)[0]["items"]}) == 7
    output = f"{bucket}/deep/recommendations"
    for top_k in ("3", "2"):
        flags = ("--output", output, "--top-k", top_k, "--overwrite", "--json")
        counts = json.loads(run("recommend-all", "--export", exported, *flags).stdout)["counts"]
    system, items = storage.resolve(f"{output}/items")
    assert pq.read_table(items, filesystem=system).num_rows == counts["recommendations"] == 2 * counts["queries"]


def test_publishing_to_an_object_store(bucket: str, run: Callable[..., Any], tmp_path: Path) -> None:
    base, spec = f"{bucket}/deep/published", load_spec("debian").model_dump(mode="json")

    def publish(name: str, *flags: str) -> Any:
        export = f"{tmp_path}/{name}"
        if not storage.exists(export):
            storage.write_bytes(f"{export}/variables/variables.index", name.encode())
            files = describe_files(export)
            inputs = {"model": f"digest of {name}"}
            Manifest(stage="export", run_id=name, spec=spec, inputs=inputs, files=files).write(export)
        return run("publish", "--export", export, "--to", base, *flags)

    def served() -> tuple[int, str]:
        number = int(storage.read_bytes(f"{base}/CURRENT"))
        return number, Manifest.read(f"{base}/{number}", "export", verify=True).run_id

    assert publish("one").stdout == f"published: {base}/1\n"
    assert served() == (1, "one")
    storage.write_bytes(f"{base}/2/published.json", b"a run that died")
    assert publish("two").stdout == f"published: {base}/3\n"
    assert publish("two").stdout == f"published: {base}/3\n"
    assert served() == (3, "two")
    assert run("rollback", "--to", base).stdout == f"published: {base}/4, which is 1 again\n"
    assert served() == (4, "one")
    assert publish("three", "--set", "gate.keep=2").code == 0
    assert served() == (5, "three")
    assert {name.split("/")[0] for name in storage.sizes(base)} == {"CURRENT", "4", "5"}
