"""An export, asked as a server asks it: by TensorFlow alone, in the forms of its requests."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from exports import TEXTS, Sample, as_tensors, request_of


def test_it_answers_where_there_is_only_tensorflow_in_the_server_s_forms(sample: Sample, tmp_path: Path) -> None:
    rows = [sample.raw_queries[one] for one in ("perl", "git")]
    assert rows[0]["feature/debtags"]
    columns = request_of(rows, [["perl"], ["git", "perl", "no such package"]])
    wanted = sample.served.signatures["serving_default"](**as_tensors(columns))
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
    wanted = sample.served.signatures["serving_default"](**as_tensors(asked))
    assert found["item_id"].numpy().tolist() == wanted["item_id"].numpy().tolist()
    np.testing.assert_array_equal(found["score"], wanted["score"])
