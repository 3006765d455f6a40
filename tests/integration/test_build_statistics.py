"""statistics/ of a build: what its protos say, and a build that they fail."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf import text_format
from json_lines import json_lines
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from stage.manifest import Manifest


def read(built):
    """The datasets, the schema and the anomalies, from the files that the manifest names."""
    named = {file.name: file.read_bytes() for file in built.files("statistics")}
    assert sorted(named) == ["anomalies.pbtxt", "schema.pbtxt", "statistics.pb"]
    protos = statistics_pb2.DatasetFeatureStatisticsList.FromString(named["statistics.pb"])
    datasets = {
        dataset.name: (dataset.num_examples, {feature.path.step[0]: feature for feature in dataset.features})
        for dataset in protos.datasets
    }
    schema = text_format.Parse(named["schema.pbtxt"], schema_pb2.Schema())
    return datasets, schema, text_format.Parse(named["anomalies.pbtxt"], anomalies_pb2.Anomalies())


def test_the_protos_hold_the_counts_of_the_tables(shop_dataset) -> None:
    datasets, schema, anomalies = read(shop_dataset)
    for name in ("items", "queries"):
        assert datasets[name][0] == shop_dataset.manifest["counts"][name]
    rows = shop_dataset.entities("items").values()
    tags = datasets["items"][1]["item/tags"].string_stats
    assert {top.value: top.frequency for top in tags.top_values} == Counter(
        tag for row in rows for tag in row["feature/tags"] or []
    )
    assert tags.common_stats.num_missing == sum(not row["feature/tags"] for row in rows)
    price = datasets["items"][1]["item/price"].num_stats
    prices = [row["feature/price"] for row in rows if row["feature/price"] is not None]
    assert (price.min, price.max) == (min(prices), max(prices))
    assert price.mean == pytest.approx(sum(prices) / len(prices), rel=1e-5)
    trained = datasets["items"][1]["item/train_count"].num_stats
    assert trained.num_zeros == sum(row["train_count"] == 0 for row in rows)

    examples = {split: shop_dataset.examples(split) for split in ("train", "validation", "test")}
    pairs, features = datasets["pairs"]
    assert pairs == sum(map(len, examples.values()))
    splits = {top.value: top.frequency for top in features["pair/split"].string_stats.top_values}
    assert splits == {split: len(found) for split, found in examples.items()}
    ids = Counter(example["item_id"][0].decode() for found in examples.values() for example in found)
    ranked = [(bucket.label, bucket.sample_count) for bucket in features["item_id"].string_stats.rank_histogram.buckets]
    assert ranked == sorted(ids.items(), key=lambda found: (-found[1], found[0]))

    assert {feature.name for feature in schema.feature} == {name for _, found in datasets.values() for name in found}
    assert not anomalies.anomaly_info


def test_tfdv_finds_no_anomaly_in_a_dataset_and_one_in_what_its_schema_lacks(shop_dataset) -> None:
    tfdv = pytest.importorskip(
        "tensorflow_data_validation",
        reason="no TFDV: pip install tensorflow-data-validation, where glibc is 2.39 or newer",
    )
    directory = shop_dataset.directory / "statistics"
    schema = tfdv.load_schema_text(str(directory / "schema.pbtxt"))

    def anomalies():
        return {
            table.name: sorted(
                tfdv.validate_statistics(
                    statistics_pb2.DatasetFeatureStatisticsList(datasets=[table]), schema, environment=table.name
                ).anomaly_info
            )
            for table in tfdv.load_stats_binary(str(directory / "statistics.pb")).datasets
        }

    assert anomalies() == {"items": [], "queries": [], "pairs": []}
    tfdv.get_feature(schema, "item/tags").string_domain.value.pop()
    assert anomalies() == {"items": ["item/tags"], "queries": [], "pairs": []}


def test_anomalies_fail_the_build_and_are_left_to_read(shop, shop_dataset, build, write_raw, tmp_path: Path) -> None:
    items = [json.loads(line) for line in shop.files["items.jsonl"].splitlines()]
    for item in items[:18]:
        item["tags"] = ["fox"]  # half the items, and no other; of 48 tags 18 are fox and 8 eel
    files = shop.files | {"items.jsonl": json_lines(items)}
    raw = write_raw(tmp_path / "raw", files)
    _, schema, _ = read(shop_dataset)
    (tags,) = (feature for feature in schema.feature if feature.name == "item/tags")
    tags.string_domain.value.remove("eel")
    (tmp_path / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    flags = ("--baseline", str(shop_dataset.directory), "--schema", str(tmp_path / "schema.pbtxt"), "--shards", "2")
    built = build(tmp_path / "dataset", shop.spec, *flags, raw=raw)
    assert built.code == 1
    assert built.error.startswith(
        "error: item/tags: the share of new values is 0.5417 (threshold 0.05): 'fox', 'eel'; "
        "item/tags: drift (L-infinity) is 0.375 (threshold 0.1), new values: 'fox'; see "
    )
    assert f"see {built.directory}/statistics/anomalies.pbtxt" in built.error
    assert not (built.directory / "manifest.json").exists()
    text = (built.directory / "statistics/anomalies.pbtxt").read_text()
    anomalies = text_format.Parse(text, anomalies_pb2.Anomalies())
    assert anomalies.anomaly_info["item/tags"].severity == anomalies_pb2.AnomalyInfo.ERROR
    drifts = {drift.path.step[0]: drift.drift_measurements[0].value for drift in anomalies.drift_skew_info}
    assert drifts["item/tags"] > 0.1
    assert drifts["item_id"] == 0
    assert "pair/split" not in drifts
    assert "fox" not in (built.directory / "statistics/schema.pbtxt").read_text()


@pytest.mark.parametrize("besides", ["baseline", "schema", "aggregate"])
def test_a_dataset_that_was_held_to_more_or_made_by_an_aggregate_is_done_but_one_of_other_input_made_again(
    shop, shop_dataset, build, write_raw, tmp_path, besides
) -> None:
    output, raw = tmp_path / "dataset", shop_dataset.directory.parent / "raw"
    shutil.copytree(shop_dataset.directory, output)
    manifest = shop_dataset.manifest | {"inputs": shop_dataset.manifest["inputs"] | {besides: "of another night"}}
    (output / "manifest.json").write_text(json.dumps(manifest))
    kept = build(output, shop.spec, "--shards", "3", "--skip-done", "--overwrite", raw=raw)
    assert (kept.code, kept.error) == (0, f"build-dataset: done before, in {output}")
    assert kept.manifest == manifest

    to_another = ("--baseline", str(shop_dataset.directory))
    refused = build(output, shop.spec, "--shards", "3", "--skip-done", *to_another, raw=raw)
    assert refused.code == 1
    assert "made from another input (baseline);" in refused.error

    files = shop.files | {"items.jsonl": shop.files["items.jsonl"] + b"\n"}
    other = write_raw(tmp_path / "raw", files)
    refused = build(output, shop.spec, "--shards", "3", "--skip-done", raw=other)
    assert refused.code == 1
    assert "made from another input (" in refused.error
    assert refused.manifest == manifest


def test_a_run_is_held_to_the_last_that_trained(shop, shop_dataset, build, tmp_path) -> None:
    for night in ("2026-01-01", "2026-01-02"):
        shutil.copytree(shop_dataset.directory, tmp_path / night / "dataset")
        inputs = {"dataset": Manifest.open(str(shop_dataset.directory), "dataset").content_digest}
        Manifest(stage="model", run_id=night, inputs=inputs).write(str(tmp_path / night / "model"))
    raw, flags = shop_dataset.directory.parent / "raw", ("--shards", "3", "--skip-done", "--baseline", str(tmp_path))
    first = build(tmp_path / "2026-01-01" / "dataset", shop.spec, *flags, raw=raw)
    assert first.stderr.startswith(f"--baseline: none, since {tmp_path} has no earlier run that has trained a model\n")
    assert first.code == 0
    second = build(tmp_path / "2026-01-02" / "dataset", shop.spec, *flags, raw=raw)
    assert second.code == 1
    assert second.stderr.startswith(f"--baseline: {tmp_path}/2026-01-01/dataset\n")
    assert "made from another input (baseline);" in second.error


@pytest.mark.slow
def test_a_dataset_like_its_baseline_says_so_in_its_manifest(shop, shop_dataset, build, tmp_path: Path) -> None:
    baseline, schema = str(shop_dataset.directory), tmp_path / "schema.pbtxt"
    schema.write_bytes((shop_dataset.directory / "statistics/schema.pbtxt").read_bytes())
    raw = shop_dataset.directory.parent / "raw"
    flags = ("--baseline", baseline, "--schema", str(schema), "--shards", "5")
    built = build(tmp_path / "dataset", shop.spec, *flags, raw=raw)
    assert built.code == 0, built.error
    assert built.content == shop_dataset.content
    assert sorted(built.manifest["inputs"]) == ["baseline", "raw", "schema"]
    anomalies = read(built)[2]
    assert not anomalies.anomaly_info
    assert {drift.drift_measurements[0].value for drift in anomalies.drift_skew_info} == {0.0}


@pytest.mark.slow
def test_what_was_accepted_joins_the_schema_unless_it_was_given(shop, shop_dataset, build, write_raw, tmp_path) -> None:
    items = [json.loads(line) for line in shop.files["items.jsonl"].splitlines()]
    items[0]["tags"] = ["fox"]
    files = shop.files | {"items.jsonl": json_lines(items)}
    raw = write_raw(tmp_path / "raw", files)
    before = ("--baseline", str(shop_dataset.directory))
    given = ("--schema", str(shop_dataset.directory / "statistics/schema.pbtxt"))
    for name, flags in (("widened", before), ("kept", (*before, *given))):
        built = build(tmp_path / name, shop.spec, *flags, "--shards", "2", raw=raw)
        assert built.code == 0, built.error
        _, schema, anomalies = read(built)
        assert anomalies.anomaly_info["item/tags"].severity == anomalies_pb2.AnomalyInfo.WARNING
        (tags,) = (feature for feature in schema.feature if feature.name == "item/tags")
        assert ("fox" in tags.string_domain.value) is (name == "widened")
