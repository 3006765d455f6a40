"""Indexes find what exact search finds, and say how much of it."""

import io
from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from features.spec.export import Export
from model.serving import item_index
from model.serving.item_index import build_index, measure_index, read_index, search_index, write_index
from stage.errors import StageError


@pytest.mark.parametrize(("most_hnsw", "kind"), [(1500, faiss.IndexHNSWFlat), (1499, faiss.IndexRefine)])
def test_an_index_is_measured_against_exact_search(most_hnsw: int, kind: type) -> None:
    faiss.omp_set_num_threads(1)  # Threads that wait for each other cost minutes where other tests run.
    draws = np.random.default_rng(5)
    vectors = draws.normal(size=(1500, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[::15] + draws.normal(size=(100, 8)).astype(np.float32) * 0.1
    index = build_index(vectors, Export(max_hnsw_items=most_hnsw, hnsw_ef_search=300, ivf_nprobe=30))
    assert isinstance(index, kind)
    file = io.BytesIO()
    write_index(index, file)
    index = read_index(io.BytesIO(file.getvalue()), path="index.faiss")
    effort = index.hnsw.efSearch if kind is faiss.IndexHNSWFlat else faiss.extract_index_ivf(index).nprobe
    assert effort == (300 if kind is faiss.IndexHNSWFlat else 30)
    scores, rows = search_index(index, queries, top_k=10)
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ vectors.T, rows, axis=1), atol=0.02)
    wanted = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, wanted, strict=True)])
    measures = measure_index(index, vectors, queries=queries, top_k=10)
    assert measures["recall@10"] == pytest.approx(recall)
    assert recall > 0.95
    np.testing.assert_allclose(index.reconstruct(3), vectors[3], atol=0.01)


@pytest.mark.parametrize(("most_hnsw", "least"), [(10_000, 0.99), (1000, 0.95)])
def test_beside_many_items_to_leave_out_an_index_looks_further(most_hnsw: int, least: float) -> None:
    faiss.omp_set_num_threads(1)
    draws = np.random.default_rng(7)
    centres = draws.normal(size=(50, 16))
    drawn = (centres[draws.integers(50, size=n)] + 0.7 * draws.normal(size=(n, 16)) for n in (5000, 20))
    vectors, queries = ((some / np.linalg.norm(some, axis=1, keepdims=True)).astype(np.float32) for some in drawn)
    index = build_index(vectors, Export(max_hnsw_items=most_hnsw, hnsw_ef_search=64, ivf_nprobe=8))
    _, rows = search_index(index, queries, top_k=1010)
    wanted = np.argsort(-(queries @ vectors.T), axis=1)[:, :1010]
    recall = np.mean([len(set(a) & set(b)) / 1010 for a, b in zip(rows, wanted, strict=True)])
    assert recall > least


def test_a_damaged_index_is_named() -> None:
    with pytest.raises(
        StageError, match=r"^EXPORT/index\.faiss: not readable as an index \(RuntimeError\); export makes"
    ):
        read_index(io.BytesIO(b"IHNf" + b"x" * 40), path="EXPORT/index.faiss")


def test_an_item_that_ties_with_the_last_of_the_best_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.array([[-1, 0], [1, 0], [2, 4], [2, -4], [3, 3]], np.float32)

    class Finds:
        def search(self, _: object, top_k: int, **__: object) -> tuple[np.ndarray, np.ndarray]:
            # As good as 4 and 2; one worse, and no more; but all, if so many are wanted.
            rows = np.array([[3, 4], [-1, 1]]) if top_k == 2 else np.array([range(5)] * 2)
            return np.zeros(rows.shape, np.float32), rows

    monkeypatch.setattr(item_index, "_effort", lambda *_: None)
    # Exact search takes 4 s, the index 0.5 s.
    monkeypatch.setattr(item_index, "time", SimpleNamespace(perf_counter=iter([10, 14, 14.5] * 2).__next__))
    queries = np.array([[1, 0], [1, 0]], np.float32)
    measures = measure_index(Finds(), vectors, queries=queries, top_k=2)
    assert measures == {"recall@2": 0.5, "queries/s": 4.0, "exact_queries/s": 0.5}
    assert measure_index(Finds(), vectors, queries=queries, top_k=9)["recall@5"] == 1


def test_a_compressed_vector_has_the_most_equal_parts_of_two_numbers_or_more() -> None:
    faiss.omp_set_num_threads(1)
    vectors = np.random.default_rng(3).normal(size=(1001, 9)).astype(np.float32)
    index = build_index(vectors, Export(max_hnsw_items=1000))
    assert faiss.downcast_index(faiss.extract_index_ivf(index)).pq.M == 3
