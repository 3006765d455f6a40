"""The engines that `make engines` fetches, as tests and benchmarks start them."""

from collections.abc import Mapping
from pathlib import Path

ENGINES = Path(__file__).parents[2] / ".engines"

Flags = tuple[str, ...]


def engine_flags() -> Mapping[str, tuple[str, Flags]]:
    """Engine -> the file that says it is there, and the flags with which Beam starts it on free ports and stops it."""
    spark, flink = (str(ENGINES / name / "job-server.jar") for name in ("spark", "flink"))
    prism = str(ENGINES / "prism")
    return {
        "prism": (prism, ("--runner=PrismRunner", f"--prism_location={prism}")),
        "spark": (
            spark,
            ("--runner=SparkRunner", f"--spark_job_server_jar={spark}", "--spark_master_url=local[2]"),
        ),
        "flink": (
            flink,
            ("--runner=FlinkRunner", f"--flink_job_server_jar={flink}", "--flink_master=[local]", "--parallelism=2"),
        ),
    }
