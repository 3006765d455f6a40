"""The context of session mode end to end: what each line says, learned from training examples and from nothing else."""

import json
import math
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from json_lines import json_lines
from plain_features import grams

from features.dataset import Dataset
from features.statistics.protos import by_feature
from model.network.finished_model import FinishedModel
from model.ranking.context import translate_context
from stage.errors import StageError
from stage.manifest import Manifest

Json = dict[str, Any]


def device(line: Json) -> list[str]:
    return [re.sub("[\\x00-\\x1f]+", " ", line["on"])] if line.get("on") else []


def moods(line: Json) -> list[str]:
    return [mood for mood in line.get("mood", []) if mood]


def number(line: Json, name: str) -> list[float]:
    value = line.get(name)
    return [] if value is None or value > 3.4e38 else [value]


def in_order(counted: Counter[str], *, min_count: int = 1, top_k: int | None = None) -> list[str]:
    """The terms of a vocabulary: by count, then by bytes, both falling."""
    kept = [(count, term.encode()) for term, count in counted.items() if count >= min_count]
    return [term.decode() for _, term in sorted(kept, reverse=True)][:top_k]


@pytest.fixture(scope="module")
def vocabularies(listening: Any) -> dict[str, list[str]]:
    """What training examples say, each of which counts a term once."""
    lines = [line for split, *_, line in listening.examples() if split == "train"]
    return {
        "pair_device": in_order(Counter(term for line in lines for term in set(device(line)))),
        "pair_mood": in_order(Counter(term for line in lines for term in set(moods(line))), min_count=3),
        "pair_search": in_order(Counter(term for line in lines for term in set(grams(line.get("search")))), top_k=5),
    }


def test_vocabularies_count_training_examples(listening_dataset: Any, vocabularies: dict[str, list[str]]) -> None:
    for name, terms in vocabularies.items():
        assert listening_dataset.vocabulary(name) == terms
    assert sorted(vocabularies["pair_device"]) == ["phone", "tv", "wa tch"]
    assert {"Loud", "calm"} <= set(vocabularies["pair_mood"])
    assert len(vocabularies["pair_search"]) == 5


def test_each_example_has_the_context_of_its_own_line(
    listening_dataset: Any, listening: Any, vocabularies: dict[str, list[str]]
) -> None:
    train = [line for split, *_, line in listening.examples() if split == "train"]
    as_read = {"volume": lambda x: x, "seconds": lambda x: math.log1p(max(x, 0))}
    numbers = {name: [f(x) for line in train for x in number(line, name)] for name, f in as_read.items()}

    def normalised(line: Json, name: str) -> list[Any]:
        mean, deviation = np.mean(numbers[name]), np.std(numbers[name])
        return [pytest.approx((as_read[name](x) - mean) / deviation, rel=1e-5, abs=1e-5) for x in number(line, name)]

    def codes(terms: list[str], vocabulary: str, most: int) -> list[int]:
        return [vocabularies[vocabulary].index(term) for term in terms if term in vocabularies[vocabulary]][:most]

    for split in ("train", "validation", "test"):
        expected = [
            {
                "query_id": [user.encode()],
                "item_id": [song.encode()],
                "history": len(history),
                "pair/device": codes(device(line), "pair_device", 1),
                "pair/mood": codes(moods(line), "pair_mood", 2),
                "pair/search": codes(grams(line.get("search")), "pair_search", 4),
                "pair/volume": normalised(line, "volume"),
                "pair/seconds": normalised(line, "seconds"),
            }
            for where, user, song, history, line in listening.examples()
            if where == split and song != "planted"
        ]
        found = [example for example in listening_dataset.examples(split) if example["item_id"] != [b"planted"]]
        unmatched = list(expected)
        for example in found:
            mine = {key: example.get(key, []) for key in expected[0] if key != "history"}
            match = next((one for one in unmatched if all(one[key] == value for key, value in mine.items())), None)
            assert match is not None, mine
            unmatched.remove(match)
        assert not unmatched
        assert len(found) > 20


def test_what_only_test_says_is_learned_nowhere(listening_dataset: Any) -> None:
    (planted,) = [e for e in listening_dataset.examples("test") if e["item_id"] == [b"planted"]]
    assert not {"pair/device", "pair/mood", "pair/search"} & planted.keys()
    # Its numbers are there, far from all that training saw.
    assert planted["pair/volume"][0] > 1e4
    for file in listening_dataset.files("transform"):
        assert b"planted" not in file.read_bytes()


