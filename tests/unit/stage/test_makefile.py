"""What the Makefile refuses before it makes anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")


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


def _make(checkout: Path, target: str) -> str:
    """What it says on stderr once it has failed."""
    found = subprocess.run(["make", target], cwd=checkout, capture_output=True, text=True, check=False)
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


def test_slow_tests_have_all_that_they_would_skip_without(checkout: Path) -> None:
    lock = checkout / "pipelines/retraining/requirements.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of no other make
    steps = subprocess.run(
        ["make", "--dry-run", "test-slow"], cwd=checkout, capture_output=True, text=True, check=True, env=alone
    ).stdout
    made, tests = steps.split("pytest -m slow")
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
