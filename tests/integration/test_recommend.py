"""An export, asked by our commands and Python: what it recommends, and what it refuses."""

import gc
import json
import re
import shutil
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from exports import Json, Sample, encoded
from in_process import run
from peak_memory import with_peak
from tensorflow.python.framework.func_graph import FuncGraph

from features.shards import shard_of
from features.spec.file import load_spec
from model import recommend, similar
from model.serving.retriever import Recommendation, Retriever
from stage.errors import UsageError


def test_recommendations_in_the_shell(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, where = sample.retriever, ["--export", sample.exported]
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: opened)  # To open it takes seconds.
    code, out, err = run(recommend.main, *where, "--query", "perl", '{"section": "perl"}', "--top-k", "4", "--json")
    assert code == 0, err
    known, cold = json.loads(out)
    assert (known["for"], cold["for"]) == ("perl", '{"section": "perl"}')
    assert [len(known["items"]), len(cold["items"])] == [4, 4]
    ids = [item["item_id"] for item in known["items"]]
    scores = [item["score"] for item in known["items"]]
    assert scores == sorted(scores, reverse=True)

    code, out, _ = run(recommend.main, *where, "--query", "perl", "--exclude", ids[0], "--top-k", "2")
    assert code == 0
    assert ids[0] not in out
    assert [ids[2] in out, f"{scores[2]:.4f}" in out] == [True, True]
    code, out, err = run(recommend.main, *where, "--query", "perll")
    wanted = (
        "error: query 'perll': not one of those of this export; did you mean 'perl'? Or ask with its features instead, "
        """as in '{"debtags": [...], "description_words": ..., "homepage_host": ..., ...}'"""
    )
    assert (code, out, err.splitlines()) == (2, "", [wanted])


