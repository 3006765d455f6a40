"""Session mode from a dataset to metrics, and the lookup of raw histories that a served graph does itself."""

import json
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from ragged_lists import ragged

from features.dataset import Dataset
from features.spec.evaluate import Evaluate
from features.spec.spec import Spec
from model import evaluate, export, gate, recommend, recommend_all, report
from model.api import read_examples
from model.network.finished_model import FinishedModel
from model.network.two_tower import TwoTower, load_model
from model.ranking.session_history import HistoryLookup
from model.ranking.split_pairs import read_split_pairs
from model.serving import query_rows
from model.serving.retriever import Retriever
from model.serving.serving_graph import ServingGraph
from model.training.batch_streams import training_batches
from model.training.training_examples import training_examples
from stage.command_line import run_command
from stage.manifest import Manifest

Json = dict[str, Any]


@pytest.fixture(scope="module")
def model(listening_model: Path) -> Path:
    return listening_model


NUMBERS = ("pair/volume", "pair/seconds")
CODES = ("query/country", "pair/history", "pair/device", "pair/mood", "pair/search")


def features(examples: list[Json], *keys: str) -> dict[str, tf.RaggedTensor]:
    return {
        key: ragged([example.get(key, []) for example in examples], tf.float32 if key in NUMBERS else tf.int64)
        for key in keys
    }


def last_ranks(scores: np.ndarray, wanted: list[int]) -> list[int]:
    """Of each row's wanted column; all columns are candidates, and ties count against it."""
    return [int((row >= row[column]).sum()) for row, column in zip(scores, wanted, strict=True)]


def assert_metrics(found: Json, ranks: list[int]) -> None:
    """An example is a query with one relevant item."""
    assert (found["pairs"], found["queries"]) == (len(ranks), len(ranks))
    assert found["recall@10"] == pytest.approx(sum(rank <= 10 for rank in ranks) / len(ranks))
    assert found["mrr"] == pytest.approx(math.fsum(1 / rank for rank in ranks) / len(ranks))
    assert found["map@10"] == pytest.approx(math.fsum(1 / rank for rank in ranks if rank <= 10) / len(ranks))


def scores_of(two_tower: TwoTower, examples: list[Json], items: list[Json]) -> np.ndarray:
    queries = two_tower.encode_queries(features(examples, *CODES, *NUMBERS)).numpy()
    corpus = two_tower.encode_items(features(items, "item/song", "item/genre")).numpy()
    return (queries[:, np.newaxis] * corpus).sum(axis=2)  # in an order that is no matter of the place, so that ties are


def test_every_example_of_a_batch_has_a_query_of_its_own(listening_dataset: Any) -> None:
    dataset = Dataset.open(str(listening_dataset.directory))
    assert set(CODES) | set(NUMBERS) <= set(next(iter(read_examples(dataset, "train"))))
    train = dataset.spec.train
    batch = next(iter(training_batches(training_examples(dataset, train, keep=True), train)))
    histories, songs = batch.query["pair/history"].to_list(), batch.item["item/song"].to_list()
    assert len(histories) == len(batch.query_of) > len(set(batch.item_of.numpy()))
    found = {(*histories[q], "then", *songs[i]) for q, i in zip(batch.query_of, batch.item_of, strict=True)}
    stored = listening_dataset.examples("train")
    assert found <= {(*e.get("pair/history", []), "then", *e.get("item/song", [])) for e in stored}


