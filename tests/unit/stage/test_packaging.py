"""What setup.py ships: every package and the files beside it that it reads; not the DAG, which is Airflow's.

And what a build of an image is sent: what its Dockerfile copies, and nothing else.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHIPPED = {".py", ".yaml", ".json", ".html", ".css", ".js"}


def test_every_package_is_shipped(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "setup.py",
        "--quiet",
        "build",
        "--build-base",
        tmp_path,
        "--build-lib",
        tmp_path / "lib",
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    modules = {
        path.relative_to(ROOT)
        for top in ("stage", "features", "pipelines", "model")
        for path in (ROOT / top).rglob("*")
        if path.suffix in SHIPPED and path.is_file() and "retraining" not in path.parts
    }
    shipped = {path.relative_to(tmp_path / "lib") for path in (tmp_path / "lib").rglob("*") if path.is_file()}
    assert {path.suffix for path in modules} == SHIPPED
    assert modules - shipped == set()
    assert not [path for path in shipped if "retraining" in path.parts]


def test_builds_of_images_are_sent_what_they_copy() -> None:
    copied = set()
    for dockerfile in ("dataflow_templates/build_dataset/Dockerfile", "training_image/Dockerfile"):
        lines = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / dockerfile).read_text(), re.MULTILINE)
        copied |= {source for line in lines for source in line.split()}
    everything, *admitted, caches = (ROOT / ".dockerignore").read_text().splitlines()
    assert (everything, caches) == ("*", "**/__pycache__")
    assert sorted(admitted) == sorted(f"!{source}" for source in copied)
