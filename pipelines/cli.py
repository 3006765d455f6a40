"""`ssl-two-tower`: finds the verb's module and hands over.

Help, wrong flags, misspelt directories and wrong keys of --set don't wait until it is imported.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal, NoReturn

from features.spec.sections_read import SECTIONS_READ
from stage import extras
from stage.command_line import run_process
from stage.errors import UsageError, did_you_mean
from stage.parser import VERBOSE, Parser, UnknownArgument

_MADE_BEFORE: Final[dict[str, Literal["dataset", "model", "export"]]] = {
    "dataset": "dataset",
    "known": "dataset",
    "model": "model",
    "warm_start": "model",
    "export": "export",
}
"""Flags of verbs whose modules take seconds to import -> which stage made the directories that they name."""
_OVERRIDDEN: Final = ("model", "dataset")
"""The first of these flags that such a verb has names the directory whose spec its --set overrides."""
_BEGUN_ANEW: Final[dict[str, Literal["export", "recommendations"]]] = {
    "export": "export",
    "recommend-all": "recommendations",
}
"""Such verbs that need to know no more than --overwrite to refuse an output that is there -> what they leave."""
_HELP: Final = ("-h", "--help", "help")


@dataclass(frozen=True)
class Verb:
    """A command, and the module whose `main` runs it, as `python -m` does too."""

    module: str
    summary: str
    options: str | None = None
    """The module whose `make_parser` has the flags, where `module`, which parses them too, takes seconds to import."""
    takes_beams: bool = False
    """Whether flags that `options` doesn't have may be Beam's."""


VERBS = {
    "run": Verb("pipelines.run", "build, train and evaluate, resumable"),
    "convert": Verb("pipelines.raw_logs.convert", "public data as downloaded -> raw logs"),
    "generate": Verb("pipelines.raw_logs.generate", "synthetic raw logs, of any size"),
    "build-dataset": Verb(
        "pipelines.build_dataset", "raw logs -> a dataset (Beam)", "pipelines.build_options", takes_beams=True
    ),
    "validate": Verb("pipelines.validate", "a dataset, and yesterday's -> whether it is whole and about as large"),
    "aggregate-spark": Verb("pipelines.spark.aggregate", "the first half of a build, on Spark"),
    "train": Verb("model.train", "a dataset -> a model", "model.options.train"),
    "evaluate": Verb("model.evaluate", "a model and a dataset -> metrics.json", "model.options.evaluate"),
    "export": Verb("model.export", "a model and a dataset -> a SavedModel that recommends", "model.options.export"),
    "recommend": Verb("model.recommend", "an export and queries -> the best items", "model.options.recommend"),
    "recommend-all": Verb(
        "model.recommend_all", "an export -> the best items for each of its queries", "model.options.recommend_all"
    ),
    "similar": Verb("model.similar", "an export and items -> the items nearest to them", "model.options.similar"),
    "report": Verb("model.report", "a run -> one HTML file to read and to send on", "model.options.report"),
    "gate": Verb("model.gate", "a new model and the published one -> whether it may replace it", "model.options.gate"),
    "publish": Verb("pipelines.publish", "an export -> the model that is served"),
    "rollback": Verb("pipelines.rollback", "an older published model -> the one that is served again"),
    "remove-runs": Verb("pipelines.remove_runs", "removes old runs of the retraining that no later run reads"),
    "compare": Verb(
        "model.compare", "which variant is better, and how sure that is; resumable", "model.options.compare"
    ),
}


def dispatch(argv: Sequence[str]) -> None:
    """Runs a verb.

    Raises:
        UsageError: If there is no such verb.
        StageError: If it fails, or needs a package of an extra that isn't there.
    """
    words = [word for word in argv if word.partition("=")[0] != VERBOSE]
    if words[:1] and words[0] in _HELP and words[1:] and not words[1].startswith("-"):
        argv = words = [words[1], "--help"]
    if not words or words[0] in _HELP:
        print(_help())
        if not words:
            raise UsageError("expected a verb")
        return
    if words[0] == "--version":
        print(f"ssl-two-tower {_version()}")
        return
    if words[0].startswith("-"):
        raise UsageError(f"expected a verb first, got '{words[0]}'{_verb_before(words)}")
    verb = VERBS.get(words[0])
    if verb is None:
        raise UsageError(f"no verb '{words[0]}'{did_you_mean(words[0], VERBS)}; see ssl-two-tower --help")
    rest = list(argv)
    rest.remove(words[0])
    try:
        _check_before_import(words[0], rest)
        import_module(verb.module).main(rest)
    except UnknownArgument as error:
        raise _of_a_key(error, words[0]) from None
    except ModuleNotFoundError as error:
        extras.refuse_missing(error, by=words[0])
        raise


def _verb_before(words: Sequence[str]) -> str:
    """What was meant by words that begin with an option: one that needs no verb, or the verb among them before it."""
    verbs = [word for word in words if word in VERBS]
    verb = verbs[0] if len(verbs) == 1 else "VERB"
    after = f"; options come after it: ssl-two-tower {verb} {words[0]} ..."
    return did_you_mean(words[0], ("--help", "--version"), otherwise=after, likeness=0.75)


def _of_a_key(error: UnknownArgument, name: str) -> UsageError:
    """The error, but one that names --set if the argument is called as a key that the verb reads."""
    from features.spec.overrides import keys_called  # noqa: PLC0415  (pydantic, for which no help waits)

    keys = keys_called(error.argument.lstrip("-").replace("-", "_"), SECTIONS_READ.get(name, ()))
    meant = " or ".join(f"--set {key}=VALUE" for key in keys)
    return UsageError(f"unknown argument {error.argument}; did you mean {meant}?") if keys else error


def _check_before_import(name: str, arguments: Sequence[str]) -> None:
    """Answers --help, and refuses wrong flags, directories, overrides and outputs where a module is slow to import.

    Raises:
        UsageError: If a flag or an override is wrong.
        StageError: If a directory doesn't hold what is read from it, or the output is there.
        SystemExit: If help was asked for.
    """
    verb = VERBS[name]
    if verb.options is not None:
        parser: Parser = import_module(verb.options).make_parser()
        if verb.takes_beams:
            parser.parse_known_args(arguments)
        else:
            options = parser.parse_args(arguments)
            _check_directories(options)
            if getattr(options, "overrides", None):
                _check_overrides(options, name)
            if name in _BEGUN_ANEW:
                _check_output(options, _BEGUN_ANEW[name])


def _check_directories(options: Namespace) -> None:
    """Refuses directories without a manifest of the right stage, as is likely of a misspelt one.

    Raises:
        StageError: If there is one.
    """
    from stage.manifest import Manifest  # noqa: PLC0415  (pydantic and pyarrow, for which no help waits)
    from stage.published import current_number  # noqa: PLC0415

    for flag, stage in _MADE_BEFORE.items():
        given = getattr(options, flag, None) or []
        for directory in [given] if isinstance(given, str) else given:
            if stage != "export" or current_number(directory) is None:
                Manifest.open(directory, stage)


def _check_overrides(options: Namespace, name: str) -> None:
    """Refuses overrides that the spec of a directory doesn't take.

    Raises:
        UsageError: If there is one.
    """
    from features.spec.file import spec_of  # noqa: PLC0415  (pydantic, for which no help waits)
    from stage.manifest import Manifest  # noqa: PLC0415

    flag = next((flag for flag in _OVERRIDDEN if hasattr(options, flag)), None)
    if flag is None:  # as of `compare`, which overrides that of --spec
        return
    directory = getattr(options, flag)
    spec_of(Manifest.open(directory, _MADE_BEFORE[flag]), directory, overrides=options.overrides, verb=name)


def _check_output(options: Namespace, stage: Literal["export", "recommendations"]) -> None:
    """Refuses an output as the verb would.

    Raises:
        StageError: If it is there and may not be replaced.
        UsageError: If a file is.
    """
    from stage.output import refuse_taken  # noqa: PLC0415  (pydantic and pyarrow, for which no help waits)
    from stage.published import refuse_published  # noqa: PLC0415

    if stage == "export":
        refuse_published(options.output)
    refuse_taken(options.output, stage, overwrite=options.overwrite, made_from=None)


def _help() -> str:
    width = max(len(name) for name in VERBS)
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: ssl-two-tower VERB --option value ...",
            "",
            "Self-supervised two-tower retrieval: from raw logs to a recommender.",
            "",
            "verbs:",
            *lines,
            "",
            "ssl-two-tower VERB --help says more, with an example. --verbose shows the libraries' logs,",
            "--version the version.",
            "exit codes: 0 ok, 1 failed, 2 wrong use, 75 interrupted (the same command resumes)",
        ]
    )


def _version() -> str:
    try:
        return version("ssl-two-tower")
    except PackageNotFoundError:
        return "(not installed)"


def main() -> NoReturn:
    """The console command."""
    run_process(dispatch)


if __name__ == "__main__":
    main()
