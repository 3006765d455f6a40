"""An export that an index searches, made with little beside it where another was left unfinished."""

import contextlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from exports import Sample, as_tensors, request_of
from in_process import run

from model import export
from model.serving.retriever import Recommendation, Retriever
from stage import storage
from stage.errors import UsageError
from stage.parquet import read_parquet

LITTLE = ("--set", "export.projector_items=7", "--set", "export.queries=false", "--set", "export.top_k=40")


@dataclass(frozen=True)
class Indexed:
    """An export that doesn't score every item, the share of the best that it must find, and how far scores may err."""

    directory: Path
    least_recall: float
    most_error: float
    said: str

    @cached_property
    def retriever(self) -> Retriever:
        return Retriever.open(str(self.directory))


@pytest.fixture(
    scope="module",
    params=[(5000, 0.98, 1e-5), pytest.param((1000, 0.9, 0.02), marks=pytest.mark.slow)],
    ids=["HNSW", "IVF-PQ"],
)
def indexed(request: pytest.FixtureRequest, sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    faiss.omp_set_num_threads(1)  # Threads that wait for each other cost minutes where other tests run.
    most_hnsw, least_recall, most_error = request.param
    output = tmp_path_factory.mktemp("indexed") / "export"
    output.mkdir()
    (output / ".unfinished").write_text('{"stage": "export", "run_id": "killed"}')
    (output / "saved_model.pb").write_text("half of one")
    (output / "left_behind").touch()
    sizes = ["--set", "export.max_exact_items=2999", "--set", f"export.max_hnsw_items={most_hnsw}"]
    code, out, err = run(export.main, *sample.inputs, "--output", output, *LITTLE, *sizes)
    assert code == 0, err
    return Indexed(output, least_recall, most_error, out)


def test_an_unfinished_export_is_made_again_and_a_finished_one_refused(indexed: Indexed, sample: Sample) -> None:
    output = indexed.directory
    assert not (output / "left_behind").exists()
    assert not (output / ".unfinished").exists()
    code, _, err = run(export.main, *sample.inputs, "--output", output, *LITTLE)
    assert (code, err.splitlines()[-1]) == (1, f"error: {output}: is finished already; --overwrite makes it again")
    assert len((output / "projector" / "embeddings.tsv").read_text().splitlines()) == 7
    served = [json.loads((path / "manifest.json").read_text())["content"] for path in (output, sample.exported)]
    assert served[0] == served[1]


def test_without_faiss_nothing_is_embedded(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    sizes = ["--set", "export.max_exact_items=2999"]
    code, _, err = run(export.main, *sample.inputs, "--output", tmp_path / "export", *sizes)
    assert code == 1
    assert err == "error: export needs faiss-cpu, found none: pip install '.[serve]' in a checkout of ssl-two-tower\n"
    assert not (tmp_path / "export").exists()


def test_what_lies_beside_the_graph_is_read_where_it_is(indexed: Indexed, monkeypatch: pytest.MonkeyPatch) -> None:
    """On gs:// the graph is copied, and nothing that is read without it."""
    copied: set[str] = set()

    def copy(directory: str, names: Iterable[str]) -> contextlib.AbstractContextManager[str]:
        copied.update(names)
        return contextlib.nullcontext(directory)

    def read_in_chunks(path: str) -> pa.Table:
        return pa.Table.from_batches(read_parquet(path).to_batches(max_chunksize=100))

    monkeypatch.setattr(storage, "readable_as_local", copy)
    monkeypatch.setattr("model.serving.retriever.read_parquet", read_in_chunks)
    retriever = Retriever.open(str(indexed.directory))
    assert [column.num_chunks for column in retriever.items.columns] == [1, 1, 1]
    assert {name.partition("/")[0] for name in copied} == {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
    assert len(retriever.recommend({"section": "perl"})) == 40
    with pytest.raises(UsageError) as refused:
        retriever.recommend("perl")
    assert str(refused.value) == (
        f"query 'perl': {indexed.directory} was made without queries (export.queries: false); ask with its features, "
        """'{"package": "perl", "debtags": [...], "description_words": ..., "homepage_host": ..., """
        """"installed_size": ..., "maintainer": ..., "name_words": ..., "section": ...}'; """
        "what is left out counts as missing"
    )


def test_what_an_index_finds_is_named_without_what_is_left_out(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = indexed.retriever
    ids = opened.items["id"].to_pylist()
    titles = [f"Title {row}" for row in range(len(ids))]
    monkeypatch.setattr(opened, "items", opened.items.set_column(1, "title", pa.array(titles)))
    asked = []

    def search(_: object, queries: np.ndarray, *, top_k: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append((queries.shape, top_k))
        return np.array([[0.5, 0.25, 0.125, 0]] * 2, np.float32), np.array([[7, 5, 6, 3], [7, 5, -1, -1]])

    monkeypatch.setattr("model.serving.item_index.search_index", search)
    found = opened.recommend_all([{"section": "perl"}] * 2, exclude=[[ids[5], "gone"], [ids[3], ids[7]]], top_k=2)
    assert asked == [((2, 16), 4)]
    fifth, sixth, seventh = (
        Recommendation(ids[row], f"Title {row}", score) for row, score in ((5, 0.25), (6, 0.125), (7, 0.5))
    )
    assert found == [[seventh, sixth], [fifth]]


def test_beyond_some_size_an_index_searches(indexed: Indexed, sample: Sample) -> None:
    assert "search: by index.faiss, recall@40 " in indexed.said
    manifest = json.loads((indexed.directory / "manifest.json").read_text())
    assert set(manifest["measures"]) == {"recall@40", "queries/s", "exact_queries/s"}
    assert 1 >= manifest["measures"]["recall@40"] >= indexed.least_recall

    queries = list(sample.raw_queries)[:40]
    asked = [sample.retriever.query(query) for query in queries]
    found, wanted = (
        retriever.recommend_all(asked, exclude=[["git"]] * 40, top_k=20)
        for retriever in (indexed.retriever, sample.retriever)
    )
    ids = [[{r.item_id for r in one} for one in both] for both in (found, wanted)]
    assert all(len(one) == 20 and not {"git", query} & one for one, query in zip(ids[0], queries, strict=True))
    assert sum(len(a & b) for a, b in zip(*ids, strict=True)) >= indexed.least_recall * 800
    by_query = sample.retriever.embed_queries(queries)
    for embedding, one in zip(by_query, found, strict=True):
        scores = sample.retriever.embed_items([r.item_id for r in one]) @ embedding
        np.testing.assert_allclose([r.score for r in one], scores, rtol=0, atol=indexed.most_error)
    alike = [{r.item_id for r in one.similar("perl", top_k=10)} for one in (indexed.retriever, sample.retriever)]
    assert len(alike[0] & alike[1]) >= indexed.least_recall * 10 - 1
    assert "perl" not in alike[0]

    served = tf.saved_model.load(str(indexed.directory))
    names = ["item_embedding", "query_embedding", "serving_default"]
    assert sorted(served.signatures) == sorted(names + [f"{name}_examples" for name in names])
    request = request_of([sample.raw_queries["perl"]], [[]])
    request.pop("exclude")
    embedding = served.signatures["serving_default"](**as_tensors(request))["embedding"]
    np.testing.assert_allclose(embedding, indexed.retriever.embed_queries([sample.retriever.query("perl")]), atol=1e-6)