def test_queries_stay_known_when_the_export_is_removed(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.serving.retriever._load_graph", lambda *_: None)  # To load it takes seconds.
    shutil.copytree(sample.exported, tmp_path / "export")
    opened = Retriever.open(str(tmp_path / "export"))
    before = opened.query("perl")
    assert before["package"] == "perl"
    shutil.rmtree(tmp_path / "export")
    assert opened.query("perl") == before
    # In the file that was read; in another one something like it may be, which isn't a reason to fail.
    first = next(sample.exported.glob("entities/queries-*"))
    shards = int(first.stem[-5:])
    mine, *others = shard_of(pa.array(["perl", *(f"perl{i}" for i in range(99))]), shards).tolist()
    unknown = f"perl{others.index(mine)}"
    with pytest.raises(UsageError, match=f"^query '{unknown}': not one of those of this export"):
        opened.query(unknown)


def test_an_export_that_is_opened_and_let_go_leaves_no_graph_behind(sample: Sample) -> None:
    """Else a service that opens a new one each night would grow by all of them."""

    def graphs() -> int:
        gc.collect()
        return sum(isinstance(one, FuncGraph) for one in gc.get_objects())

    before = graphs()
    assert Retriever.open(str(sample.exported)).recommend("perl", top_k=1)
    assert graphs() == before


def test_a_query_is_not_recommended_to_itself(sample: Sample) -> None:
    every = [r.item_id for r in sample.retriever.recommend("perl", top_k=3_000_000_000)]
    assert len(set(every)) == len(every) == 2999
    features = sample.retriever.query("perl")
    assert features["package"] == "perl"
    assert [r.item_id for r in sample.retriever.recommend(features, top_k=10_000)] == every
    del features["package"]
    assert len(sample.retriever.recommend(features, top_k=10_000)) == 3000
    assert sample.retriever.recommend("perl", exclude=every) == []


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("perl", {"top_k": 0}, "top_k: expected a whole number of at least 1, got 0"),
        ("perl", {"top_k": 2.5}, "top_k: expected a whole number of at least 1, got 2.5"),
        ("perl", {"top_k": True}, "top_k: expected a whole number of at least 1, got True"),
        ("perl", {"exclude": None}, "exclude: expected a list of texts, or of integers, got None"),
        ({5: "perl"}, {}, "query: no feature '5'; known: debtags, "),
        ({"sektion": "perl"}, {}, "query: no feature 'sektion'; did you mean 'section'?"),
        ({"section": 3.5}, {}, "query: section: expected a text, an integer, true or false, got 3.5"),
        ({"history": ["git"]}, {}, "query: no feature 'history'"),
        # What a shell makes of a byte that is no text.
        ("pe\udcff", {}, "query 'pe\udcff': not one of those of this export"),
        ("perl", {"exclude": ["git", 7]}, "exclude: expected a list of texts, or of integers, got ['git', 7]"),
        ("perl", {"exclude": "git"}, "exclude: expected a list of texts, or of integers, got 'git'"),
        (3.5, {}, "query: expected an id or features by name, got 3.5"),
    ],
)
def test_what_is_unknown_is_named(sample: Sample, query: Any, options: Json, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        sample.retriever.recommend(query, **options)
    assert str(refused.value).startswith(message)


def test_integers_and_truth_values_of_python_or_numpy_stand_for_texts(sample: Sample) -> None:
    opened = sample.retriever
    asked = opened.similar({"package": 7, "section": True, "debtags": [1, 2]}, exclude={"git"}, top_k=np.int64(3))
    texts = {"package": "7", "section": "true", "debtags": ["1", "2"]}
    assert asked == opened.similar(texts, exclude=["git"], top_k=3) != []
    with pytest.raises(UsageError, match=r"^item '7': not one of the 3,000 of this export$"):
        opened.similar(7, exclude=[7])
    assert opened.recommend_all(one for one in ["perl"]) == opened.recommend_all(["perl"])
    for ask, one in ((opened.recommend, 5003), (opened.recommend, np.int64(5003)), (opened.query, 5003)):
        with pytest.raises(UsageError, match=r"^query '5003': not one of those of this export"):
            ask(one)
    with pytest.raises(UsageError, match=r"^query: expected an id, got None$"):
        opened.query(None)
    assert (opened.has_item(7), opened.row_of(7), opened.has_item(None)) == (False, None, False)
    price = Decimal("1024.50")  # as Parquet has it
    asked = opened.recommend({"installed_size": price}, exclude=[np.int64(5)])
    assert asked == opened.recommend({"installed_size": 1024.5})


def test_many_queries_are_searched_a_few_at_a_time(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sample.retriever
    (best, _, third) = [found.item_id for found in opened.recommend("perl", top_k=3)]
    asked: list[Any] = [opened.query("git"), "perl", "cups", opened.query("perl"), "perl"]
    exclude = [[], [best], [], [], [third]]
    alone = [opened.recommend(one, exclude=ids, top_k=2) for one, ids in zip(asked, exclude, strict=True)]
    monkeypatch.setattr("model.serving.retriever.SCORES_AT_ONCE", 2 * 3000)
    found = opened.recommend_all(asked, exclude=exclude, top_k=2)
    assert [[r.item_id for r in one] for one in found] == [[r.item_id for r in one] for one in alone]


def test_an_item_has_its_own_title(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sample.retriever
    found = {
        "item_id": tf.constant([["a", "b", ""]]),
        "title": tf.constant([["The first", "", ""]]),
        "score": tf.constant([[0.5, -0.25, -9e30]]),
    }
    graph = SimpleNamespace(search=lambda *_, **__: found, signatures=opened._graph.signatures)
    monkeypatch.setattr(opened, "_graph", graph)
    assert opened.recommend("perl") == [Recommendation("a", "The first", 0.5), Recommendation("b", "", -0.25)]


def test_embeddings_are_had_by_id_or_by_features(sample: Sample) -> None:
    opened = sample.retriever
    by_id = opened.embed_queries(["perl", "git"])
    by_features = opened.embed_queries([opened.query("perl"), opened.query("git")])
    np.testing.assert_array_equal(by_id, by_features)
    assert by_id.shape == (2, 16)
    assert set(opened.query("perl")) - set(opened.query("reprepro")) == {"homepage_host"}  # which it has none of
    perl = opened.embed_items(["perl"])[0]
    both = opened.embed_items(["git", opened.query("perl"), "perl"])
    np.testing.assert_array_equal(both[0], opened.embed_items(["git"])[0])
    np.testing.assert_allclose(both[1], perl, atol=1e-6)
    np.testing.assert_array_equal(both[2], perl)
    scores = {found.item_id: found.score for found in opened.recommend("git", top_k=5)}
    ids = list(scores)
    np.testing.assert_allclose(opened.embed_items(ids) @ by_id[1], list(scores.values()), atol=1e-6)
    with pytest.raises(UsageError, match="item 'perll': not one of the 3,000 of this export; did you mean 'perl'"):
        opened.embed_items(["perll"])
    with pytest.raises(UsageError, match=r"^item 3 of 3: installed_size: expected a number, got 'x'"):
        opened.embed_items(["git", {}, {"installed_size": "x"}])
    with pytest.raises(UsageError, match=r"^query 2 of 2: expected an id or features by name, got 3.5"):
        opened.embed_queries(["git", 3.5])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="queries: expected a list of ids, or of features by name, got 'perl'"):
        opened.recommend_all("perl")


def test_a_gpu_computes_in_all_bits_too(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.saved_model, "load", lambda _: None)  # To load it takes seconds.
    tf.config.experimental.enable_tensor_float_32_execution(True)
    Retriever.open(str(sample.exported))
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_an_item_s_embedding_costs_no_copy_of_the_corpus(sample: Sample) -> None:
    opened = sample.retriever
    opened.embed_items(["perl"])  # TensorFlow and Python keep something of a first call
    _, peak = with_peak(lambda: opened.embed_items(["perl"]))
    assert peak < 3000 * 16 * 4 / 2


def test_an_item_that_is_gone_leaves_nothing_out(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sample.retriever
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: opened)
    features = opened.query("perl")
    for ask, main, flag in ((opened.recommend, recommend.main, "--query"), (opened.similar, similar.main, "--item")):
        best, second, *_ = [found.item_id for found in ask("perl")]
        without = ask("perl", exclude=[best])
        assert without[0].item_id == second
        assert best not in [found.item_id for found in without]
        assert ask("perl", exclude=["gone", best, "\udcff"]) == without
        assert ask(features, exclude=["gone", best, "\udcff"]) == ask(features, exclude=[best])
        left_out = ["--exclude", "gone", best, "gitt", "--top-k", "1", "--json"]
        code, out, err = run(main, "--export", sample.exported, flag, "perl", *left_out)
        assert (code, err) == (0, "--exclude: not items of this export: gone, gitt\n"), out
        assert [found["item_id"] for found in json.loads(out)[0]["items"]] == [second]


def test_what_the_model_knows_nothing_of_is_said(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sample.retriever
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: opened)
    for main, what in ((recommend.main, "query"), (similar.main, "item")):
        asked = ["perl", '{"section": "perl"}', '{"section": "pearl"}', '{"package": "new"}']
        code, out, err = run(main, "--export", sample.exported, f"--{what}", *asked, "--top-k", "2", "--json")
        assert code == 0, err
        assert err.splitlines() == [
            f'{what} {{"section": "pearl"}}: the model knows nothing of it, so it gets what all such get',
            f'{what} {{"package": "new"}}: the model knows nothing of it, so it gets what all such get',
        ]
        *_, misspelt, new = [entry["items"] for entry in json.loads(out)]
        assert misspelt == new


@pytest.mark.parametrize("most", [3000, 1000])
def test_of_many_ids_none_is_looked_for_that_may_be_meant_but_the_whole_one_of_a_float(
    sample: Sample, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("model.serving.near_ids.NAMES_COMPARED", most)
    near = "; did you mean 'perl'?" if most == 3000 else ""
    for ask, what in ((sample.retriever.similar, "item"), (sample.retriever.recommend, "query")):
        with pytest.raises(UsageError) as refused:
            ask("perll")
        among = "the 3,000" if what == "item" else "those"
        said, _, _ = str(refused.value).partition(f"{' Or' if near else ';'} ask with its features")
        assert said == f"{what} 'perll': not one of {among} of this export{near}"
        with pytest.raises(UsageError, match=r"; did you mean 'perl'\?"):
            ask("perl.0")  # as pandas writes integers; not looked for


def test_what_was_found_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    found = [[Recommendation("a1", "The first", 0.5), Recommendation("a2", "", -0.25)]]
    recommend.show(["ü"], found, as_json=True)
    assert capsys.readouterr().out == (
        '[{"for": "ü", "items": [{"item_id": "a1", "title": "The first", "score": 0.5}, '
        '{"item_id": "a2", "title": "", "score": -0.25}]}]\n'
    )
    recommend.show(["ü"], found, as_json=False)
    rows = [re.split(" *[│┃] *", line) for line in capsys.readouterr().out.splitlines()]
    assert [row[1:-1] for row in rows if len(row) > 1] == [
        ["", "item", "title", "score"],
        ["1", "a1", "The first", "0.5000"],
        ["2", "a2", "", "-0.2500"],
    ]
    # Nothing of an id is cut: it may be what tells it from another.
    long = [f"https://shop.example/{'x' * 150}/{color}" for color in ("red", "blue")]
    recommend.show(["q"], [[Recommendation(one, "t" * 80, 0.5) for one in long]], as_json=False)
    cells = [re.split(" *[│┃] *", line) for line in capsys.readouterr().out.splitlines()]
    shown = "".join(row[2] for row in cells if len(row) > 1)
    assert shown == f"item{''.join(long)}"
    # Of a title that is a whole text the beginning tells it; --json has all.
    titled = [[Recommendation("a1", "t" * 5_000, 0.5)]]
    recommend.show(["q"], titled, as_json=False)
    cells = [re.split(" *[│┃] *", line) for line in capsys.readouterr().out.splitlines()]
    assert "".join(row[3] for row in cells if len(row) > 1) == f"title{'t' * 119}…"
    recommend.show(["q"], titled, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["items"][0]["title"] == "t" * 5_000


@pytest.mark.parametrize("has_features", [True, False])
def test_a_history_goes_to_the_queries_that_are_ids(monkeypatch: pytest.MonkeyPatch, has_features: bool) -> None:
    asked: list[Any] = []
    features = ["sources.queries={path: q.csv, format: csv, id: id}", "query.features={country: {kind: categorical}}"]

    def query(one: str) -> Json:
        assert has_features  # else the id may be a new one
        return {"country": f"of {one}"}

    def recommend_all(queries: list[Any], *, exclude: list[list[str]], top_k: int) -> list[list[Recommendation]]:
        asked.extend([queries, exclude, top_k])
        return [[] for _ in queries]

    opened = SimpleNamespace(
        spec=load_spec("wikispeedia-sessions", features * has_features),
        query=query,
        check_items=lambda ids: ids,
        has_item=lambda _: True,
        embed_queries=lambda queries: np.ones((len(queries), 1)),
        nothing_known=lambda embeddings, _: [False] * len(embeddings),
        recommend_all=recommend_all,
    )
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: opened)
    queries = ["--query", "u1", '{"history": ["s9"]}', "--history", "s1", "s2", "--exclude", "s3", "--top-k", "5"]
    code, _, err = run(recommend.main, "--export", "export", *queries)
    assert code == 0, err
    known = ({"country": "of u1"} if has_features else {}) | {"history": ["s1", "s2"]}
    assert asked == [[known, {"history": ["s9"]}], [["s3"], ["s3"]], 5]


def test_what_the_shell_cannot_read_is_named(sample: Sample) -> None:
    for text in ("{section: shells}", '{"section": ', "{ : "):
        code, _, err = run(recommend.main, "--export", sample.exported, "--query", text)
        assert code == 2
        assert f"--query: expected an id or a JSON object of features, got {text}: " in err
    guid = "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}"
    code, _, err = run(recommend.main, "--export", sample.exported, "--query", guid)
    assert (code, err.startswith(f"error: query '{guid}': not one of those of this export")) == (2, True)
    twice = '{"section": "shells", "section": "perl"}'
    code, _, err = run(recommend.main, "--export", sample.exported, "--query", twice)
    assert (code, err) == (
        2, f"error: --query: expected an id or a JSON object of features, got {twice}: 'section' is repeated\n"
    )  # fmt: skip
    code, _, err = run(recommend.main, "--export", sample.exported, "--query", "perl", "--history", "git")
    assert (code, err[:57]) == (2, "error: --history: this export is not of session mode, so ")
    code, _, err = run(similar.main, "--export", sample.directory / "model", "--item", "perl")
    assert code == 1
    assert "expected an export, found a model" in err


def test_lists_of_another_length_than_the_queries_are_refused(sample: Sample) -> None:
    with pytest.raises(UsageError, match="exclude: expected a list for each of 2 queries, got 1"):
        sample.retriever.recommend_all(["perl", "git"], exclude=[["git"]])
    with pytest.raises(UsageError, match="exclude: expected a list for each of 2 queries, got 0"):
        sample.retriever.recommend_all(["perl", "git"], exclude=[])


# TensorFlow takes seconds to fail of each.
@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        pytest.param("variables/variables.index", marks=pytest.mark.slow),
        pytest.param("variables/variables.data-*", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_graph_is_told_in_one_line(sample: Sample, tmp_path: Path, name: str) -> None:
    shutil.copytree(sample.exported, tmp_path / "export")
    (damaged,) = (tmp_path / "export").glob(name)
    content = damaged.read_bytes()
    middle = len(content) // 2
    damaged.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    code, _, err = run(recommend.main, "--export", tmp_path / "export", "--query", "perl")
    (line,) = err.splitlines()
    assert code == 1
    assert re.fullmatch(rf"error: {tmp_path}/export: its graph can't be loaded \(\w+\); --verify names .*", line)
    code, _, err = run(recommend.main, "--export", tmp_path / "export", "--query", "perl", "--verify")
    assert (code, f"{damaged}: its SHA-256 differs" in err) == (1, True)


def test_similar_items_in_the_shell(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = sample.retriever
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: opened)
    items = sample.examples("items")
    vectors = sample.two_tower.encode_items(encoded(items, "item")).numpy()
    ids = [item["item_id"][0].decode() for item in items]
    scores = vectors @ vectors[ids.index("perl")]
    scores[ids.index("perl")] = -2
    best = sorted(scores)[-3:][::-1]
    code, out, err = run(similar.main, "--export", sample.exported, "--item", "perl", "--top-k", "3", "--json")
    assert code == 0, err
    found = json.loads(out)[0]["items"]
    assert [item["score"] for item in found] == pytest.approx(best, abs=1e-5)
    assert [scores[ids.index(item["item_id"])] for item in found] == pytest.approx(best, abs=1e-5)

    # The same features as an item's that isn't in the corpus: that item is the nearest.
    raw = sample.raw_queries["perl"]
    features = {n.removeprefix("feature/"): v for n, v in raw.items() if n.startswith("feature/") and v is not None}
    assert "perl" in [found.item_id for found in sample.retriever.similar(features, top_k=3)]
    assert "perl" not in [found.item_id for found in sample.retriever.similar({**features, "package": "perl"})]
