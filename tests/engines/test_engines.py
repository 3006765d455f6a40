"""The whole build on real engines: what the local runner makes, to the last digest."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine


# The generated log on each engine; what else is built there says little more, and takes minutes.
BUILDS = [
    pytest.param(engine, name, marks=() if name == "generated" else pytest.mark.slow)
    for engine in ("prism", "spark", "flink")
    for name in ("sample", "generated", "sessions")
]


@pytest.mark.parametrize(("engine", "input_name"), BUILDS, indirect=["engine"])
def test_a_dataset_is_that_of_the_local_runner(
    input_name: str,
    engine: tuple[str, ...],
    run: Callable[..., Any],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    made_from = request.getfixturevalue(input_name)
    built = run(
        "build-dataset",
        *made_from.flags,
        "--raw",
        made_from.raw,
        "--output",
        str(tmp_path / "dataset"),
        "--json",
        *engine,
    )
    manifest = built.manifest
    assert manifest["content"] == made_from.content
    assert manifest["counts"]["examples/train"] > 1_000
    described = {file["name"] for file in manifest["files"]}
    found = {
        str(path.relative_to(tmp_path / "dataset")) for path in (tmp_path / "dataset").rglob("*") if path.is_file()
    }
    assert found == {*described, "manifest.json"}
    assert not _log_lines(built.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["prism", "spark", "flink"], indirect=True)
def test_a_step_that_fails_says_so_in_one_line(
    engine: tuple[str, ...], generated: Any, run: Callable[..., Any], tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(generated.raw, raw)
    log = next(raw.glob("interactions-*.gz"))
    log.write_bytes(log.read_bytes()[:-100])
    flags = (*generated.flags, "--raw", str(raw), "--output", str(tmp_path / "dataset"))
    built = run("build-dataset", *flags, *engine)
    assert built.code == 1
    assert built.stderr.splitlines()[-1].startswith(f"error: {log}: cannot be read to its end")
    assert not _log_lines(built.stderr)
    assert not (tmp_path / "dataset/manifest.json").exists()


def _log_lines(stderr: str) -> list[str]:
    """What isn't progress or the error."""
    return [line for line in stderr.splitlines() if not line.startswith(("build-dataset", "error: "))]
