"""An export of the sample: it recommends what the trainer would, for whoever loads it, however it is asked."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from model import export, recommend, similar, train
from model.api import load_dataset, read_examples
from model.retriever import Retriever
from model.two_tower import TwoTower, load_model
from pipelines import build_dataset
from stage.command_line import run_command
from stage.errors import UsageError

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
TEXTS = ("section", "maintainer", "homepage_host", "name_words", "description_words")


def run(main: Any, *arguments: str | Path) -> tuple[int, str, str]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run_command(main, [str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@dataclass(frozen=True)
class Sample:
    """A run of the sample, and its export."""

    directory: Path

    @property
    def inputs(self) -> list[str | Path]:
        return ["--model", self.directory / "model", "--dataset", self.directory / "dataset"]

    @property
    def exported(self) -> Path:
        return self.directory / "export" / "1"

    @cached_property
    def served(self) -> Any:
        return tf.saved_model.load(str(self.exported))

    @cached_property
    def retriever(self) -> Retriever:
        return Retriever.open(str(self.exported))

    @cached_property
    def two_tower(self) -> TwoTower:
        return load_model(str(self.directory / "model"))

    def examples(self, folder: str) -> list[Json]:
        """Records of a folder, as the build encoded them."""
        files = [str(path) for path in sorted((self.directory / "dataset" / folder).glob("*.tfrecord.gz"))]
        found = []
        for record in tf.data.TFRecordDataset(files, "GZIP"):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            found.append({key: list(getattr(f, f.WhichOneof("kind")).value) for key, f in features.items()})
        return found

    @cached_property
    def raw_queries(self) -> dict[str, Json]:
        """Id -> row of the queries' table."""
        paths = sorted((self.directory / "dataset" / "entities").glob("queries-*.parquet"))
        return {row["id"]: row for path in paths for row in pq.ParquetFile(path).read().to_pylist()}


def encoded(examples: list[Json], side: str) -> Mapping[str, tf.RaggedTensor]:
    keys = [f"{side}/{name}" for name in ("package", "debtags", *TEXTS, "installed_size")]
    return {
        key: tf.ragged.constant(
            [example.get(key, []) for example in examples],
            tf.float32 if key.endswith("size") else tf.int64,
            ragged_rank=1,
            row_splits_dtype=tf.int64,
        )
        for key in keys
    }


def request_of(rows: list[Json], exclude: list[list[str]]) -> dict[str, list[Any]]:
    """What a client sends for these rows of the queries' table: lists padded with "", no number is NaN."""

    def padded(lists: list[list[str]]) -> list[list[str]]:
        width = max(1, *map(len, lists))
        return [[*texts, *[""] * (width - len(texts))] for texts in lists]

    columns: dict[str, list[Any]] = {"query_package": [row["id"] for row in rows]}
    columns |= {f"query_{name}": [row[f"feature/{name}"] or "" for row in rows] for name in TEXTS}
    columns["query_debtags"] = padded([row["feature/debtags"] or [] for row in rows])
    sizes = [row["feature/installed_size"] for row in rows]
    columns["query_installed_size"] = [float("nan") if size is None else size for size in sizes]
    return columns | {"exclude": padded(exclude)}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    directory = tmp_path_factory.mktemp("sample")
    raw = ROOT / "tests/data/debian-sample"
    small = [
        "--set",
        "model={embedding_dim: 16, hidden: [32, 16], hashed_tables: {package: {rows: 900}}}",
        "--set",
        "train.epochs=1",
    ]
    stages: list[tuple[Any, list[str | Path]]] = [
        (build_dataset.main, ["--spec", "debian", "--raw", raw, "--output", directory / "dataset"]),
        (train.main, ["--dataset", directory / "dataset", "--output", directory / "model", *small]),
        (export.main, [*Sample(directory).inputs, "--output", Sample(directory).exported]),
    ]
    for main, arguments in stages:
        code, _, err = run(main, *arguments)
        assert code == 0, err
    return Sample(directory)


