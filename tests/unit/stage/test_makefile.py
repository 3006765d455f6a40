"""What `make setup` does before it makes anything."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_an_environment_behind_a_link_is_not_wiped(tmp_path: Path) -> None:
    checkout, shared = tmp_path / "checkout", tmp_path / "shared"
    shared.mkdir()
    (shared / "pyvenv.cfg").write_text("home = /usr/bin\n")
    checkout.mkdir()
    (checkout / ".venv").symlink_to(shared)
    shutil.copy(ROOT / "Makefile", checkout)
    for name in ("requirements.lock", "requirements-bootstrap.lock", "setup.py"):
        (checkout / name).touch()
    found = subprocess.run(["make", "setup"], cwd=checkout, capture_output=True, text=True, check=False)
    assert (shared / "pyvenv.cfg").read_text() == "home = /usr/bin\n"
    assert found.returncode != 0
    assert "error: expected .venv to be a directory, found a symbolic link" in found.stderr
    assert "rm .venv" in found.stderr
