"""What TensorBoard's projector reads."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from google.protobuf import text_format
from tensorboard.plugins import projector

from model.serving.projector import write_projector
from model.serving.served_items import ServedItems


def test_names_from_logs_keep_to_their_cells(tmp_path: Path) -> None:
    entities = pa.table(
        {
            "id": ["a", "b", "c"],
            "title": ["one\ttwo\nthree", "é", ""],
            "train_count": [1, 1, 5],
        }
    )
    raw = pa.table(
        {
            "id": ["b", "a", "c"],
            "feature/tags": [[], ["x", "y\tz"], None],
            "feature/image": pa.array([[0.5, 1.5], None, []], pa.list_(pa.float32())),
            "feature/size": [0.0, None, 2.5],
        }
    )
    vectors = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    assert write_projector(ServedItems(entities, vectors, raw), str(tmp_path / "p"), most=2) == 2
    assert (tmp_path / "p" / "metadata.tsv").read_text(encoding="utf-8") == (
        "id\ttitle\ttrain_count\tfeature/tags\tfeature/size\nc\t\t5\t\t2.5\na\tone two three\t1\tx, y z\t\n"
    )
    assert (tmp_path / "p" / "embeddings.tsv").read_text() == "5\t6\n1\t2\n"
    config = projector.ProjectorConfig()
    text_format.Parse((tmp_path / "p" / "projector_config.pbtxt").read_text(), config)
    found = config.embeddings[0]
    assert (found.tensor_path, found.metadata_path) == ("embeddings.tsv", "metadata.tsv")


def test_items_of_one_count_keep_their_order(tmp_path: Path) -> None:
    ids = [f"i{number:02}" for number in range(40)]
    entities = pa.table({"id": ids, "title": [""] * 40, "train_count": [2, 1] * 20})
    write_projector(
        ServedItems(entities, np.ones((40, 2), np.float32), entities.select(["id"])), str(tmp_path), most=22
    )
    shown = (tmp_path / "metadata.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split("\t")[0] for line in shown] == [*ids[::2], "i01", "i03"]


def test_of_no_items_no_file_is_made(tmp_path: Path) -> None:
    entities = pa.table({"id": ["a"], "title": [""], "train_count": [1]})
    assert (
        write_projector(
            ServedItems(entities, np.ones((1, 2), np.float32), entities.select(["id"])), str(tmp_path / "p"), most=0
        )
        == 0
    )
    assert not (tmp_path / "p").exists()
