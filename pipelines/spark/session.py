"""Starting Spark, and what it says when a task fails."""

import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pyspark
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from pipelines.step_errors import step_error
from stage.errors import StageError
from stage.interrupts import check_interrupted, interrupts_held, take_signals_back

ELEMENTS_PER_BATCH = 16
"""Rows that Spark hands to Python at once; each is a whole table."""


@contextmanager
def start_spark(master: str | None, conf: Sequence[tuple[str, str]]) -> Iterator[SparkSession]:
    """A session, stopped at the end.

    Args:
        master: Where to run; None: as spark-submit or spark-defaults.conf says, else in this machine's cores.
        conf: Key and value of each setting.

    Raises:
        StageError: If Spark can't be started, or what is done with it fails.
    """
    # Workers must run the interpreter that has this package.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("ssl-two-tower aggregate-spark")
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", ELEMENTS_PER_BATCH)
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    # Else modules of a worker's working directory, such as features, would go before this package's.
    builder = builder.config("spark.executorEnv.PYTHONSAFEPATH", "1")
    if master is not None:
        builder = builder.master(master)
    elif not _submitted() and not _has_defaults():
        builder = builder.config("spark.ui.enabled", "false")
    for key, value in conf:
        builder = builder.config(key, value)
    # Interrupted while it starts, Java would stay for ever: from then on it is ours to stop. It may take long, as where
    # the master can't be reached.
    with interrupts_held(first_alone=True) as release:
        try:
            spark = builder.getOrCreate()
        except Exception as error:
            check_interrupted()
            asked = f"--master {master}" if master is not None else "Spark"
            raise StageError(
                f"{asked}: can't be started or reached: {_reason(error)}; it needs Java 17 or newer, and a master such "
                "as local[2], or spark://HOST:7077 of the version of PySpark; --verbose shows Spark's log"
            ) from error
        take_signals_back()
        try:
            release()
            spark.sparkContext.setLogLevel("ERROR")
            yield spark
        except (PySparkException, Py4JError) as error:
            check_interrupted()
            raise StageError(describe_failure(error)) from error
        except ConnectionError as error:
            check_interrupted()
            raise StageError(
                f"Spark is gone ({error.strerror or error}); its log, or --verbose, may say why"
            ) from error
        finally:
            # Of a Spark that is gone nothing is left to stop. Where an interrupt broke an answer off, so that the stop
            # isn't understood, which PySpark warns of, Java ends with this process.
            with suppress(Py4JError, ConnectionError), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                spark.stop()


def _submitted() -> bool:
    """Whether spark-submit started this process, which has said where to run."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _has_defaults() -> bool:
    """Whether there is a spark-defaults.conf: what whoever set Spark up here wants goes before our own defaults."""
    home = os.environ.get("SPARK_HOME") or os.path.dirname(pyspark.__file__)
    directory = os.environ.get("SPARK_CONF_DIR") or os.path.join(home, "conf")
    return os.path.exists(os.path.join(directory, "spark-defaults.conf"))


def describe_failure(error: BaseException) -> str:
    """What failed, in one line, without Spark's wrapping: a task's own StageError says it best."""
    return step_error(_text(error)) or f"the job failed: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """The line that says most: that of Java's exception if there is one, else the first."""
    lines = [line.strip(": ") for line in _text(error).splitlines() if line.strip()]
    java = [line for line in lines if re.match(r"[a-z]+(\.\w+)+(Exception|Error): ", line)]
    return (java or lines or [type(error).__name__])[0]


def _text(error: BaseException) -> str:
    """What an error says; that of a Java exception asks Java, which may be gone."""
    try:
        return str(error)
    except (Py4JError, ConnectionError):
        return f"{type(error).__name__}: and Spark, which could say more, is gone"
