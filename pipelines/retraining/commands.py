"""Each stage of a run as the arguments of a command.

Each may be repeated: what is finished and of the same input is left as it is, all else resumed or made again.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from retraining.night import Night, run_name

VERBS_OF_SECTION = {
    "model": ("train",),
    "ssl": ("train",),
    "train": ("train",),
    "evaluate": ("train", "evaluate", "gate", "export"),
    "export": ("export",),
    "gate": ("gate", "publish"),
}
"""Section of the spec -> the verbs that are told of an override; all other sections are the build's."""
_BUILDS = ("build-dataset", "aggregate-spark")
_RESUME = ["--skip-done", "--overwrite"]


def build(night: Night) -> list[str]:
    """Raw logs -> dataset, held to the last one's schema and distributions; never in place of a published model's."""
    temp = ["--temp_location", night.temp] if night.temp else []
    where = ["--output", night.dataset, *_shards(night), *temp]
    return ["build-dataset", *_source(night), *where, *_window(night), *_baseline(night), *_published(night), *_RESUME]


def aggregate(night: Night) -> list[str]:
    """Raw logs -> the first half of a build, on Spark."""
    where = ["--output", night.aggregate, *_shards(night)]
    return ["aggregate-spark", *_source(night), *where, *_window(night), *_RESUME]


def build_aggregated(night: Night) -> list[str]:
    """What Spark left -> dataset."""
    source = ["--spec", night.settings.spec, "--aggregated", night.aggregate, *_overrides(night, "build-dataset")]
    where = ["--output", night.dataset]
    return ["build-dataset", *source, *where, *_window(night), *_baseline(night), *_published(night), *_RESUME]


def validate(night: Night) -> list[str]:
    """Every file of the dataset as its manifest says, and about as many examples as in the last one."""
    change = ["--max-change", f"{night.settings.max_change:g}"] if night.baseline else []
    return ["validate", "--dataset", night.dataset, *_baseline(night), *change]


def train(night: Night) -> list[str]:
    """Dataset -> model, from the published one on; never in the place of one that is published."""
    start = [*_published(night), *([] if night.settings.warm_start else ["--cold-start"])]
    return ["train", *_dataset(night), "--output", night.model, *start, *_overrides(night, "train"), *_RESUME]


def evaluate(night: Night) -> list[str]:
    """Model -> metrics.json."""
    where = ["--output", night.directory, "--overwrite"]
    return ["evaluate", "--model", night.model, *_dataset(night), *where, *_overrides(night, "evaluate")]


def gate(night: Night) -> list[str]:
    """Model and champion on the new test split -> a verdict, the last line of the output."""
    which = ["--model", night.model, *_dataset(night), *_published(night)]
    return ["gate", *which, *_overrides(night, "gate"), "--json"]


def export(night: Night) -> list[str]:
    """Model and corpus -> what is served; `judged` says which model."""
    where = ["--output", night.export, "--overwrite"]
    served = ["--candidates", night.settings.candidates] if night.settings.candidates else []
    return ["export", *_dataset(night), *served, *where, *_overrides(night, "export")]


def publish(night: Night) -> list[str]:
    """Export -> the next number, and CURRENT."""
    return ["publish", "--export", night.export, "--to", night.published, *_overrides(night, "publish")]


def judged(stage: str, night: Night, *, verdict: Mapping[str, Any]) -> list[str]:
    """The gate's verdict -> what a stage after it is told.

    `export` takes the model that is served if the new one may not be, so that today's items are served in any case;
    `publish` is told after which number's model, and no other, the export may come.
    """
    if stage == "export":
        return ["--model", night.model if verdict["publish"] else verdict["served_model"]]
    return ["--after", str(verdict["served"] or 0)]


def report(night: Night) -> list[str]:
    """The run -> one page."""
    return ["report", "--run", night.directory, "--overwrite"]


def remove_runs(night: Night) -> list[str]:
    """Old runs -> what later ones read of them: published models, and the dataset that the next is held to.

    Nothing where none are to go.
    """
    if not night.settings.keep_days:
        return []
    before = run_name(night.start - timedelta(days=night.settings.keep_days))
    return ["remove-runs", "--runs", night.runs, *_published(night), "--before", before]


STAGES: dict[str, Callable[[Night], list[str]]] = {
    stage.__name__: stage
    for stage in (
        build,
        aggregate,
        build_aggregated,
        validate,
        train,
        evaluate,
        gate,
        export,
        publish,
        report,
        remove_runs,
    )
}


def template_parameters(night: Night) -> dict[str, str]:
    """A build as parameters of the Flex Template.

    Raises:
        ValueError: If more than one key of the build's is overridden, which a template can't be told.
    """
    overrides = _overrides(night, "build-dataset")[1::2]
    if len(overrides) > 1:
        raise ValueError(f"overrides: a template takes one of the build's, got {', '.join(overrides)}; write a spec")
    return {
        "spec": night.settings.spec,
        "raw": night.settings.raw,
        "output": night.dataset,
        **night.window,
        **({"baseline": night.baseline} if night.baseline else {}),
        **({"set": overrides[0]} if overrides else {}),
        **({"shards": str(night.settings.shards)} if night.settings.shards else {}),
        "published": night.published,
        "overwrite": "true",  # a launcher that skips what is done would submit no job, which counts as failed
    }


def _source(night: Night) -> list[str]:
    return ["--spec", night.settings.spec, "--raw", night.settings.raw, *_overrides(night, "build-dataset")]


def _shards(night: Night) -> list[str]:
    return ["--shards", str(night.settings.shards)] if night.settings.shards else []


def _window(night: Night) -> list[str]:
    return [part for name, instant in night.window.items() for part in (f"--{name}", instant)]


def _baseline(night: Night) -> list[str]:
    return ["--baseline", night.baseline] if night.baseline else []


def _published(night: Night) -> list[str]:
    return ["--published", night.published]


def _overrides(night: Night, verb: str) -> list[str]:
    told = [o for o in night.settings.overrides if verb in VERBS_OF_SECTION.get(re.split("[.=]", o)[0], _BUILDS)]
    return [part for override in told for part in ("--set", override)]


def _dataset(night: Night) -> list[str]:
    return ["--dataset", night.dataset]
