"""A job whose spec is all that a test is about."""

from features.spec.spec import Spec
from pipelines.aggregation.job import Job
from pipelines.aggregation.output import Target


def small_job(spec: Spec, directory: str = "out") -> Job:
    return Job(spec, Target(directory, "r", 1), {}, {}, "shuffle", [], {})
