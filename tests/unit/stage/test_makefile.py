"""What the Makefile refuses before it makes anything, and what it makes again."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")

INSTALLS_AT_THE_SECOND_TRY = """#!/bin/sh
case $1 in
  venv) for directory; do :; done; rm -rf "$directory"; exec mkdir -p "$directory/bin" ;;
  --batch-mode) mkdir -p .engines/spark; touch .engines/spark/job-server.jar ;;
esac
echo again >> tries
test "$(wc -l < tries)" -gt 1
"""
"""In the place of uv and of mvn."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Files that the rules start from, all as old as each other."""
    directory = tmp_path / "checkout"
    directory.mkdir()
    shutil.copy(ROOT / "Makefile", directory)
    shutil.copytree(ROOT / "tests/engines/job_servers", directory / "tests/engines/job_servers")
    for name in ("requirements.lock", "requirements-bootstrap.lock", "setup.py"):
        (directory / name).touch()
    return directory


def _run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of no other make
    return subprocess.run(["make", *arguments], cwd=checkout, capture_output=True, text=True, check=False, env=alone)


def _make(checkout: Path, target: str) -> str:
    """What it says on stderr once it has failed."""
    found = _run(checkout, target)
    assert found.returncode != 0
    return found.stderr


@pytest.mark.parametrize(
    ("name", "inside", "target"),
    [(".venv", "pyvenv.cfg", "setup"), (".engines", "spark/job-server.log", ".engines/spark/job-server.jar")],
)
def test_what_lies_behind_a_link_is_not_wiped(
    checkout: Path, tmp_path: Path, name: str, inside: str, target: str
) -> None:
    shared = tmp_path / "shared"
    (shared / inside).parent.mkdir(parents=True)
    (shared / inside).write_text("somebody else's\n")
    (checkout / name).symlink_to(shared)
    said = _make(checkout, target)
    assert (shared / inside).read_text() == "somebody else's\n"
    assert f"error: expected {name} to be a directory, found a symbolic link" in said
    assert f"rm {name}" in said


@pytest.fixture
def installing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that has `.venv`, and in it programs that install at the second try."""
    stub = checkout / ".venv/bin/uv"
    stub.parent.mkdir(parents=True)
    stub.write_text(INSTALLS_AT_THE_SECOND_TRY)
    stub.chmod(0o755)
    (stub.parent / "mvn").symlink_to(stub)
    monkeypatch.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
    for lock in ("model/comparison/peers/implicit.lock", "pipelines/retraining/requirements.lock"):
        (checkout / lock).parent.mkdir(parents=True, exist_ok=True)
        (checkout / lock).touch()
    version = subprocess.run(["python3", "--version"], capture_output=True, text=True, check=True).stdout
    (checkout / ".venv/.ready").write_text(f"{(checkout / '.venv').resolve()} {version}")
    return checkout


@pytest.mark.parametrize(
    ("target", "made"),
    [
        (".peers/implicit", ".peers/implicit/bin"),
        (".engines/gcs-emulator/.ready", ".engines/gcs-emulator/bin"),
        (".engines/spark/job-server.jar", ".engines/spark/job-server.jar"),
        ("airflow", ".airflow/bin"),
    ],
)
def test_what_failed_to_install_is_made_again(installing: Path, target: str, made: str) -> None:
    for failed, tries in ((True, 1), (False, 2), (False, 2)):
        assert bool(_run(installing, target).returncode) is failed
        assert (installing / "tries").read_text() == "again\n" * tries
        assert failed or (installing / made).exists()


PYTHON = """#!/bin/sh
case $1 in
  --version) echo Python $(cat version) ;;
  -m) echo cleared >> calls ;;
  pip) echo "$* $(cat)" >> calls; test ! -e uv-fails ;;
esac
"""
"""In the place of Python, pip and uv."""
CLEARED = ["cleared"]
UPDATED = [
    "pip install --quiet --python .venv/bin/python --no-deps --require-hashes -r requirements.lock ",
    "pip sync --quiet --python .venv/bin/python --no-build-isolation requirements.lock - -e .",
]


def test_only_an_environment_that_is_whole_and_of_this_place_and_python_is_not_emptied(checkout: Path) -> None:
    for name in ("python-of-here", ".venv/bin/python", ".venv/bin/pip", ".venv/bin/uv"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(PYTHON)
        (checkout / name).chmod(0o755)

    def set_up(directory: Path = checkout, *, version: str = "3.12.4", is_lock_newer: bool = False) -> list[str]:
        (directory / "version").write_text(version)
        (directory / "calls").write_text("")
        if is_lock_newer:
            os.utime(directory / ".venv/.ready", (0, 0))
        _run(directory, "setup", "PYTHON=./python-of-here")
        return (directory / "calls").read_text().splitlines()

    assert set_up() == CLEARED + UPDATED
    assert set_up() == []
    assert set_up(is_lock_newer=True) == UPDATED
    (checkout / "uv-fails").touch()
    assert set_up(is_lock_newer=True) == UPDATED[:1]
    (checkout / "uv-fails").unlink()
    assert set_up() == CLEARED + UPDATED
    assert set_up(version="3.13.0") == CLEARED + UPDATED
    assert set_up(checkout.rename(checkout.with_name("moved")), version="3.13.0") == CLEARED + UPDATED


def test_airflow_s_folder_of_dags_outlives_its_environment(installing: Path) -> None:
    dags = installing / ".airflow-home/dags"
    dags.mkdir(parents=True)
    (dags / "my_alerts.py").touch()
    for _ in range(2):
        _run(installing, "airflow")
    assert {path.name for path in dags.iterdir()} == {"my_alerts.py", "retraining"}
    assert (dags / "retraining/requirements.lock").samefile(installing / "pipelines/retraining/requirements.lock")


def test_slow_tests_have_all_that_they_would_skip_without(checkout: Path) -> None:
    lock = checkout / "pipelines/retraining/requirements.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    made, tests = _run(checkout, "--dry-run", "test-slow").stdout.split("pytest -m slow")
    assert tests == "\n"
    for needed in (
        "touch .engines/prism",
        "--projects spark",
        "--projects flink",
        "touch .engines/gcs",
        "touch .airflow",
    ):
        assert needed in made


def test_to_resolve_anew_needs_the_locked_uv(checkout: Path) -> None:
    assert "error: expected .venv/bin/uv, which isn't there; make setup brings it" in _make(checkout, "lock")
    assert (checkout / "requirements.lock").read_bytes() == b""
