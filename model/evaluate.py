"""`ssl-two-tower evaluate`: a model's metrics on a split, beside what a user would have without it."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from features.dataset import Dataset
from features.metrics_file import NAME, Evaluation, why_other_metrics
from features.spec.evaluate import Evaluate
from features.spec.file import spec_of
from features.split import SplitName
from model.network.finished_model import FinishedModel
from model.options.evaluate import make_parser
from model.ranking.beaten_by import describe_better_baseline
from model.ranking.candidates import Candidates, read_candidates
from model.ranking.held_out import warn_if_seen
from model.ranking.metrics import COLD_AMONG_COLD, NAMES, Metrics, shown_name
from model.training.training_end import last_was_best
from model.training.training_history import NAME as HISTORY
from model.training.training_history import read_history
from stage import storage
from stage.command_line import run_process
from stage.console import console, print_widest
from stage.errors import StageError
from stage.output import refuse_file, refuse_output
from stage.probe import check_writable

SHOWN_SLICES = ("overall", "head", "tail", "cold", COLD_AMONG_COLD)
_COUNTS = ("pairs", "queries")
_COLUMNS = (*_COUNTS, *NAMES)


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the model or the dataset isn't whole, they don't fit each other, or the result is there
            already or can't be written.
        UsageError: If an option or a key is wrong, or the output is another command's.
    """
    options = make_parser().parse_args(argv)
    refuse_file(options.output)
    refuse_output(options.output)
    path = storage.join(options.output, NAME)
    dataset = Dataset.open(options.dataset, verify=options.verify)
    model = FinishedModel.open(options.model, verify=options.verify)
    settings = spec_of(model.manifest, options.model, overrides=options.overrides, verb="evaluate").evaluate
    seen = warn_if_seen(model, dataset=dataset, split=options.split)
    candidates = None if options.candidates is None else read_candidates(options.candidates, dataset)
    wanted = _evaluation(model, dataset, split=options.split, settings=settings, candidates=candidates)
    other = why_other_metrics(path, wanted)
    done = options.skip_done and other == ""
    if not (other is None or done or options.overwrite):
        raise StageError(f"{path}: {other or 'is there already'}; --overwrite makes it again")
    if done:
        print(f"evaluate: done before, in {path}", file=sys.stderr)
        result = json.loads(storage.read_bytes(path))
    else:
        check_writable(options.output)
        result = evaluate(model, dataset=dataset, split=options.split, settings=settings, candidates=candidates)
        if seen is not None:
            result["seen"] = seen
        storage.write_bytes(path, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    if options.json:
        print(json.dumps(result, allow_nan=False))
    else:
        _show(result, split=options.split, path=path, more_epochs=_more_epochs_may_help(model))
        if not done:
            console().print(f"written: {path}", soft_wrap=True)


def evaluate(
    model: FinishedModel,
    *,
    dataset: Dataset,
    split: SplitName,
    settings: Evaluate,
    candidates: Candidates | None = None,
) -> dict[str, Any]:
    """Ranks a split by the model and by the baselines.

    Args:
        model: The model.
        dataset: The dataset.
        split: Which split.
        settings: What is ranked.
        candidates: The items that are ranked; None: all.

    Returns:
        What metrics.json holds.

    Raises:
        StageError: If a file can't be read, or the model can't read the dataset's features.
    """
    from model.ranking.ranking import embedding_scorer  # noqa: PLC0415  (TensorFlow, for which no shown metrics wait)
    from model.ranking.slice_rankings import rank_slices  # noqa: PLC0415
    from model.ranking.split_scorers import baseline_scorers, embed_split, read_split_to_rank  # noqa: PLC0415

    to_rank = read_split_to_rank(dataset, split, settings=settings, candidates=candidates)
    # The model's embeddings are gone before co-occurrence is counted: each may fill the memory.
    own = rank_slices(
        to_rank,
        {"model": embedding_scorer(*embed_split(model, to_rank), model=model.directory)},
        description=f"evaluate {split}",
    )["model"]
    scorers = baseline_scorers(to_rank)
    baselines = rank_slices(to_rank, scorers, description="evaluate: baselines") if scorers else {}
    return {
        **own.metrics,
        "baselines": {name: ranking.metrics for name, ranking in baselines.items()},
        **_evaluation(model, dataset, split=split, settings=settings, candidates=candidates).to_json(),
    }


def _evaluation(
    model: FinishedModel, dataset: Dataset, *, split: SplitName, settings: Evaluate, candidates: Candidates | None
) -> Evaluation:
    digests = {"model": model.manifest.content_digest, "dataset": dataset.manifest.content_digest}
    return Evaluation(split, settings, digests, None if candidates is None else candidates.to_json())


def _more_epochs_may_help(model: FinishedModel) -> bool:
    has_history = any(file.name == HISTORY for file in model.manifest.files)
    return has_history and last_was_best(read_history(model.directory))


def _show(result: dict[str, Any], *, split: SplitName, path: str, more_epochs: bool = False) -> None:
    columns = [*(_COLUMNS[:number] for number in range(len(_COLUMNS), len(_COUNTS) + 1, -1)), NAMES[:2]]
    shown = columns[print_widest([_table(result, some, split=split) for some in columns])]
    if left_out := [name for name in _COLUMNS if name not in shown]:
        console().print(f"too narrow for {', '.join(left_out)}, which {path} has too", soft_wrap=True)
    if (told := describe_better_baseline(result, more_epochs=more_epochs)) is not None:
        console().print(told, soft_wrap=True)


def _table(result: dict[str, Any], columns: Sequence[str], *, split: SplitName) -> Table:
    among = f"{result['candidates']['items']:,}" if "candidates" in result else "all"
    table = Table(title=f"{split}, exact ranking of {among} candidates")
    for column in ("", "", *columns):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    rankings = {"model": result, **result["baselines"]}
    for slice_name in SHOWN_SLICES:
        for ranking, found in rankings.items():
            cells = _cells(found[slice_name])
            # What is ranked is the same for all.
            first = ranking == "model"
            values = [cells[column] if first or column not in _COUNTS else "" for column in columns]
            table.add_row(slice_name.replace("_", " ") if first else "", shown_name(ranking), *values)
        table.add_section()
    return table


def _cells(found: Metrics) -> dict[str, str]:
    counts = {name: f"{found[name]:,}" for name in _COUNTS}
    return counts | {name: "-" if (value := found[name]) is None else f"{value:.4f}" for name in NAMES}


if __name__ == "__main__":
    run_process(main)
