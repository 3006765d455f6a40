"""`ssl-two-tower run`: raw logs -> dataset -> model -> metrics, each stage a command of its own, done ones skipped."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from features.data_window import window_of
from features.made_under import dataset_done_from, made_under, model_made_from
from features.metrics_file import NAME as METRICS
from features.metrics_file import Evaluation, why_other_metrics
from features.pseudonyms import load_pseudonyms
from features.spec.file import load_spec
from features.spec.overrides import set_options
from features.spec.sections_read import SECTIONS_READ
from features.spec.spec import Spec
from pipelines.aggregation.inputs import find_inputs
from pipelines.aggregation.options import add_job_options, job_options_of
from pipelines.aggregation.raw_directory import check_raw
from stage import extras, storage
from stage.child_process import run_verb
from stage.command_line import run_process
from stage.errors import Interrupted, StageError
from stage.manifest import Manifest
from stage.output import refuse_file
from stage.parser import Parser


@dataclass(frozen=True)
class Stage:
    """One step of a run."""

    verb: str
    arguments: list[str]
    output: str
    in_the_way: Callable[[], str | None]
    """How a finished output that is there differs from this run's, in words: empty if it doesn't, None without one."""


def plan_stages(
    spec: Spec, directory: str, *, source: str, raw: str | None, flags: Sequence[str], job: dict[str, str | None]
) -> list[Stage]:
    """The stages of a run, in order.

    Args:
        spec: The whole spec, overrides applied.
        directory: The run's directory.
        source: Name or path that the spec was loaded from.
        raw: As `build-dataset` takes it.
        flags: Further ones of the build, Beam's too.
        job: Job options, such as data_start; None where not given.
    """
    dataset, model, metrics = (storage.join(directory, name) for name in ("dataset", "model", METRICS))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in job.items() if value is not None]
    where = ["--raw", raw] if raw is not None else []
    return [
        Stage(
            "build-dataset",
            ["--spec", source, *where, "--output", dataset, *set_options(spec, "build-dataset"), *options, *flags],
            dataset,
            lambda: _other_dataset(dataset, spec, raw=raw, job=job),
        ),
        Stage(
            "train",
            ["--dataset", dataset, "--output", model, *set_options(spec, "train")],
            model,
            lambda: _other_model(model, spec, dataset=dataset),
        ),
        Stage(
            "evaluate",
            ["--model", model, "--dataset", dataset, "--output", directory, *set_options(spec, "evaluate")],
            metrics,
            lambda: _other_metrics(metrics, spec, dataset=dataset, model=model),
        ),
    ]


def _other_dataset(directory: str, spec: Spec, *, raw: str | None, job: dict[str, str | None]) -> str | None:
    found = Manifest.find(directory)
    if found is None:
        return None
    read = {"raw": find_inputs(spec, raw, window=window_of(job)).digest}
    read |= load_pseudonyms(spec.sources.pseudonymise).digests
    made_from = made_under(spec, "build-dataset", inputs=read, job_options=job)
    return found.why_not_done(directory, "dataset", made_from=dataset_done_from(made_from, found))


def _other_model(directory: str, spec: Spec, *, dataset: str) -> str | None:
    found = Manifest.find(directory)
    if found is None:
        return None
    made_from = model_made_from(spec, Manifest.open(dataset, "dataset"))
    return found.why_not_done(directory, "model", made_from=made_from)


def _other_metrics(path: str, spec: Spec, *, dataset: str, model: str) -> str | None:
    manifests = {"dataset": Manifest.find(dataset), "model": Manifest.find(model)}
    read = {name: manifest.content_digest for name, manifest in manifests.items() if manifest is not None}
    return why_other_metrics(path, Evaluation("test", spec.evaluate, read))


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If a stage fails, or a finished output of another spec or input is in the way.
        SystemExit: If a stage was interrupted or used wrongly; it has said so.
    """
    parser = _parser()
    arguments, flags = parser.parse_known_args(argv)
    if flags:
        from pipelines.beam.options import parse_beam_flags  # noqa: PLC0415  (Beam takes seconds to import)

        parse_beam_flags(flags, parser)
    spec = load_spec(arguments.spec, arguments.overrides, verb="run")
    check_raw(arguments.raw, spec.sources)
    refuse_file(arguments.output)
    if arguments.until != "build-dataset":
        extras.require("train", by="run")
    job = job_options_of(arguments)
    if arguments.shards is not None:
        flags = [f"--shards={arguments.shards}", *flags]
    stages = plan_stages(spec, arguments.output, source=arguments.spec, raw=arguments.raw, flags=flags, job=job)
    last = next((n for n, stage in enumerate(stages) if stage.verb == arguments.until), len(stages))
    for stage in stages[: last + 1]:
        _run(stage, overwrite=arguments.overwrite, verbose=arguments.verbose)


def _run(stage: Stage, *, overwrite: bool, verbose: bool) -> None:
    difference = stage.in_the_way()
    done = difference == ""
    if done and stage.verb != "evaluate":
        print(f"{stage.verb}: done before, in {stage.output}", file=sys.stderr)
        return
    if difference and not overwrite:
        raise StageError(f"{stage.output}: {difference}; --overwrite makes it again, or give another --output")
    if not done:
        print(f"{stage.verb}: into {stage.output}", file=sys.stderr, flush=True)
    flags = {"--skip-done": done, "--overwrite": overwrite, "--verbose": verbose}
    try:
        run_verb(stage.verb, [*stage.arguments, *(flag for flag, is_given in flags.items() if is_given)])
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr, flush=True)  # no second error: the verb's own was one
        raise SystemExit(interrupted.exit_code) from None


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower run",
        description="Builds the dataset, trains and evaluates; what is done is skipped, and metrics are shown "
        "again. Takes Beam's flags too.",
        example="ssl-two-tower run --spec wikispeedia-links --raw RAW --output RUN --set ssl.alpha=0",
    )
    parser.add_argument("--spec", required=True, help="a shipped spec's name, or a path to a YAML file")
    parser.add_argument("--raw", help="directory that the spec's relative paths lie under")
    parser.add_argument("--output", required=True, help="directory for dataset/, model/ and metrics.json")
    parser.add_argument("--until", choices=("build-dataset", "train", "evaluate"), help="the last stage to run")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="make again what another spec or input has left there, or lacks files; an interrupted training is resumed",
    )
    add_job_options(parser)
    parser.add_set_option(SECTIONS_READ["run"])
    return parser


if __name__ == "__main__":
    run_process(main)