def test_scores_are_the_trainer_s_for_every_test_query(sample: Sample) -> None:
    examples = list({example["query_id"][0]: example for example in sample.examples("test")}.values())
    items = sample.examples("items")
    scores = sample.two_tower.encode_queries(encoded(examples, "query")).numpy()
    scores = scores @ sample.two_tower.encode_items(encoded(items, "item")).numpy().T
    column = {item["item_id"][0]: number for number, item in enumerate(items)}

    ids = [example["query_id"][0].decode() for example in examples]
    assert len(ids) > 1000
    asked = request_of([sample.raw_queries[one] for one in ids], [[one] for one in ids])
    found = sample.served.signatures["serving_default"](
        **{name: tf.constant(v, tf.float32 if name.endswith("size") else tf.string) for name, v in asked.items()}
    )
    assert found["score"].shape == (len(ids), 50)
    for row, one in enumerate(ids):
        places = [column[item] for item in found["item_id"][row].numpy()]
        assert len(set(places)) == 50
        np.testing.assert_allclose(found["score"][row], scores[row, places], rtol=0, atol=1e-5)
        left = np.delete(scores[row], [*places, column[one.encode()]])
        assert left.max() <= found["score"][row, -1] + 1e-5
    titles = {item["item_id"][0]: item["item_id"][0] for item in items}  # a package's title is its name
    assert [titles[i] for i in found["item_id"][0].numpy()] == found["title"][0].numpy().tolist()


