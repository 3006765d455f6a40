"""Indexes find what exact search finds, and say how much of it."""

import io

import faiss
import numpy as np
import pytest

from features.spec_export import Export
from model.item_index import build_index, measure_index, read_index, search_index, write_index


@pytest.mark.parametrize(("most_hnsw", "kind"), [(5000, faiss.IndexHNSWFlat), (1000, faiss.IndexRefine)])
def test_an_index_is_measured_against_exact_search(most_hnsw: int, kind: type) -> None:
    faiss.omp_set_num_threads(1)  # Threads that wait for each other cost minutes where other tests run.
    draws = np.random.default_rng(5)
    vectors = draws.normal(size=(1500, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[::15] + draws.normal(size=(100, 8)).astype(np.float32) * 0.1
    index = build_index(vectors, Export(max_hnsw_items=most_hnsw))
    assert isinstance(index, kind)
    file = io.BytesIO()
    write_index(index, file)
    index = read_index(io.BytesIO(file.getvalue()))
    _, rows = search_index(index, queries, top_k=10)
    wanted = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows, wanted, strict=True)])
    measures = measure_index(index, vectors, queries=queries, top_k=10)
    assert measures["recall@10"] == pytest.approx(recall)
    assert recall > 0.95
    assert measures["queries/s"] > 0
    assert measures["exact_queries/s"] > 0
    np.testing.assert_allclose(index.reconstruct(3), vectors[3], atol=0.01)


def test_an_item_that_ties_with_the_last_of_the_best_is_found_too() -> None:
    vectors = np.array([[1, 0], [0.5, 0.5], [0.5, -0.5], [0, 1], [-1, 0]], np.float32)

    class Finds:
        def search(self, *_: object) -> tuple[np.ndarray, np.ndarray]:
            rows = np.array([[2, 0], [-1, 4]])  # as good as 0 and 1; and one worse
            return np.zeros(rows.shape, np.float32), rows

    queries = np.array([[1, 0], [1, 0]], np.float32)
    assert measure_index(Finds(), vectors, queries=queries, top_k=2)["recall@2"] == 0.5