def test_every_example_is_ranked_by_itself(
    listening_dataset: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in ("BATCH", "HISTORIES"):
        monkeypatch.setattr(f"model.ranking.split_pairs.{size}", 7)  # counts of several batches add up
    flags = ["--model", str(model), "--dataset", str(listening_dataset.directory), "--output", str(tmp_path)]
    assert run_command(evaluate.main, flags) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    examples, items = listening_dataset.examples("test"), listening_dataset.examples("items")
    ids = [item["item_id"][0] for item in items]
    wanted = [ids.index(example["item_id"][0]) for example in examples]
    # Repeats and training items are candidates, and relevant.
    assert any(set(example.get("item/song", [])) & set(example.get("pair/history", [])) for example in examples)
    assert_metrics(found["overall"], last_ranks(scores_of(load_model(str(model)), examples, items), wanted))

    dataset = Dataset.open(str(listening_dataset.directory))
    few = read_split_pairs(dataset, "test", item_ids=ids, settings=Evaluate(max_queries=10))
    named = list(zip(few.query_ids, few.item_index.tolist(), strict=True))
    more = read_split_pairs(dataset, "test", item_ids=ids, settings=Evaluate(max_queries=20))
    assert (len(named), len(more.query_ids)) == (10, 20)
    every = Counter(zip((example["query_id"][0] for example in examples), wanted, strict=True))
    assert Counter(named) <= Counter(zip(more.query_ids, more.item_index.tolist(), strict=True)) <= every
    # The same ones however the examples lie in files.
    files = Dataset.example_files
    monkeypatch.setattr(Dataset, "example_files", lambda self, split: files(self, split)[::-1])
    turned = read_split_pairs(dataset, "test", item_ids=ids, settings=Evaluate(max_queries=10))
    assert Counter(zip(turned.query_ids, turned.item_index.tolist(), strict=True)) == Counter(named)
    assert turned.query_ids != few.query_ids
    monkeypatch.setattr(Dataset, "example_files", files)
    # Of some items as many examples are drawn, of theirs alone.
    some = sorted({ids[item] for item in wanted})[::3]
    theirs = sum(ids[item] in some for item in wanted)
    for most in (theirs // 2, theirs + 1):
        settings = Evaluate(max_queries=most)
        among = read_split_pairs(dataset, "test", item_ids=ids, settings=settings, among=pa.array(some, pa.binary()))
        assert [ids[item] in some for item in among.item_index] == [True] * min(most, theirs)

    popularity = np.array([[item["item/train_count"][0] for item in items]] * len(examples))
    assert_metrics(found["baselines"]["popularity"]["overall"], last_ranks(popularity, wanted))

    # Of each training example every song of the history, once, is followed by the next song.
    followed, before, after = Counter[tuple[int, int]](), Counter[int](), Counter[int]()
    song_of = {item["item/song"][0]: column for column, item in enumerate(items) if "item/song" in item}
    for example in listening_dataset.examples("train"):
        later = ids.index(example["item_id"][0])
        after[later] += 1
        for code in set(example.get("pair/history", [])):
            followed[song_of[code], later] += 1
            before[song_of[code]] += 1
    scores = np.zeros((len(examples), len(items)))
    for row, example in enumerate(examples):
        for code in set(example.get("pair/history", [])):
            for column in range(len(items)):
                pair = (song_of[code], column)
                if followed[pair]:
                    scores[row, column] += followed[pair] / math.sqrt(before[pair[0]] * after[column])
    expected = last_ranks(scores.astype(np.float32), wanted)
    assert_metrics(found["baselines"]["co_occurrence"]["overall"], expected)


def test_the_gate_resamples_users(listening_dataset: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = MagicMock()
    monkeypatch.setattr(gate, "decide", decide)
    dataset, challenger = Dataset.open(str(listening_dataset.directory)), FinishedModel.open(str(model))
    gate.gate(challenger, dataset=dataset, served=[], spec=dataset.spec)
    asked_by = [example["query_id"][0] for example in listening_dataset.examples("test")]
    expected = [sorted(set(asked_by), key=asked_by.index).index(user) for user in asked_by]
    assert decide.call_args.kwargs["users"].tolist() == expected
    assert len(set(expected)) < len(expected)


def test_a_saved_graph_looks_raw_histories_up_as_the_build_did(
    listening_dataset: Any, listening: Any, tmp_path: Path
) -> None:
    dataset = Dataset.open(str(listening_dataset.directory))
    lookup = HistoryLookup(dataset.transform_directory, dataset.spec)
    tf.saved_model.save(lookup, str(tmp_path / "saved"))
    # The saved graph has its own copy of the vocabulary.
    (tmp_path / "saved").rename(tmp_path / "elsewhere")
    restored = tf.saved_model.load(str(tmp_path / "elsewhere"))
    for split in ("train", "validation", "test"):
        raw = [(user, song, history) for where, user, song, history, _ in listening.examples() if where == split]
        codes = restored(ragged([history for _, _, history in raw], tf.string)).to_list()
        looked_up = sorted((user, song, found) for (user, song, _), found in zip(raw, codes, strict=True))
        assert looked_up == sorted(
            (e["query_id"][0].decode(), e["item_id"][0].decode(), e.get("pair/history", []))
            for e in listening_dataset.examples(split)
        )
        assert any(found == [] for _, _, found in looked_up) or split == "train"


def test_a_longer_history_than_the_model_has_seen_is_cut_to_its_latest_songs(listening_dataset: Any) -> None:
    dataset = Dataset.open(str(listening_dataset.directory))
    lookup = HistoryLookup(dataset.transform_directory, dataset.spec)
    songs = listening_dataset.vocabulary("item_song")
    history = [songs[5], songs[4], songs[3], "never heard of", songs[2], songs[1]]
    # A song that was heard too rarely took a place in the build, and an id that is none can't be told from it.
    assert lookup(ragged([history, [], [songs[0]]], tf.string)).to_list() == [[3, 2, 1], [], [0]]
    # Where the vocabulary has every song, what it lacks is none, and took no place.
    tree = dataset.spec.model_dump(mode="json")
    tree["item"]["features"]["song"]["min_count"] = 0
    lookup = HistoryLookup(dataset.transform_directory, Spec.model_validate(tree))
    unknown = ["never heard of"] * 4
    assert lookup(ragged([history, unknown, [*history, *unknown]], tf.string)).to_list() == [
        [4, 3, 2, 1], [], [4, 3, 2, 1]
    ]  # fmt: skip


def test_a_history_of_songs_that_are_newer_than_the_model_is_none(listening_dataset: Any, tmp_path: Path) -> None:
    dataset = Dataset.open(str(listening_dataset.directory))
    tree = dataset.spec.model_dump(mode="json")
    tree["item"]["features"]["song"]["min_count"] = 0
    spec, songs = Spec.model_validate(tree), listening_dataset.vocabulary("item_song")
    two_tower = TwoTower(spec, dataset.manifest.vocabularies)
    graph = ServingGraph(two_tower, spec, transform_directory=dataset.transform_directory)
    tf.saved_model.save(graph, str(tmp_path / "saved"))
    # Of an export of a newer dataset, in which "new" is an item.
    newer = SimpleNamespace(spec=spec, _graph=tf.saved_model.load(str(tmp_path / "saved")), has_item=lambda _: True)
    assert Retriever.are_read(newer, [["new", songs[0]], ["new"], []]) == [True, False, False]
    # Where the vocabulary leaves songs out, training had histories of such alone.
    assert Retriever.are_read(SimpleNamespace(spec=dataset.spec, has_item=songs.__contains__), [["new"], songs]) == [
        False, True
    ]  # fmt: skip


def test_a_history_alone_is_a_query_where_the_spec_has_no_features_of_queries(listening_dataset: Any) -> None:
    dataset = Dataset.open(str(listening_dataset.directory))
    tree = dataset.spec.model_dump(mode="json")
    tree["sources"]["queries"] = None
    tree |= {"query": {}, "session": tree["session"] | {"context": {}}}
    spec = Spec.model_validate(tree)
    two_tower = TwoTower(spec, dataset.manifest.vocabularies)
    graph = ServingGraph(two_tower, spec, transform_directory=dataset.transform_directory)
    songs = listening_dataset.vocabulary("item_song")
    histories = ragged([[songs[2], "never heard of", songs[1]], [songs[0]]], tf.string)
    wanted = two_tower.encode_queries({"pair/history": ragged([[2, 1], [0]])})
    np.testing.assert_allclose(graph.embed_queries({"history": histories}), wanted, atol=1e-6)


NOT_OFFERED = ("s1", "s2", "planted")
"""Songs that stand in histories all the same."""


@pytest.fixture(scope="module")
def exported_listener(listening_dataset: Any, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = tmp_path_factory.mktemp("exported") / "export"
    songs = [item["item_id"][0].decode() for item in listening_dataset.examples("items")]
    offered = pa.table({"item_id": [song for song in songs if song not in NOT_OFFERED]})
    pq.write_table(offered, exported.parent / "offered.parquet")
    flags = ["--model", str(model), "--dataset", str(listening_dataset.directory), "--output", str(exported)]
    flags += ["--candidates", str(exported.parent / "offered.parquet")]
    assert run_command(export.main, flags) == 0
    return exported


def test_an_export_reads_raw_histories_and_contexts(
    *, listening_dataset: Any, listening: Any, model: Path, exported_listener: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    retriever = Retriever.open(str(exported_listener))
    examples, items = listening_dataset.examples("test"), listening_dataset.examples("items")
    ids = [item["item_id"][0].decode() for item in items]
    trained: dict[tuple[bytes, bytes], list[Any]] = {}
    for example, scores in zip(examples, scores_of(load_model(str(model)), examples, items), strict=True):
        trained.setdefault((example["query_id"][0], example["item_id"][0]), []).append(scores)

    columns = {"device": "on"} | {name: name for name in ("mood", "search", "volume", "seconds")}
    users = {f"u{n}": {"country": "xy"[n % 2]} for n in range(10)}
    asked, names = [], []
    for split, user, song, history, line in listening.examples():
        if split == "test":
            context = {name: line.get(column) for name, column in columns.items()}
            asked.append({**users.get(user, {}), **context, "history": ["s99", *history[-4:]][-4:]})
            names.append((user.encode(), song.encode()))
    assert len(asked) == len(examples) > 20
    for name, found in zip(names, retriever.recommend_all(asked, top_k=len(ids)), strict=True):
        # What is in the history may come next, too.
        served = {r.item_id: r.score for r in found}
        assert set(served) == set(ids) - set(NOT_OFFERED)
        places = [ids.index(one) for one in served]
        scored = list(served.values())
        close = [np.allclose(scored, scores[places], rtol=0, atol=1e-5) for scores in trained[name]]
        assert any(close), name
        trained[name].pop(close.index(True))

    # A known user has features, and a history if one is given.
    flags = ["--export", str(exported_listener), "--query", "u1", "--history", "s1", "s2", "--json"]
    capsys.readouterr()
    assert run_command(recommend.main, flags) == 0
    assert retriever.query("u1") == {"country": "y"}
    wanted = retriever.recommend({"country": "y", "history": ["s1", "s2"]})
    assert json.loads(capsys.readouterr().out) == [{"for": "u1", "items": [vars(found) for found in wanted]}]
    assert retriever.recommend({**retriever.query("u1"), "history": ["nope", "s1", "s2"]}) == wanted
    # Nobody heard s18 in training; of these the model knows nothing, as of such histories then.
    assert run_command(recommend.main, [*flags[:3], '{"history": ["s18"]}', '{"history": ["s18", "s1"]}']) == 0
    told = ": the model knows nothing of it, so it gets what all such get\n"
    assert capsys.readouterr().err == f'query {{"history": ["s18"]}}{told}'
    for changed, said in (
        ([*flags[:-1], "misspelt"], "item 'misspelt': not one of the "),
        ([*flags[:2], "--query", "{}", *flags[4:]], "--history: goes with queries that are ids"),
        ([*flags[:2], "--query", '{"history": ["s1", "misspelt"]}'], "item 'misspelt': not one of the "),
        (flags[:4], "query 'u1': expected a history, since "),
    ):
        assert run_command(recommend.main, changed) == 2
        assert f"error: {said}" in capsys.readouterr().err


def test_queries_of_files_are_asked_with_their_histories(
    exported_listener: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_rows, "ROWS_AT_ONCE", 3)  # u2 is left out of the first; u3 leaves nothing to ask
    rows: list[Json] = [
        {"query_id": "u1", "country": "y", "history": ["s1", "s2"], "device": "tv"},
        {"query_id": "u2", "country": "x", "history": [], "device": None},
        {"query_id": "new", "country": None, "history": ["nope", "s3"], "device": None},
        {"query_id": "u3", "country": "x", "history": ["nope"], "device": "tv"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "users.parquet")
    flags = ["--export", str(exported_listener), "--output", str(tmp_path / "out"), "--top-k", "3"]
    assert run_command(recommend_all.main, [*flags, "--queries", str(tmp_path / "users.parquet")]) == 0
    assert capsys.readouterr().out == (
        "2 queries, 6 recommendations\n"
        "2 more queries have no history of this export's items, so nothing is recommended\n"
        f"written: {tmp_path}/out/items\n"
    )
    (path,) = (tmp_path / "out").glob("items/*.parquet")
    found = [(row["query_id"], row["item_id"]) for row in pq.ParquetFile(path).read().to_pylist()]
    retriever = Retriever.open(str(exported_listener))
    asked = [{"country": "y", "history": ["s1", "s2"], "device": "tv"}, {"history": ["nope", "s3"]}]
    best = retriever.recommend_all(asked, top_k=3)
    assert found == [(who, one.item_id) for who, items in zip(("u1", "new"), best, strict=True) for one in items]
    assert Manifest.read(str(tmp_path / "out"), "recommendations").counts == {
        "queries": 2, "recommendations": 6, "queries/without_history": 2
    }  # fmt: skip


def constants(listening: Any, *, until: int) -> dict[str, tuple[float, float]]:
    """Mean and deviation of the numbers of the examples before a second."""
    lines = [line for *_, line in listening.examples() if line["when"] < until]
    found = {}
    for name, taken in (("volume", float), ("seconds", lambda x: math.log1p(max(x, 0)))):
        numbers = [taken(line[name]) for line in lines if line.get(name) is not None and line[name] < 1e38]
        found[f"pair/{name}"] = (np.mean(numbers), np.std(numbers))
    return found


@pytest.mark.slow
def test_yesterday_s_model_reads_today_s_pairs_by_its_own_vocabulary(
    listening_dataset: Any, listening: Any, model: Path, build: Any, tmp_path: Path
) -> None:
    spec = json.loads(json.dumps(listening.spec))
    spec["item"]["features"]["song"]["min_count"] = 0
    spec["session"]["max_history"] = 6
    context = spec["session"]["context"]["features"]
    context["mood"] |= {"min_count": 1, "max_values": 3}
    context["search"] |= {"top_k": 7, "max_values": 9}
    spec["split"]["validation_start"] = "1970-01-01T00:07:00Z"
    today = build(tmp_path / "today", spec, "--shards", "2", raw=listening_dataset.directory.parent / "raw")
    assert today.code == 0, today.error
    theirs, ours = today.vocabulary("item_song"), listening_dataset.vocabulary("item_song")
    theirs_numbers, our_numbers = (constants(listening, until=until) for until in (420, 600))
    assert len(theirs) == 21 > len(ours)

    flags = ["--model", str(model), "--dataset", str(today.directory), "--output", str(tmp_path)]
    assert run_command(evaluate.main, flags) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    mine = {item["item_id"][0]: item for item in listening_dataset.examples("items")}
    items = [mine[item["item_id"][0]] for item in today.examples("items")]
    examples = []
    for example in today.examples("test"):
        known = [ours.index(theirs[code]) for code in example.get("pair/history", []) if theirs[code] in ours]
        again = {"pair/history": known[-4:]}
        for key, most in (("pair/device", 1), ("pair/mood", 2), ("pair/search", 4)):
            name = key.replace("/", "_")
            said = [today.vocabulary(name)[code] for code in example.get(key, [])]
            terms = listening_dataset.vocabulary(name)
            again[key] = [terms.index(term) for term in said if term in terms][:most]
        for key in NUMBERS:
            (mean, deviation), (our_mean, our_deviation) = theirs_numbers[key], our_numbers[key]
            again[key] = [(x * deviation + mean - our_mean) / our_deviation for x in example.get(key, [])]
        examples.append(example | again)
    ids = [item["item_id"][0] for item in items]
    wanted = [ids.index(example["item_id"][0]) for example in examples]
    assert_metrics(found["overall"], last_ranks(scores_of(load_model(str(model)), examples, items), wanted))


def test_a_report_shows_histories_as_what_was_known(listening_dataset: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").symlink_to(listening_dataset.directory)
    (tmp_path / "model").symlink_to(model)
    flags = ["--model", str(model), "--dataset", str(listening_dataset.directory), "--output", str(tmp_path)]
    assert run_command(evaluate.main, flags) == 0
    assert run_command(report.main, ["--run", str(tmp_path), "--queries", "100000"]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = json.loads(text.partition('id="neighbours">')[2].partition("</script>")[0])
    examples, items = listening_dataset.examples("test"), listening_dataset.examples("items")
    songs = {item["item/song"][0]: item["item_id"][0].decode() for item in items if "item/song" in item}
    expected = Counter(
        (example["query_id"][0].decode(), example["item_id"][0].decode(), history)
        for example in examples
        for history in [frozenset(songs[code] for code in example.get("pair/history", []))]
    )
    names = [name for name, _, _ in shown["items"]]
    assert expected == Counter(
        (query["id"], names[query["relevant"][0]], frozenset(names[place] for place in query["known"]))
        for query in shown["queries"]
    )


def test_a_model_of_histories_needs_a_dataset_with_them(
    shop_dataset: Any, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(model), "--dataset", str(shop_dataset.directory), "--output", str(tmp_path)]
    assert run_command(evaluate.main, flags) == 1
    assert "both to be of session mode or neither, got one" in capsys.readouterr().err
