"""The dataset directory, as its readers see it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.dataset import Dataset, EncodedFeature, encoded_features, query_inputs
from features.spec.features import vocabulary_of
from features.spec.file import build_spec, load_spec
from stage.errors import StageError
from stage.manifest import Manifest, describe_files

SPEC = load_spec("wikispeedia-links", [], verb=None)
TREE = SPEC.model_dump(mode="json")


@pytest.fixture
def directory(tmp_path):
    for name in (
        "train/b.tfrecord.gz",
        "train/a.tfrecord.gz",
        "train/a.txt",
        "test/a.tfrecord.gz",
        "items/x.tfrecord.gz",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "entities").mkdir()
    for name, ids, sizes in (("items-0", ["p"], [1]), ("items-1", ["q", "r"], [2, None]), ("queries-0", ["u"], [9])):
        pq.write_table(pa.table({"id": ids, "size": sizes}), tmp_path / "entities" / f"{name}.parquet")
    manifest = Manifest(stage="dataset", run_id="r", spec=TREE, files=describe_files(str(tmp_path)),
                        vocabularies={"page": 10, "title": 20, "categories": 5})  # fmt: skip
    manifest.write(str(tmp_path))
    (tmp_path / "train" / "of-another-run.tfrecord.gz").write_bytes(b"")
    return tmp_path


def test_readers_see_the_files_of_the_manifest_alone_and_in_order(directory):
    dataset = Dataset.open(str(directory))
    assert dataset.spec == SPEC
    assert dataset.example_files("train") == [f"{directory}/train/a.tfrecord.gz", f"{directory}/train/b.tfrecord.gz"]
    assert dataset.example_files("validation") == []
    assert dataset.corpus_files() == [f"{directory}/items/x.tfrecord.gz"]
    assert dataset.transform_directory == f"{directory}/transform"
    assert [table.column("id").to_pylist() for table in dataset.entities("items")] == [["p"], ["q", "r"]]
    assert [table.column("id").to_pylist() for table in dataset.entities("queries")] == [["u"]]


@pytest.mark.parametrize("more", [(), ("r", "q", "p")])
def test_rows_of_entities_come_in_the_order_that_is_asked_for(directory, more, monkeypatch):
    dataset = Dataset.open(str(directory))
    read: list[list[str]] = []

    def read_parquet(path, *, columns):
        read.append(list(columns))
        return pq.read_table(path, columns=columns)

    monkeypatch.setattr("features.dataset.read_parquet", read_parquet)
    ids = ["r", "p", "r", *more]
    rows = dataset.entity_rows("items", [one.encode() for one in ids], columns=["size"])
    assert rows.to_pylist() == [{"size": {"p": 1, "q": 2, "r": None}[one]} for one in ids]
    assert read == [["id", "size"]] * 2  # not all that the files have
    message = f"{directory}/entities: expected items that its examples have, 2 are missing; build the dataset again"
    with pytest.raises(StageError) as caught:
        dataset.entity_rows("items", [b"\xc3\xa9", b"p", b"u"], columns=["size"])
    assert str(caught.value) == message


def test_a_dataset_that_is_not_whole_is_refused(directory):
    (directory / "test" / "a.tfrecord.gz").unlink()
    with pytest.raises(StageError, match=r"test/a.tfrecord.gz: named by the manifest but missing"):
        Dataset.open(str(directory))


def test_a_damaged_table_is_named(directory):
    dataset = Dataset.open(str(directory))
    (directory / "entities" / "items-0.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(StageError, match=r"entities/items-0.parquet: not readable as Parquet"):
        list(dataset.entities("items"))


def test_features_have_the_codes_of_their_vocabulary_and_their_buckets():
    spec = build_spec(
        TREE,
        [
            "item.features.hashed={kind: text, hash_buckets: 7, max_values: 3}",
            "item.features.size={kind: numeric}",
            "item.features.look={kind: vector, size: 12}",
            "item.features.color={kind: categorical, oov_buckets: 2}",
        ],
        source="s",
    )
    found = encoded_features(spec, "item", vocabularies={"page": 10, "title": 20, "categories": 5, "item_color": 4})
    assert found == [
        EncodedFeature("item/page", "page", "id", "page", 10),
        EncodedFeature("item/title", "title", "text", "title", 20),
        EncodedFeature("item/categories", "categories", "multivalued", "categories", 5),
        EncodedFeature("item/hashed", "hashed", "text", "item_hashed", 7),
        EncodedFeature("item/size", "size", "numeric", None, 0),
        EncodedFeature("item/look", "look", "vector", None, 0, size=12),
        EncodedFeature("item/color", "color", "categorical", "item_color", 6),
    ]
    assert vocabulary_of("item/size", spec.item.features["size"]) is None
    assert vocabulary_of("item/look", spec.item.features["look"]) is None


def test_in_session_mode_the_query_tower_reads_the_history_too():
    tree = TREE | {"session": {"max_history": 9}, "split": {"method": "query_hash"}}
    log = TREE["sources"]["interactions"] | {"timestamp": "at"}
    tree["sources"] = TREE["sources"] | {"interactions": log, "queries": {"path": "x"}}
    spec = build_spec(tree, source="s")
    vocabularies = {"page": 10, "title": 20, "categories": 5}
    history = EncodedFeature("pair/history", "history", "multivalued", "page", 10)
    assert encoded_features(spec, "pair", vocabularies=vocabularies) == [history]
    assert query_inputs(spec, vocabularies) == [*encoded_features(spec, "query", vocabularies=vocabularies), history]
    without = build_spec(TREE, source="s")
    assert query_inputs(without, vocabularies) == encoded_features(without, "query", vocabularies=vocabularies)
