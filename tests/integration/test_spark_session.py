"""What a Spark session refuses and fails of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs_java import NEEDS_JAVA
from small_specs import small_tree

from pipelines.cli import dispatch
from stage.command_line import run_command
from stage.manifest import Manifest


def test_a_setting_without_a_value_is_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "aggregate"
    arguments = ["aggregate-spark", "--spec", "debian", "--output", str(output), "--conf", "spark.executor.memory"]
    assert run_command(dispatch, arguments) == 2
    assert capsys.readouterr().err.startswith(
        "error: argument --conf: expected KEY=VALUE, as in --conf spark.executor.memory=4g, got 'spark.executor.memory'"
    )
    assert not output.exists()


@NEEDS_JAVA
def test_a_finished_aggregate_is_kept_until_spark_has_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_text('{"query_id": "u", "item_id": "a"}\n')
    (tmp_path / "items.jsonl").write_text('{"item_id": "a"}\n')
    spec = small_tree(log={"path": "log.jsonl"}, sources={"items": {"path": "items.jsonl"}})
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    output = tmp_path / "aggregate"
    Manifest(stage="aggregate", run_id="r").write(str(output))
    flags = ["--spec", str(tmp_path / "spec.yaml"), "--raw", str(tmp_path), "--output", str(output), "--overwrite"]
    command = ["aggregate-spark", *flags, "--master", "nowhere"]
    assert run_command(dispatch, command) == 1
    assert "error: --master nowhere: can't be started or reached: " in capsys.readouterr().err
    assert [path.name for path in output.iterdir()] == ["manifest.json"]
    # What can't be an output is told before Spark starts.
    (output / "manifest.json").rename(output / "notes.json")
    assert run_command(dispatch, command) == 1
    assert "aggregate: holds files that no run of this command left" in capsys.readouterr().err


_FAILS = """
import os, signal, sys, threading, time
from unittest.mock import MagicMock
from py4j.protocol import Py4JError
from pipelines.spark.session import start_spark
from stage.command_line import run_command

def body(argv):
    with start_spark("local[1]", []) as spark:
        if argv == ["java"]:  # and the stop fails too
            spark.sparkContext._jsc = MagicMock(**{"stop.side_effect": Py4JError("broken off")})
            spark.sparkContext._jvm.java.util.ArrayList().get(3)
        if argv == ["interrupted"]:
            threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
            spark.range(1).rdd.map(lambda _: time.sleep(60)).count()
        java = spark.sparkContext._gateway.proc
        os.kill(java.pid, signal.SIGKILL)
        java.wait()
        spark.range(3).count()

sys.exit(run_command(body))
"""


_STARTS = """
from pipelines.spark.session import start_spark

with start_spark(None, [("spark.app.name", "mine=x")]) as spark:
    conf = spark.sparkContext.getConf()
    print(spark.sparkContext.master, conf.get("spark.ui.enabled", "true"), conf.get("spark.app.name"))
"""


@NEEDS_JAVA
@pytest.mark.parametrize(
    ("defaults", "runs"),
    [
        ({"spark-defaults.conf": "spark.master local[3]\n"}, "local[3] true mine=x"),
        pytest.param({}, "local[*] false mine=x", marks=pytest.mark.slow),
    ],
)
def test_spark_runs_where_its_defaults_say_else_on_this_machine(
    defaults: dict[str, str], runs: str, tmp_path: Path
) -> None:
    for name, content in defaults.items():
        (tmp_path / name).write_text(content)
    environment = os.environ | {"SPARK_CONF_DIR": str(tmp_path)}
    started = subprocess.run(
        [sys.executable, "-c", _STARTS], env=environment, capture_output=True, text=True, check=True
    )
    assert started.stdout == f"{runs}\n"


@NEEDS_JAVA
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("interrupted", 75, "interrupted; the same command starts again where that is possible"),
        ("java", 1, "the job failed: java.lang.IndexOutOfBoundsException: Index 3 out of bounds for length 0"),
        pytest.param(
            "gone", 1, "Spark is gone (Connection refused); its log, or --verbose, may say why", marks=pytest.mark.slow
        ),
    ],
)
def test_what_spark_itself_fails_of_is_one_line(how: str, code: int, said: str) -> None:
    failed = subprocess.run([sys.executable, "-c", _FAILS, how], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (code, f"error: {said}\n")
