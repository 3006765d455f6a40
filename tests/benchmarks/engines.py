"""One build on every engine that is here, side by side."""

import json
import shutil
import tempfile
from pathlib import Path

from engine_flags import engine_flags
from measure import ROOT, Process, Row, Turns, run_command
from raw_logs import generate

LINES = 500_000


def measure(work: Path, turns: Turns) -> list[Row]:
    raw = generate(work, LINES)
    common = ("--spec", "synthetic", "--raw", str(raw), "--json")
    with tempfile.TemporaryDirectory(dir=work) as directory:
        local = run_command("build-dataset", *common, "--output", f"{directory}/local")
        content = json.loads(local.stdout)["content"]
        rows = [_row("local", local.seconds, detail="in one process")]
        for name, (file, flags) in engine_flags().items():
            missing = _missing(file)
            if missing:
                rows.append(_row(name, None, detail=missing))
                continue
            output = f"{directory}/{name}"
            built = run_command("build-dataset", *common, "--output", output, *flags, environment=_ENVIRONMENT)
            rows.append(_row(name, built.seconds, detail=_against(local, built.seconds)))
            assert json.loads(built.stdout)["content"] == content
        rows.append(_aggregate_spark(common, directory, local=local, content=content))
    return rows


_ENVIRONMENT = {"FLINK_CONF_DIR": str(ROOT / "tests/engines/job_servers/flink")}


def _aggregate_spark(common: tuple[str, ...], directory: str, *, local: Process, content: dict[str, str]) -> Row:
    name = "aggregate-spark, then local"
    if shutil.which("java") is None:
        return _row(name, None, detail="absent: no Java")
    first = run_command("aggregate-spark", *common, "--output", f"{directory}/aggregated")
    aggregated = ("--aggregated", f"{directory}/aggregated", "--output", f"{directory}/from-spark")
    second = run_command("build-dataset", "--spec", "synthetic", "--json", *aggregated)
    assert json.loads(second.stdout)["content"] == content
    seconds = first.seconds + second.seconds
    return _row(name, seconds, detail=f"{first.seconds:.1f} s and {second.seconds:.1f} s; {_against(local, seconds)}")


def _row(engine: str, seconds: float | None, *, detail: str) -> Row:
    return Row(f"build of {LINES:,} lines, {engine}", seconds, "s", detail)


def _against(local: Process, seconds: float) -> str:
    return f"{seconds / local.seconds:.1f}x the local one, the same digests"


def _missing(file: str) -> str | None:
    if not Path(file).exists():
        return "absent: make engines fetches it"
    return "absent: no Java" if file.endswith(".jar") and shutil.which("java") is None else None
