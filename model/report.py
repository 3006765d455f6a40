"""`ssl-two-tower report`: what a run found and learned, as one HTML file to read and to send on."""

import os
from collections.abc import Mapping, Sequence

from features.dataset import Dataset
from features.metrics_file import NAME as METRICS
from features.metrics_file import read_evaluation
from model.network.finished_model import FinishedModel
from model.options.report import NAME, make_parser
from model.ranking.baselines import BASELINES
from model.ranking.held_out import warn_if_seen
from model.ranking.left_out import leaves_out_known
from model.ranking.metrics import NAMES, shown_name
from model.ranking.ranking import embedding_scorer
from model.ranking.split_scorers import SplitToRank, baseline_scorers, embed_split, read_split_to_rank
from model.reporting.dataset_counts import count_dataset
from model.reporting.deciles import draw_deciles
from model.reporting.embedding_map import draw_map
from model.reporting.feature_table import read_feature_table
from model.reporting.heatmap import read_heatmap
from model.reporting.neighbours import explore
from model.reporting.page import render_page
from model.reporting.popularity import draw_popularity, share_of_most_frequent
from model.reporting.rankings import measure_rankings
from model.reporting.training_curves import draw_curves
from model.training.training_history import read_history
from stage import extras, storage
from stage.command_line import run_process
from stage.errors import StageError, UsageError
from stage.manifest import NAME as MANIFEST
from stage.manifest import Manifest
from stage.probe import check_writable


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the run isn't whole, a model can't read its dataset, the file can't be written, or a package of
            the extra isn't there.
        UsageError: If an option is wrong.
    """
    options = make_parser().parse_args(argv)
    extras.require("report", by="report")
    if storage.exists(storage.join(options.run, MANIFEST)):
        raise UsageError(
            f"--run: expected what run left, with dataset and model in it, got one of them, {options.run}; give the "
            "directory above it"
        )
    output = options.output or storage.join(options.run, NAME)
    if os.path.isdir(output):
        raise UsageError(f"--output: expected a file, such as {storage.join(output, NAME)}, got a directory")
    if storage.exists(output) and not options.overwrite:
        raise StageError(f"{output}: is there already; --overwrite makes it again")
    directories = [storage.join(options.run, "model"), *options.model]
    if len(set(directories)) < len(directories):
        raise UsageError("--model: expected other models than the run's, each once")
    for directory in {shown_name(name) for name in BASELINES} & set(directories):
        raise UsageError(f"--model: expected another name than a baseline's, got {directory}; give it as ./{directory}")
    made_from = [storage.join(options.run, name) for name in (METRICS, "dataset")]
    if any(storage.is_within(output, path) for path in [*made_from, *directories]):
        raise UsageError(f"--output: expected a place outside of what the report is made from, got {output}")
    dataset = Dataset.open(storage.join(options.run, "dataset"), verify=options.verify)
    models = [FinishedModel.open(directory, verify=options.verify) for directory in directories]
    split = _read_split(options.run, dataset, model=models[0].manifest)
    check_writable(os.path.dirname(output) or ".")
    seen = {model.directory: warn_if_seen(model, dataset=dataset, split=split.name) for model in models}
    page = write_report(options.run, models, split=split, seen=seen, explored=options.queries)
    storage.write_bytes(output, page.encode())
    print(f"written: {output}, {len(page.encode()) / 1e6:.1f} MB")


def write_report(
    run: str,
    models: Sequence[FinishedModel],
    *,
    split: SplitToRank,
    seen: Mapping[str, str | None],
    explored: int,
) -> str:
    """Gathers what the page shows.

    Args:
        run: What the page is called.
        models: The run's own first.
        split: What the run was evaluated on.
        seen: Model -> why it may have been trained on pairs of it, if it may.
        explored: Queries that can be looked up in it, at most.

    Returns:
        HTML.

    Raises:
        StageError: If a file can't be read, or a model can't read the dataset's features.
    """
    dataset, corpus, first = split.dataset, split.corpus, models[0]
    embeddings = {model.directory: embed_split(model, split) for model in models}
    scorers = {name: embedding_scorer(*found, model=name) for name, found in embeddings.items()}
    scorers |= {shown_name(name): scorer for name, scorer in baseline_scorers(split).items()}
    rankings = measure_rankings(split, scorers)
    heatmap = read_heatmap(dataset, first.spec.ssl)
    return render_page(
        run=run,
        dataset=dataset.manifest,
        models={model.directory: model.manifest for model in models},
        known_left_out=leaves_out_known(dataset.spec, split.settings),
        counts=count_dataset(dataset.manifest),
        popularity=draw_popularity(corpus.train_count),
        most_frequent=share_of_most_frequent(corpus.train_count),
        features=read_feature_table(dataset, heatmap.entropies),
        heatmap=heatmap,
        curves=draw_curves({name: read_history(name) for name in embeddings}),
        rankings=rankings,
        metric_names=NAMES,
        deciles=draw_deciles(rankings.deciles),
        map=draw_map(
            dataset, ids=corpus.ids, train_count=corpus.train_count, embeddings=embeddings[first.directory][1]
        ),
        neighbours=explore(split, scorers, most=explored),
        split_name=split.name,
        split_queries=len(split.pairs.query_ids),
        most_queries=split.settings.max_queries,
        seen={model: why for model, why in seen.items() if why is not None},
    )


def _read_split(run: str, dataset: Dataset, *, model: Manifest) -> SplitToRank:
    """The split that metrics.json is of, so that both say the same.

    Raises:
        StageError: If there is no metrics.json, or it is of another model or dataset, or of some items alone.
    """
    path = storage.join(run, METRICS)
    again = f"ssl-two-tower evaluate --model {run}/model --dataset {run}/dataset --output {run} makes it"
    try:
        found = read_evaluation(path)
    except ValueError as error:
        raise StageError(f"{path}: not as evaluate writes it ({error}); {again} with --overwrite") from None
    if found is None:
        raise StageError(f"{path}: expected the metrics of a finished run, but it is not there; {again}")
    if found.digests != {"model": model.content_digest, "dataset": dataset.manifest.content_digest}:
        raise StageError(
            f"{path}: expected metrics of this run's model and dataset, found others'; {again} anew with --overwrite"
        )
    if found.candidates is not None:
        raise StageError(
            f"{path}: expected metrics of a ranking of all items, as the report's are, found those of --candidates; "
            f"give these another --output; {again} anew with --overwrite"
        )
    return read_split_to_rank(dataset, found.split, settings=found.settings)


if __name__ == "__main__":
    run_process(main)