def test_it_answers_where_there_is_only_tensorflow_in_the_server_s_forms(sample: Sample, tmp_path: Path) -> None:
    rows = [sample.raw_queries[one] for one in ("perl", "git")]
    assert rows[0]["feature/debtags"]
    columns = request_of(rows, [["perl"], ["git", "perl", "no such package"]])
    wanted = sample.served.signatures["serving_default"](
        **{name: tf.constant(v, tf.float32 if name.endswith("size") else tf.string) for name, v in columns.items()}
    )
    instances = [{name: column[row] for name, column in columns.items()} for row in range(2)]
    cold = {"item_package": "", "item_section": "perl", "item_debtags": ["", ""], "item_installed_size": 7}
    cold |= {f"item_{name}": "" for name in TEXTS if name != "section"}
    requests = [
        {"signature_name": "serving_default", "instances": instances},
        {"signature_name": "serving_default", "inputs": columns},
        {"signature_name": "item_embedding", "instances": [cold]},
        {"signature_name": "query_embedding", "inputs": {k: v for k, v in columns.items() if k != "exclude"}},
        {"signature_name": "similar_items", "instances": [{"item_id": "perl", "exclude": [""]}]},
    ]
    process = subprocess.run(
        [sys.executable, Path(__file__).with_name("served_alone.py"), sample.exported],
        input="\n".join(map(json.dumps, requests)),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    by_row, by_column, item, query, alike = map(json.loads, process.stdout.splitlines())
    ids = [[one.decode() for one in row] for row in wanted["item_id"].numpy()]
    assert [row["item_id"] for row in by_row["predictions"]] == ids == by_column["outputs"]["item_id"]
    assert [row["title"] for row in by_row["predictions"]] == ids
    np.testing.assert_allclose(by_column["outputs"]["score"], wanted["score"], atol=1e-6)
    assert not {"perl", "git"} & set(ids[1])
    assert np.shape(item["predictions"][0]["embedding"]) == (16,)
    assert np.shape(query["outputs"]["embedding"]) == (2, 16)
    assert "perl" not in alike["predictions"][0]["item_id"]


def test_serialized_examples_say_the_same(sample: Sample) -> None:
    ids = ["perl", "git", "cups"]
    rows = [sample.raw_queries[one] for one in ids]

    def texts(*values: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    serialized = []
    for row in rows:
        features = {"query/package": texts(row["id"]), "exclude": texts(row["id"], "nobody")}
        features["query/debtags"] = texts(*row["feature/debtags"] or [])
        features |= {f"query/{name}": texts(row[f"feature/{name}"]) for name in TEXTS if row[f"feature/{name}"]}
        size = tf.train.FloatList(value=[row["feature/installed_size"]])
        features["query/installed_size"] = tf.train.Feature(float_list=size)
        serialized.append(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    found = sample.served.signatures["serving_default_examples"](examples=tf.constant(serialized))
    asked = request_of(rows, [[one] for one in ids])
    wanted = sample.served.signatures["serving_default"](
        **{name: tf.constant(v, tf.float32 if name.endswith("size") else tf.string) for name, v in asked.items()}
    )
    assert found["item_id"].numpy().tolist() == wanted["item_id"].numpy().tolist()
    np.testing.assert_array_equal(found["score"], wanted["score"])


def test_tables_are_variables(sample: Sample) -> None:
    """A graph ends at 2 GB, so nothing that grows with items or terms may stand in it."""
    saved = saved_model_pb2.SavedModel.FromString((sample.exported / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    sizes = [node.attr["value"].tensor.ByteSize() for node in nodes if node.op == "Const"]
    assert len(sizes) > 100
    # A regular expression has 11 kB; the ids of 3,000 items 36 kB, their embeddings 192 kB.
    assert max(sizes) < 20_000


def test_the_manifest_says_what_it_was_made_of(sample: Sample) -> None:
    manifest = json.loads((sample.exported / "manifest.json").read_text())
    assert (manifest["stage"], manifest["counts"]) == ("export", {"items": 3000, "projected": 3000})
    assert set(manifest["inputs"]) == {"model", "dataset"}
    named = {file["name"] for file in manifest["files"]}
    there = {str(path.relative_to(sample.exported)) for path in sample.exported.rglob("*") if path.is_file()}
    assert there == named | {"manifest.json"}


def test_an_unfinished_export_is_made_again_and_a_finished_one_refused(sample: Sample, tmp_path: Path) -> None:
    output = tmp_path / "export"
    output.mkdir()
    (output / ".unfinished").touch()
    (output / "saved_model.pb").write_text("half of one")
    (output / "left_behind").touch()
    few = ["--set", "export.projector_items=7", "--set", "export.queries=false", "--set", "export.top_k=3"]
    assert run(export.main, *sample.inputs, "--output", output, *few)[0] == 0
    assert not (output / "left_behind").exists()
    assert not (output / ".unfinished").exists()
    code, _, err = run(export.main, *sample.inputs, "--output", output, *few)
    assert (code, err.splitlines()[-1]) == (1, f"error: {output}: is finished already; --overwrite makes it again")
    assert len((output / "projector" / "embeddings.tsv").read_text().splitlines()) == 7

    served = {name: json.loads((path / "manifest.json").read_text())["content"] for name, path in
              (("this", output), ("that", sample.exported))}  # fmt: skip
    assert served["this"] == served["that"]
    retriever = Retriever.open(str(output))
    assert len(retriever.recommend({"section": "perl"})) == 3
    with pytest.raises(UsageError, match=r"was made without queries \(export\.queries: false\); give its features"):
        retriever.recommend("perl")


def test_the_projector_shows_the_most_frequent_items_first(sample: Sample) -> None:
    folder = sample.exported / "projector"
    header, *rows = [line.split("\t") for line in (folder / "metadata.tsv").read_text().split("\n")[:-1]]
    assert header[:3] == ["id", "title", "train_count"]
    assert {"feature/section", "feature/debtags"} <= set(header)
    assert {len(row) for row in rows} == {len(header)}
    counts = [int(row[2]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    vectors = np.loadtxt(folder / "embeddings.tsv", delimiter="\t")
    items = {item["item_id"][0].decode(): item for item in sample.examples("items")}
    wanted = sample.two_tower.encode_items(encoded([items[row[0]] for row in rows], "item"))
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    assert (folder / "projector_config.pbtxt").read_text().count('"') == 6


def test_recommendations_in_the_shell(sample: Sample) -> None:
    where = ["--export", sample.exported]
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
    wanted = "error: query 'perll': not one of the 2,882 of this export; did you mean 'perl'?"
    assert (code, out, err.splitlines()) == (2, "", [wanted])


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
        ("perl", {"exclude": ["gitt"]}, "item 'gitt': not one of the 3,000 of this export; did you mean '"),
        ("perl", {"top_k": 0}, "top_k: expected at least 1, got 0"),
        ({"sektion": "perl"}, {}, "query: no feature 'sektion'; did you mean 'section'?"),
        ({"section": 3}, {}, "query: section: expected a text, got 3"),
        ({"debtags": "a"}, {}, "query: debtags: expected a list of texts, got 'a'"),
        ({"installed_size": "a"}, {}, "query: installed_size: expected a number, got 'a'"),
        ({"history": ["git"]}, {}, "query: no feature 'history'"),
        # What a shell makes of a byte that is no text, and JSON of half a pair.
        ("pe\udcff", {}, "query 'pe\udcff': not one of the 2,882 of this export"),
        ("perl", {"exclude": ["git", "\udcff"]}, "item '\udcff': not one of the 3,000 of this export"),
        ({"section": "\ud800"}, {}, "query: section: expected a text, got '\\ud800'"),
        ({"debtags": ["a", "\ud800"]}, {}, "query: debtags: expected a list of texts, got ['a', '\\ud800']"),
    ],
)
def test_what_is_unknown_is_named(sample: Sample, query: Any, options: Json, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        sample.retriever.recommend(query, **options)
    assert str(refused.value).startswith(message)


def test_what_the_shell_cannot_read_is_named(sample: Sample) -> None:
    code, _, err = run(recommend.main, "--export", sample.exported, "--query", "{")
    assert code == 2
    assert "--query: expected an id or a JSON object of features, got {: " in err
    code, _, err = run(similar.main, "--export", sample.directory / "model", "--item", "perl")
    assert code == 1
    assert "expected an export, found a model" in err


def test_lists_of_another_length_than_the_queries_are_refused(sample: Sample) -> None:
    with pytest.raises(UsageError, match="exclude: expected a list for each of 2 queries, got 1"):
        sample.retriever.recommend_all(["perl", "git"], exclude=[["git"]])


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-*"])
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


def test_similar_items_in_the_shell(sample: Sample) -> None:
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
    with pytest.raises(UsageError, match=r"item 'perll': not one of the 3,000 of this export; did you mean 'perl'\?"):
        sample.retriever.similar("perll")


def test_the_readme_s_python_runs(
    sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").symlink_to(sample.directory)
    (tmp_path / "exports").symlink_to(sample.directory / "export")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    said = capsys.readouterr().out
    counts = Counter(example["item_id"][0].decode() for example in sample.examples("train"))
    frequent = re.search(r"^3000 items, the most frequent in training: (.*)$", said, re.M)
    assert frequent is not None
    assert counts[frequent.group(1)] == max(counts.values())
    assert "embeddings of items: (3000, 16)" in said
    best = sample.retriever.recommend("perl", top_k=3)
    assert f"{best[2].item_id} {best[2].title} {round(best[2].score, 3)}" in said
    assert "embeddings of queries: (1, 16)" in said


def test_a_split_is_read_once_in_batches(sample: Sample) -> None:
    dataset = load_dataset(str(sample.directory / "dataset"))
    batches = list(read_examples(dataset, "validation", batch_size=500))
    wanted = sample.examples("validation")
    assert [len(batch["query_id"]) for batch in batches[:-1]] == [500] * (len(wanted) // 500)
    for key in ("query_id", "item_id"):
        found = [one for batch in batches for one in batch[key].numpy().tolist()]
        assert sorted(found) == sorted(example[key][0] for example in wanted)
    found = sorted(tuple(tags) for batch in batches for tags in batch["item/debtags"].to_list())
    assert found == sorted(tuple(example.get("item/debtags", [])) for example in wanted)


@pytest.mark.parametrize(("most_hnsw", "least_recall"), [(5000, 0.98), pytest.param(1000, 0.9, marks=pytest.mark.slow)])
def test_beyond_some_size_an_index_searches(
    sample: Sample, tmp_path: Path, most_hnsw: int, least_recall: float
) -> None:
    faiss.omp_set_num_threads(1)  # Threads that wait for each other cost minutes where other tests run.
    sizes = ["--set", "export.max_exact_items=2999", "--set", f"export.max_hnsw_items={most_hnsw}"]
    code, out, err = run(export.main, *sample.inputs, "--output", tmp_path / "export", *sizes)
    assert code == 0, err
    assert "search: by index.faiss, recall@50 " in out
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    assert set(manifest["measures"]) == {"recall@50", "queries/s", "exact_queries/s"}
    assert 1 >= manifest["measures"]["recall@50"] >= least_recall

    retriever = Retriever.open(str(tmp_path / "export"))
    queries = list(sample.raw_queries)[:40]
    found = retriever.recommend_all(queries, exclude=[["git"]] * 40, top_k=20)
    wanted = sample.retriever.recommend_all(queries, exclude=[["git"]] * 40, top_k=20)
    ids = [[{r.item_id for r in one} for one in both] for both in (found, wanted)]
    assert all(len(one) == 20 and not {"git", query} & one for one, query in zip(ids[0], queries, strict=True))
    assert sum(len(a & b) for a, b in zip(*ids, strict=True)) >= least_recall * 800
    scores = {(query, r.item_id): r.score for query, one in zip(queries, wanted, strict=True) for r in one}
    for query, one in zip(queries, found, strict=True):
        for r in one:
            assert r.score == pytest.approx(scores.get((query, r.item_id), r.score), abs=0.02)
    alike = [{r.item_id for r in one.similar("perl", top_k=10)} for one in (retriever, sample.retriever)]
    assert len(alike[0] & alike[1]) >= least_recall * 10 - 1
    assert "perl" not in alike[0]

    served = tf.saved_model.load(str(tmp_path / "export"))
    asked = request_of([sample.raw_queries["perl"]], [[]])
    asked.pop("exclude")
    embedding = served.signatures["serving_default"](
        **{name: tf.constant(v, tf.float32 if name.endswith("size") else tf.string) for name, v in asked.items()}
    )["embedding"]
    np.testing.assert_allclose(embedding, retriever.embed_queries([retriever.query("perl")]), atol=1e-6)