def test_statistics_tell_of_the_context(listening_dataset: Any, listening: Any) -> None:
    found = by_feature((listening_dataset.directory / "statistics/statistics.pb").read_bytes())
    lines = [line for *_, line in listening.examples()]
    said = Counter(term for line in lines for term in device(line))
    labels = {b.label: b.sample_count for b in found["pair/device"].string_stats.rank_histogram.buckets}
    assert labels == said
    assert found["pair/device"].string_stats.common_stats.num_missing == len(lines) - said.total()
    assert found["pair/volume"].num_stats.max == 1e6


def test_the_saved_transform_encodes_raw_context_as_the_build_did(
    listening_dataset: Any, listening: Any, tmp_path: Path
) -> None:
    """What a served graph does, which has the context in a request and no pairs."""
    shutil.copytree(listening_dataset.directory / "transform/transform_fn", tmp_path / "elsewhere")
    transform = tf.saved_model.load(str(tmp_path / "elsewhere"))
    raw = {
        "pair/device": (device, tf.string),
        "pair/mood": (moods, tf.string),
        "pair/search": (lambda line: [line["search"]] if line.get("search") else [], tf.string),
        "pair/volume": (lambda line: number(line, "volume"), tf.float32),
        "pair/seconds": (lambda line: number(line, "seconds"), tf.float32),
    }
    for split in ("train", "validation", "test"):
        rows = [(user, song, line) for where, user, song, _, line in listening.examples() if where == split]
        others = dict.fromkeys(("query/country", "item/song", "item/genre"), (lambda _: [], tf.string))
        inputs = {
            key: tf.ragged.constant([of(line) for *_, line in rows], dtype, ragged_rank=1).to_sparse()
            for key, (of, dtype) in (raw | others).items()
        }
        outputs = transform.transform_fn(inputs)
        encoded = {key: [[] for _ in rows] for key in raw}
        for key in raw:
            for (row, _), value in zip(outputs[key].indices.numpy(), outputs[key].values.numpy(), strict=True):
                encoded[key][row].append(value)
        assert sorted(
            (user, song, *(encoded[key][row] for key in raw)) for row, (user, song, _) in enumerate(rows)
        ) == sorted(
            (e["query_id"][0].decode(), e["item_id"][0].decode(), *(e.get(key, []) for key in raw))
            for e in listening_dataset.examples(split)
        )


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("hour", {"kind": "categorical"}, "reads pair/hour as {'kind': 'categorical'}, this dataset lacks it"),
        (
            "search",
            {"kind": "text", "ngrams": [1]},
            "reads pair/search as {'kind': 'text', 'ngrams': [1]}, this dataset has {'kind': 'text', 'ngrams': [1, 2]}",
        ),
        ("volume", {"kind": "numeric", "log1p": True}, "this dataset has {'kind': 'numeric'}"),
    ],
)
def test_a_model_refuses_a_dataset_whose_context_means_something_else(
    *, listening_dataset: Any, listening: Any, name: str, wanted: Json, said: str
) -> None:
    spec = json.loads(json.dumps(listening.spec))
    spec["session"]["context"]["features"][name] = wanted
    dataset = Dataset.open(str(listening_dataset.directory))
    model = FinishedModel("unused", Manifest(stage="model", run_id="r", spec=spec))
    with pytest.raises(StageError) as refused:
        translate_context({}, dataset=dataset, model=model)
    assert str(refused.value).startswith(f"{dataset.directory}: the model reads pair/{name} as ")
    assert f"{said}: use a dataset whose spec declares the same" in str(refused.value)


def test_each_of_some_equal_lines_shows_its_own_context_if_none_is_dropped(
    listening: Any, build: Any, write_raw: Any, tmp_path: Path
) -> None:
    line = {"who": "u1", "what": "s1", "how": "play", "when": 590}
    lines = [*listening.lines, *(line | {"on": on} for on in ("left", "right", "right"))]
    files = {name: content for name, content in listening.files.items() if not name.startswith("log/")}
    files["log/all.jsonl"] = json_lines(lines)
    spec = json.loads(json.dumps(listening.spec))
    spec["sources"]["interactions"]["drop_duplicates"] = False
    built = build(tmp_path / "dataset", spec, "--shards", "2", raw=write_raw(tmp_path / "raw", files))
    assert built.code == 0, built.error
    terms = built.vocabulary("pair_device")
    shown = Counter(terms[code] for e in built.examples("train") for code in e.get("pair/device", []))
    assert (shown["left"], shown["right"]) == (1, 2)
