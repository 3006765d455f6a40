"""An export, asked as a server asks it: by TensorFlow alone, in the forms of its requests."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from exports import TEXTS, Json, Sample, as_tensors, encoded, request_of

DOCUMENT = Path(__file__).parents[2] / "docs/serving.md"


def test_it_answers_where_there_is_only_tensorflow_in_the_server_s_forms(sample: Sample, tmp_path: Path) -> None:
    rows = [sample.raw_queries[one] for one in ("perl", "git")]
    assert rows[0]["feature/debtags"]
    columns = request_of(rows, [["perl"], ["git", "perl", "no such package"]])
    wanted = sample.served.signatures["serving_default"](**as_tensors(columns))
    instances = [{name: column[row] for name, column in columns.items()} for row in range(2)]
    known = {name.replace("query_", "item_"): value for name, value in instances[0].items() if name != "exclude"}
    cold = known | {f"item_{name}": "" for name in ("package", *TEXTS) if name != "section"}
    cold["item_debtags"] = [""] * len(known["item_debtags"])
    requests = [
        {"signature_name": "serving_default", "instances": instances},
        {"signature_name": "serving_default", "inputs": columns},
        {"signature_name": "item_embedding", "instances": [cold, known]},
        {"signature_name": "query_embedding", "inputs": {k: v for k, v in columns.items() if k != "exclude"}},
        {"signature_name": "similar_items", "instances": [{"item_id": "perl", "exclude": [""]}]},
        documented := json.loads(re.findall(r"-d '(\{.*?\})'", DOCUMENT.read_text(), re.DOTALL)[0]),
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
    by_row, by_column, item, query, alike, answer = map(json.loads, process.stdout.splitlines())
    ids = [[one.decode() for one in row] for row in wanted["item_id"].numpy()]
    assert [row["item_id"] for row in by_row["predictions"]] == ids == by_column["outputs"]["item_id"]
    assert [row["title"] for row in by_row["predictions"]] == ids
    np.testing.assert_allclose(by_column["outputs"]["score"], wanted["score"], atol=1e-6)
    assert not {"perl", "git"} & set(ids[1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="one number of rows of the inputs"):
        sample.served.signatures["serving_default"](**as_tensors(columns | {"exclude": columns["exclude"][:1]}))

    (instance,) = documented["instances"]
    asked = {name.removeprefix("query_"): value for name, value in instance.items() if value and name != "exclude"}
    expected = sample.retriever.recommend(asked, exclude=instance["exclude"])
    assert answer["predictions"][0]["item_id"] == [found.item_id for found in expected]

    # As the trainer encodes what the build encoded.
    corpus = {example["item_id"][0].decode(): example for example in sample.examples("items")}
    examples = [example for name in ("train", "validation", "test") for example in sample.examples(name)]
    asked = [next(e for e in examples if e["query_id"] == [one]) for one in (b"perl", b"git")]
    queries = sample.two_tower.encode_queries(encoded(asked, "query"))
    np.testing.assert_allclose(query["outputs"]["embedding"], queries, atol=1e-5)
    vectors = sample.two_tower.encode_items(encoded(list(corpus.values()), "item")).numpy()
    names = list(corpus)
    found = [row["embedding"] for row in item["predictions"]]
    known_alone = {key: corpus["perl"][key] for key in ("item/section", "item/installed_size")}
    np.testing.assert_allclose(found[0], sample.two_tower.encode_items(encoded([known_alone], "item"))[0], atol=1e-5)
    np.testing.assert_allclose(found[1], vectors[names.index("perl")], atol=1e-5)
    scores = dict(zip(names, vectors @ vectors[names.index("perl")], strict=True))
    del scores["perl"]
    (near,) = alike["predictions"]
    np.testing.assert_allclose(near["score"], [scores.pop(one) for one in near["item_id"]], atol=1e-5)
    assert near["score"] == sorted(near["score"], reverse=True)
    assert max(scores.values()) <= near["score"][-1] + 1e-5


def texts(*values: str) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))


def serialized(side: str, row: Json) -> bytes:
    """A row of the queries' table as a tf.Example of raw features, with ids to leave out."""
    features = {f"{side}/package": texts(row["id"]), "exclude": texts(row["id"], "nobody")}
    features[f"{side}/debtags"] = texts(*row["feature/debtags"] or [])
    features |= {f"{side}/{name}": texts(row[f"feature/{name}"]) for name in TEXTS if row[f"feature/{name}"]}
    size = tf.train.FloatList(value=[row["feature/installed_size"]])
    features[f"{side}/installed_size"] = tf.train.Feature(float_list=size)
    features["item_id"] = texts(row["id"])
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.mark.parametrize("signature", ["serving_default", "query_embedding", "item_embedding", "similar_items"])
def test_serialized_examples_say_the_same(sample: Sample, signature: str) -> None:
    ids = ["perl", "git", "cups"]
    rows = [sample.raw_queries[one] for one in ids]
    side = "item" if signature == "item_embedding" else "query"
    examples = tf.constant([serialized(side, row) for row in rows])
    found = sample.served.signatures[f"{signature}_examples"](examples=examples)
    asked = request_of(rows, [[one] for one in ids])
    if signature == "similar_items":
        asked = {"item_id": ids, "exclude": asked["exclude"]}
    elif signature != "serving_default":
        asked = {name.replace("query_", f"{side}_"): column for name, column in asked.items() if name != "exclude"}
    wanted = sample.served.signatures[signature](**as_tensors(asked))
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values)


def test_similar_items_are_found_without_those_that_are_excluded(sample: Sample) -> None:
    similar = sample.served.signatures["similar_items"]
    every = similar(item_id=tf.constant(["perl", "git"]), exclude=tf.constant([[""], [""]]))["item_id"].numpy()
    exclude = tf.constant([[every[0, 1], every[0, 0]], ["", ""]])
    found = similar(item_id=tf.constant(["perl", "git"]), exclude=exclude)["item_id"].numpy()
    assert found[0, :-2].tolist() == every[0, 2:].tolist()
    assert found[1].tolist() == every[1].tolist()


def test_nothing_is_similar_to_no_item(sample: Sample) -> None:
    found = sample.served.signatures["similar_items"](item_id=tf.constant([""]), exclude=tf.constant([[""]]))
    assert found["item_id"].numpy().tolist() == [[b""] * 50]
