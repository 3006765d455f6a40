"""A process that trains and ranks on one dataset, one request after another: a line of JSON in, a line of JSON out.

It outlives a training because importing TensorFlow and reading the dataset would take a third of a short one.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import pyarrow as pa
import tensorflow as tf
from numpy.typing import NDArray

from features.dataset import Dataset
from features.lookup import index_among
from features.ranges import begins_run
from features.spec.evaluate import Evaluate
from features.spec.file import build_spec
from features.spec.spec import Spec
from features.split import SplitName
from model.comparison.cold_correction import bounds, largest_shift, shifted
from model.comparison.ended_trainings import release_trainings
from model.comparison.packed import pack_flags
from model.comparison.peer_embeddings import PeerEmbeddings, Peers, feature_columns
from model.comparison.peer_training import best_epoch
from model.comparison.requests import REQUEST, BaselineRequest, PeerRequest, Request, ShapesRequest, TrainRequest
from model.comparison.split_shape import DEEPEST, NEW_QUERIES, SplitShape, pack_last_ranks, pack_shape
from model.comparison.studies import Ranking
from model.comparison.variants import CORRECTED, Baseline
from model.network.corpus import read_corpus
from model.network.diverged import Diverged
from model.network.feature_values import Features
from model.network.two_tower import TwoTower, load_model
from model.ranking.baselines import popularity
from model.ranking.metrics import COLD_AMONG_COLD, Flags, Indices, Metrics, RankedSplit, by_slice, final_ranks, metrics
from model.ranking.ranking import Scorer, embedding_scorer, rank_pairs
from model.ranking.slices import read_item_slices
from model.ranking.split_pairs import SplitPairs, read_pair_ids, read_split_pairs
from model.ranking.split_scorers import co_occurrence_of_split, embed_both
from model.train import train
from model.training.training_history import best_entry, read_history
from stage import storage
from stage.child_process import end_with_parent
from stage.command_line import run_process
from stage.interrupts import check_interrupted
from stage.manifest import Json, Manifest
from stage.parser import Parser
from stage.whole_number import whole_number

_SPLITS: tuple[SplitName, ...] = ("validation", "test")
"""Those that are ranked."""


def main(argv: Sequence[str]) -> None:
    """Answers requests from stdin until it ends.

    Raises:
        StageError: If the dataset isn't whole.
        Interrupted: On Ctrl-C or SIGTERM, after the training that runs has saved where it stands.
    """
    parser = Parser(
        prog="python -m model.comparison.worker",
        description="Trains and ranks for ssl-two-tower compare, which starts it.",
        example="echo '{\"shapes\": true}' | python -m model.comparison.worker --dataset RUN/dataset --evaluate '{}'",
    )
    parser.add_argument("--dataset", required=True, help="directory that build-dataset left")
    parser.add_argument("--evaluate", metavar="JSON", required=True, help="the spec's section evaluate")
    parser.add_argument(
        "--threads", type=whole_number(1), default=1, help="of TensorFlow; four or more round sums otherwise"
    )
    options = parser.parse_args(argv)
    end_with_parent()  # else a training would go on for nobody
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no reply
    workbench = Workbench(Dataset.open(options.dataset), Evaluate.model_validate_json(options.evaluate))
    for line in sys.stdin:
        print(json.dumps(workbench.answer(REQUEST.validate_json(line)), allow_nan=False), file=replies, flush=True)
        check_interrupted()  # ranking may have swallowed it, and the next request may never come


class Workbench:
    """A dataset, and what is read of it once."""

    def __init__(self, dataset: Dataset, settings: Evaluate) -> None:
        """Reads the corpus and the splits.

        Args:
            dataset: What is trained on.
            settings: What is ranked.
        """
        self._dataset = dataset
        self._settings = settings
        self._corpus = read_corpus(dataset)
        self._slices = read_item_slices(dataset, self._corpus)
        self._training = read_pair_ids(dataset, "train", item_ids=self._corpus.ids)
        self._splits: dict[SplitName, SplitPairs] = {}

    def answer(self, request: Request) -> Json:
        """Does what is asked.

        Returns:
            The shapes of the splits; or rankings of validation and, for a baseline or on demand, of test, with steps
            and seconds, where the spec has `split.cold_items` also `corrections`; or `{"failure": ...}`.
        """
        started = _cpu_seconds()
        if isinstance(request, ShapesRequest):
            return {split: pack_shape(self._shape(split)).model_dump() for split in _SPLITS}
        if isinstance(request, BaselineRequest):
            found: Json = {split: self._rank(split, self._baseline(request.baseline, split)) for split in _SPLITS}
        else:
            try:
                found = self._train_peer(request) if isinstance(request, PeerRequest) else self._train(request)
            except Diverged as error:
                storage.delete(request.directory)
                found = {"failure": str(error)}
            release_trainings()
        return found | {"cpu_seconds": round(_cpu_seconds() - started, 1)}

    def _train(self, request: TrainRequest) -> Json:
        directory = request.directory
        spec = build_spec(self._dataset.manifest.spec, request.train, source=self._dataset.directory)
        if Manifest.find(directory) is None:
            # An unfinished one of another version, or without whole checkpoints, is begun again.
            history = train(self._dataset, spec, output=directory, overwrite=True)
        else:
            history = read_history(directory)
        two_tower = load_model(directory)
        splits = _SPLITS if request.test else _SPLITS[:1]
        scorers = {split: self._scorer(split, two_tower, spec=spec) for split in splits}
        found: Json = {split: self._rank(split, scorer) for split, scorer in scorers.items()}
        found |= {"steps": history[-1]["step"], "best_step": best_entry(history)["step"]}
        if request.test and self._dataset.spec.split.cold_items:
            found["corrections"] = self._correct(scorers)
        storage.delete(directory)
        return found

    def _correct(self, scorers: Mapping[SplitName, Scorer]) -> Json:
        """What the simplest remedy for cold items comes to."""
        pairs, cold = self._split("validation"), self._slices["cold"]
        found = bounds(pairs, scorers["validation"], cold=cold, k=DEEPEST)
        shifts = {price: largest_shift(found, cold[pairs.item_index], price=float(price)) for price in CORRECTED}
        return {
            price: {"shift": shift, "test": self._rank("test", shifted(scorers["test"], cold, shift=shift))}
            for price, shift in shifts.items()
        }

    def _train_peer(self, request: PeerRequest) -> Json:
        spec = build_spec(self._dataset.manifest.spec, request.spec, source=self._dataset.directory)
        peers = Peers(
            self._training,
            [query for split in _SPLITS for query in self._split(split).query_ids],
            items=len(self._corpus),
            directory=request.directory,
            features=self._peer_features if request.peer == "two_tower" else {},
        )

        def rank(split: SplitName, found: PeerEmbeddings) -> Json:
            places = peers.places(pa.array(self._split(split).query_ids, pa.binary()))
            return self._rank(split, embedding_scorer(found.queries[places], found.items))

        trained = peers.train(request.peer, request.settings, seed=request.seed, python=request.python, spec=spec)
        steps = -(-len(self._training.item_index) // spec.train.batch_size)
        best, epochs = best_epoch(trained, partial(rank, "validation"), train=spec.train, steps_an_epoch=steps)
        storage.delete(request.directory)
        answer: Json = {"validation": best.ranking}
        if request.peer == "two_tower":  # others know no batches
            answer |= {"steps": epochs * steps, "best_step": best.epoch * steps}
        return answer | ({"test": rank("test", best.embeddings)} if request.test else {})

    @cached_property
    def _peer_features(self) -> dict[str, NDArray[np.generic]]:
        """What `Peers` takes: of queries with a training pair in the order of their first, and of the corpus."""
        train = read_split_pairs(
            self._dataset,
            "train",
            item_ids=self._corpus.ids,
            # Of every query with a training pair, whatever is ranked.
            settings=self._settings.model_copy(update={"max_queries": None, "exclude_self": False}),
            training=self._training,
        )
        return feature_columns(train.queries, self._dataset.features("query")) | feature_columns(
            self._corpus.features, self._dataset.features("item")
        )

    def _scorer(self, split: SplitName, two_tower: TwoTower, *, spec: Spec) -> Scorer:
        queries, items = self._split(split).queries, self._corpus.features
        return embedding_scorer(*embed_both(two_tower, queries=queries, items=items, settings=spec.evaluate))

    def _baseline(self, name: Baseline, split: SplitName) -> Scorer:
        if name == "popularity":
            return popularity(self._corpus.train_count)
        return co_occurrence_of_split(self._dataset, self._corpus, pairs=self._split(split), training=self._training)

    def _rank(self, split: SplitName, score: Scorer) -> Json:
        pairs = self._split(split)
        ranked = _numbered(rank_pairs(pairs, score))
        top: Flags = final_ranks(ranked) <= DEEPEST
        by_name = by_slice(ranked, self._slices)
        cold_last_ranks = None
        if self._dataset.spec.split.cold_items:
            among_cold = _numbered(rank_pairs(pairs, score, among=self._slices["cold"]))
            by_name[COLD_AMONG_COLD] = metrics(among_cold)
            cold_last_ranks = pack_last_ranks(among_cold)
        return Ranking(
            metrics={name: _rounded(values) for name, values in by_name.items()},
            top_50=pack_flags(top),
            last_ranks=pack_last_ranks(ranked) if split == "test" else None,
            cold_last_ranks=cold_last_ranks if split == "test" else None,
        ).model_dump()

    def _split(self, split: SplitName) -> SplitPairs:
        """Its pairs in the order of its shape: by query id, then by item id; what is left by the queries' features."""
        if split not in self._splits:
            pairs = read_split_pairs(
                self._dataset,
                split,
                item_ids=self._corpus.ids,
                settings=self._settings,
                training=self._training,
            )
            keys = [pairs.item_index, _places(pairs.query_ids)[pairs.query_index]]  # the last one first
            if self._dataset.spec.session is not None:
                keys.insert(0, _places(_as_text(pairs.queries))[pairs.query_index])
            order = np.lexsort(keys)
            # The queries stay where they are, or they would be embedded in other batches, which may round otherwise.
            self._splits[split] = replace(
                pairs, query_index=pairs.query_index[order], item_index=pairs.item_index[order]
            )
        return self._splits[split]

    def _shape(self, split: SplitName) -> SplitShape:
        pairs = self._split(split)
        slices = {name: items[pairs.item_index] for name, items in self._slices.items()}
        queries = self._training.query_ids.unique()
        slices[NEW_QUERIES] = (index_among(pa.array(pairs.query_ids, pa.binary()), queries) < 0)[pairs.query_index]
        users = None
        if self._dataset.spec.session is not None:  # each pair is a query there
            users = _numbers(pairs.users()[pairs.query_index])
        return SplitShape(_numbers(pairs.query_index), slices, users)


def _places(texts: Sequence[bytes]) -> Indices:
    """Where each stands in their order, equal ones in one place."""
    _, places = np.unique(np.array(texts, dtype=object), return_inverse=True)
    return places


def _as_text(queries: Features) -> list[bytes]:
    """Each query's features: two queries of a user may have one item, and lie in any order in files."""
    columns = [tf.strings.reduce_join(tf.strings.as_string(v), axis=1, separator=" ") for v in queries.values()]
    return list(tf.strings.join(columns, separator="|").numpy())


def _numbered(ranked: RankedSplit) -> RankedSplit:
    """With the queries numbered as their pairs come, so that sums over them are the same whatever order files have."""
    return replace(ranked, query_index=_numbers(ranked.query_index))


def _numbers(query_index: Indices) -> Indices:
    """Ascending from 0, of queries whose pairs lie together."""
    return np.cumsum(begins_run(query_index)) - 1


def _cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    return sum(os.times()[:4])


def _rounded(metrics: Metrics) -> Metrics:
    """To six digits: a millionth is less than one pair in any split that ranks are kept of."""
    return {name: None if value is None else round(value, 6) for name, value in metrics.items()}


if __name__ == "__main__":
    run_process(main)
