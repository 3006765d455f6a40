"""The graph here is a real one: tensorflow-transform analyses a handful of entities."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from numpy.typing import NDArray
from small_specs import small_spec

from features import known_ids
from features.dataset import Dataset
from features.entities import to_entities, with_counts
from features.hashing import hash_texts
from features.preprocessing import preprocessing_fn
from features.transform_graph import DTYPES, TransformGraph
from features.transform_inputs import transform_inputs
from model.network.finished_model import FinishedModel
from model.ranking import entity_features
from model.ranking.entity_features import encode_entities, entity_blocks
from pipelines.aggregation.packing import pack
from pipelines.beam.learn import ConstantsForGraph, LearnVocabularies, learn_constants
from stage.errors import StageError

PAGE = {"kind": "id", "vocabulary": "page", "min_count": 0}
SPEC = small_spec(
    sources={"items": {"path": "x", "id": "page"}, "queries": "items"},
    query={"page": PAGE},
    item={
        "page": PAGE,
        "tags": {"kind": "multivalued", "max_values": 2},
        "words": {"kind": "text", "ngrams": [1, 2]},
        "size": "numeric",
    },
)
YESTERDAY = {
    "page": ["ant", "bee", "cat"],
    "tags": [["red", "wet"], ["red"], None],
    "words": ["Big ant", None, "big"],
    "size": [1.0, 3.0, None],
}
# Code = rank in the vocabulary: ids by train count, words and tags by how many entities have them.
TRAIN_COUNT = {"ant": 2, "bee": 9, "cat": 5}


def entities(columns: dict[str, list[Any]], side: str) -> pa.Table:
    kinds = {"tags": pa.list_(pa.string()), "size": pa.float64()}
    rows = pa.record_batch({name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()})
    found = to_entities(rows, SPEC.sources.items, side=getattr(SPEC, side))
    counts = {"id": list(TRAIN_COUNT), "train_count": list(TRAIN_COUNT.values())}
    return with_counts(found, pa.table(counts | {"full_train_count": counts["train_count"]}))


@pytest.fixture(scope="module")
def transform(tmp_path_factory: pytest.TempPathFactory) -> FinishedModel:
    directory = tmp_path_factory.mktemp("transform")
    tables = {side: entities(YESTERDAY, side) for side in ("query", "item")}
    spec = {name: tf.io.VarLenFeature(DTYPES[kind]) for name, kind in transform_inputs(SPEC).items()}
    metadata = tft.DatasetMetadata.from_feature_spec(spec)
    with tft_beam.Context(temp_dir=str(directory / "temporary")), beam.Pipeline(runner=FnApiRunner()) as pipeline:
        known = {side: pipeline | side >> beam.Create([(0, pack(table))]) for side, table in tables.items()}
        preprocess = preprocessing_fn(
            SPEC,
            learn_vocabularies=LearnVocabularies(known, SPEC, shards=1, directory=str(directory / "vocabularies")),
            learn_constants=ConstantsForGraph(known | learn_constants(SPEC)),
        )
        nothing = pipeline | "Nothing" >> beam.Create([]).with_output_types(dict[str, Any])
        _ = (nothing, metadata) | tft_beam.AnalyzeDataset(preprocess) | tft_beam.WriteTransformFn(str(directory))
    return cast(FinishedModel, SimpleNamespace(spec=SPEC, transform_directory=str(directory)))


def dataset_of(*tables: pa.Table) -> Dataset:
    """A dataset of which only the entities are looked at."""

    def read(kind: str) -> Iterator[pa.Table]:
        yield from tables

    return cast(Dataset, SimpleNamespace(directory="today", spec=SPEC, entities=read))


TODAY = {
    "page": ["dog", "cat", "ant", "bee"],
    "tags": [["wet", "new", "red", "red"], [], None, ["new"]],
    "words": ["A BIG dog!", "ant", None, "big ant"],
    "size": [2.0, None, 3.0, -1.0],
}


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_today_s_items_get_yesterday_s_codes(
    transform: FinishedModel, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(entity_features, "ENTITIES_AT_ONCE", at_once)
    table = entities(TODAY, "item")
    dataset = dataset_of(table.slice(0, 3), table.slice(3))
    found = encode_entities(dataset, "items", ids=[b"bee", b"dog", b"ant", b"cat"], model=transform)

    # By train count: bee 0, cat 1, ant 2; dog is new.
    assert found["item/page"].to_list() == [[0], [], [2], [1]]
    # red stands with two items, wet with one; new is unknown; at most two values are kept.
    assert found["item/tags"].to_list() == [[], [1, 0], [], []]
    # big twice; "ant" and "big ant" once each, the later in the alphabet first.
    big, (big_ant, ant) = 0, (1, 2)
    assert found["item/words"].to_list() == [[big, ant, big_ant], [big], [], [ant]]
    # Yesterday's sizes 1 and 3: mean 2, standard deviation 1.
    assert found["item/size"].to_list() == [[pytest.approx(-3)], [pytest.approx(0)], [pytest.approx(1)], []]


def test_queries_are_encoded_alone(transform: FinishedModel) -> None:
    dataset = dataset_of(entities({"page": ["dog", "cat"]}, "query"))
    found = encode_entities(dataset, "queries", ids=[b"cat", b"dog"], model=transform)
    assert list(found) == ["query/page"]
    assert found["query/page"].to_list() == [[1], []]


def test_only_the_ids_asked_for(transform: FinishedModel) -> None:
    dataset = dataset_of(entities(TODAY, "item"))
    found = encode_entities(dataset, "items", ids=[b"ant"], model=transform)
    assert found["item/page"].to_list() == [[2]]


def test_the_ids_asked_for_are_hashed_once_however_many_files_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []

    def count(texts: pa.Array, seed: int) -> NDArray[np.uint64]:
        hashed.append(texts.to_pylist())
        return hash_texts(texts, seed)

    monkeypatch.setattr(known_ids, "hash_texts", count)
    table = entities(TODAY, "item")
    dataset = dataset_of(table.slice(0, 1), table.slice(1, 2), table.slice(3))
    blocks = entity_blocks(dataset, "items", spec=SPEC, ids=pa.array(["ant", "dog", "eel"]))
    assert [block["id"].to_pylist() for block in blocks] == [["dog"], ["ant"]]
    assert hashed == [["ant", "dog", "eel"], ["dog"], ["cat", "ant"], ["bee"]]


def test_an_entity_that_is_missing_is_named(transform: FinishedModel) -> None:
    with pytest.raises(StageError, match=r"today/entities: expected all items .* found 1 missing, first 'eel'"):
        encode_entities(dataset_of(entities(TODAY, "item")), "items", ids=[b"ant", b"eel"], model=transform)


@pytest.mark.parametrize(
    ("theirs", "has"),
    [
        ({}, "lacks it"),
        ({"kind": "multivalued"}, "has a list"),
        ({"kind": "vector", "size": 4}, "has a vector of 4"),
    ],
)
def test_a_feature_that_is_missing_or_of_another_type_or_size_is_named(theirs: dict[str, Any], has: str) -> None:
    spec = small_spec(item={"look": {"kind": "vector", "size": 3}})
    other = small_spec(item={"look": theirs} if theirs else {})
    dataset = cast(Dataset, SimpleNamespace(directory="today", spec=other, entities=lambda _: iter([])))
    assert list(entity_blocks(dataset, "items", spec=other, ids=None)) == []
    with pytest.raises(StageError) as caught:
        list(entity_blocks(dataset, "items", spec=spec, ids=None))
    assert str(caught.value) == (
        f"today: the model reads item.features.look as a vector of 3, this dataset {has}: use a dataset whose spec "
        "declares the same, or a model of this dataset's spec"
    )


@pytest.mark.parametrize("content", [None, b"", bytes(100), b"junk"])
def test_a_graph_that_is_damaged_or_gone_is_named(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "transform_fn").mkdir()
    if content is not None:
        (tmp_path / "transform_fn/saved_model.pb").write_bytes(content)
    with pytest.raises(StageError, match=rf"^{tmp_path}: the graph can't be loaded \(\w+\); --verify names a damaged"):
        TransformGraph(str(tmp_path), SPEC)
