"""`ssl-two-tower evaluate`: a model's metrics on a split, beside what a user would have without it."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from features.dataset import HISTORY, Dataset, Split
from features.spec import Evaluate
from features.spec_file import build_spec
from model.baselines import co_occurrence, popularity
from model.history import history_items
from model.input import Corpus, read_corpus
from model.metrics import NAMES, Metrics, by_slice, metrics
from model.ranking import Scorer, embed, embedding_scorer, rank_pairs
from model.reencoding import reencode_items, reencode_queries
from model.slices import read_item_slices
from model.split_pairs import PairIds, SplitPairs, flags, incidence, read_histories, read_pair_ids, read_split_pairs
from model.two_tower import load_model
from stage import storage
from stage.command_line import Parser, run_command
from stage.errors import StageError
from stage.manifest import Manifest
from stage.progress import bar

NAME = "metrics.json"
COLD_AMONG_COLD = "cold_among_cold"
"""Cold items once more, with cold items alone for candidates: whether they are told apart, wherever warm ones lie."""
SLICES = ("overall", "head", "tail", "cold", COLD_AMONG_COLD)


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the model or the dataset isn't whole, they don't fit each other, or the result can't be written.
    """
    options = _parser().parse_args(argv)
    path = storage.join(options.output, NAME)
    if storage.exists(path) and not options.overwrite:
        raise StageError(f"{path}: is there already; --overwrite makes it again")
    dataset = Dataset.open(options.dataset, verify=options.verify)
    source = f"{options.dataset}/manifest.json"
    settings = build_spec(dataset.manifest.spec, options.overrides, verb="evaluate", source=source).evaluate
    manifest = Manifest.read(options.model, "model", verify=options.verify)
    storage.check_writable(options.output)
    result = evaluate(options.model, manifest, dataset, split=options.split, settings=settings)
    storage.write_bytes(path, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    if options.json:
        print(json.dumps(result, allow_nan=False))
    else:
        _show(result, split=options.split, path=path)


def evaluate(model: str, manifest: Manifest, dataset: Dataset, *, split: Split, settings: Evaluate) -> dict[str, Any]:
    """Ranks a split by the model and by the baselines.

    A model whose own transform didn't encode this dataset's examples takes from them the ids alone, and encodes the
    dataset's entities itself.

    Args:
        model: The model's directory.
        manifest: Its manifest.
        dataset: The dataset.
        split: Which split.
        settings: What is ranked.

    Returns:
        What metrics.json holds.

    Raises:
        StageError: If a file can't be read, or the model can't read the dataset's features.
    """
    spec = build_spec(manifest.spec, source=storage.join(model, "manifest.json"))
    if (spec.session is None) != (dataset.spec.session is None):
        raise StageError(f"{model}: expected it and {dataset.directory} both to be of session mode or neither, got one")
    two_tower = load_model(model)
    corpus = read_corpus(dataset)
    training = None
    if dataset.spec.session is None:
        training = read_pair_ids(dataset, "train", item_ids=corpus.ids)
    pairs = read_split_pairs(dataset, split, item_ids=corpus.ids, settings=settings, training=training)
    queries, items = pairs.queries, corpus.features
    if manifest.transform_digest != dataset.manifest.transform_digest:
        queries = reencode_queries(model, spec, dataset, ids=pairs.query_ids, features=pairs.queries)
        items = reencode_items(model, spec, dataset, ids=corpus.ids)
    scorers = {
        "model": embedding_scorer(
            embed(two_tower.encode_queries, queries, batch_size=settings.batch_size),
            embed(two_tower.encode_items, items, batch_size=settings.batch_size),
        ),
        "popularity": popularity(corpus.train_count),
        "co_occurrence": _co_occurrence(dataset, corpus, pairs, training=training),
    }
    slices = read_item_slices(dataset, corpus)
    of_cold = pairs.query_index[slices["cold"][pairs.item_index]]
    ranked_queries = len(np.unique(pairs.query_index)) + len(np.unique(of_cold))
    with bar(total=len(scorers) * ranked_queries, unit="queries", description=f"evaluate {split}") as progress:
        rank = partial(rank_pairs, pairs, batch_size=settings.batch_size, advance=progress.update)
        found = {
            name: by_slice(rank(score), slices) | {COLD_AMONG_COLD: metrics(rank(score, among=slices["cold"]))}
            for name, score in scorers.items()
        }
    return {
        **found.pop("model"),
        "baselines": found,
        "split": split,
        "settings": settings.model_dump(mode="json"),
        "digests": {"model": manifest.content_digest, "dataset": dataset.manifest.content_digest},
    }


def _co_occurrence(dataset: Dataset, corpus: Corpus, pairs: SplitPairs, *, training: PairIds | None) -> Scorer:
    """Item-based collaborative filtering, in session mode over histories."""
    if training is not None:
        known = incidence(training, query_ids=training.query_ids.unique().to_pylist(), items=len(corpus))
        return co_occurrence(
            [(known, known)], history=incidence(training, query_ids=pairs.query_ids, items=len(corpus))
        )
    examples = (
        (
            history_items(histories, corpus, dataset.spec),
            flags(np.arange(len(items)), items, shape=(len(items), len(corpus))),
        )
        for histories, items in read_histories(dataset, "train", item_ids=corpus.ids)
    )
    return co_occurrence(examples, history=history_items(pairs.queries[HISTORY], corpus, dataset.spec))


def _show(result: dict[str, Any], *, split: Split, path: str) -> None:
    table = Table(title=f"{split}, exact ranking of the whole corpus")
    for column in ("", "", "pairs", "queries", *NAMES):
        table.add_column(column, justify="right" if column else "left")
    rankings = {"model": result, **result["baselines"]}
    for slice_name in SLICES:
        for ranking, found in rankings.items():
            of_slice: Metrics = found[slice_name]
            shown = [slice_name.replace("_", " "), f"{of_slice['pairs']:,}", f"{of_slice['queries']:,}"]
            first = shown if ranking == "model" else [""] * 3
            values = ["-" if (value := of_slice[name]) is None else f"{value:.4f}" for name in NAMES]
            table.add_row(first[0], ranking.replace("_", "-"), *first[1:], *values)
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(f"written: {path}", soft_wrap=True)


def _parser() -> Parser:
    parser = Parser(
        prog="ssl-two-tower evaluate",
        description="Ranks every item for the queries of a split, and writes metrics.json: by the model, by popularity "
        "and by item co-occurrence; overall, for head, tail and cold items, and for cold items among themselves.",
        example="ssl-two-tower evaluate --model RUN/model --dataset RUN/dataset --split test --output RUN",
    )
    parser.add_argument("--model", metavar="MODEL", required=True, help="what train left")
    parser.add_argument("--dataset", metavar="DIR", required=True, help="what build-dataset left")
    parser.add_argument("--split", choices=("validation", "test"), default="test", help="by default test")
    parser.add_argument("--output", metavar="DIR", required=True, help="directory that gets metrics.json")
    parser.add_argument("--json", action="store_true", help="print metrics.json to stdout instead of the table")
    parser.add_argument("--overwrite", action="store_true", help="replace a metrics.json that is there")
    parser.add_argument("--verify", action="store_true", help="compare the SHA-256 of every file that is read")
    parser.add_set_option()
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
