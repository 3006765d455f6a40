"""Entities to bytes and examples to files: the build's own code, and TensorFlow's."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import tensorflow as tf
from measure import Row, Turns

from features.example_codec import encode_half
from features.pairs import PAIRS
from features.spec.file import load_spec
from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import pack
from pipelines.beam.examples import write_shard
from pipelines.beam.record_files import HALVES

ENTITIES = 100_000
PAIRS_WRITTEN = 400_000
FEW = 20_000
"""Of each, for TensorFlow."""
Rows = dict[str, dict[str, object]]
"""Id -> the features of an entity."""


def measure(work: Path, turns: Turns) -> list[Row]:
    columns = entity_columns(ENTITIES)
    rows = [
        dict(zip(columns, values, strict=True))
        for values in zip(*(c.slice(0, FEW).to_pylist() for c in columns.values()), strict=True)
    ]
    pairs, queries, items = dataset()
    few = pairs.slice(0, FEW)
    packed = {"queries": halves(queries), "items": halves(items)}
    encoded = {"queries": halves_by_id(queries), "items": halves_by_id(items)}
    entities = {"queries": by_id(queries), "items": by_id(items)}
    with tempfile.TemporaryDirectory(dir=work) as directory:
        runs = {
            "encode, ours": lambda: encode_half(columns),
            "encode, tf.train.Example": lambda: [to_example(row) for row in rows],
            "write, ours": lambda: write(directory, pairs, **packed),
            "write, TFRecordWriter": lambda: write_by_tensorflow(directory, few, **entities),
            "write, halves and TFRecordWriter": lambda: write_halves_by_tensorflow(directory, few, **encoded),
        }
        seconds = turns(runs)
        written = read(write(directory, few, **packed))
        assert written == read(write_by_tensorflow(directory, few, **entities))
        assert written == read(write_halves_by_tensorflow(directory, few, **encoded))
    check_encoding(columns, rows)
    encoding = {"ours": ENTITIES / seconds["encode, ours"], "theirs": FEW / seconds["encode, tf.train.Example"]}
    writing = {
        "ours": PAIRS_WRITTEN / seconds["write, ours"],
        "theirs": FEW / seconds["write, TFRecordWriter"],
        "halves": FEW / seconds["write, halves and TFRecordWriter"],
    }
    return [
        Row(
            "entities encoded, rate against tf.train.Example's",
            encoding["ours"] / encoding["theirs"],
            "x",
            f"ours {encoding['ours']:,.0f}/s, tf.train.Example {encoding['theirs']:,.0f}/s; {len(columns)} features",
            at_least=5,
        ),
        Row(
            "examples joined, ordered, digested and written",
            writing["ours"],
            "/s",
            "gzipped, of entities encoded before; TFRecordWriter, neither ordered nor digested: of these "
            f"{writing['halves']:,.0f}/s, of examples that tf.train.Example encodes too {writing['theirs']:,.0f}/s",
            at_least=200_000,
        ),
    ]


def entity_columns(rows: int, side: str = "item") -> dict[str, pa.Array]:
    """Columns of an entity with a text, five categories (one of several values) and two numbers."""
    rng = np.random.default_rng(3)

    def codes(values: int, most: int = 1) -> pa.Array:
        offsets = np.concatenate([[0], np.cumsum(rng.integers(1, most + 1, rows))]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rng.integers(0, values, int(offsets[-1]))))

    columns = {f"{side}_id": pa.array([f"{side}-{row:07d}" for row in range(rows)])}
    columns |= {f"{side}/c{n}": codes(values) for n, values in enumerate((50, 500, 5_000, 50_000))}
    columns |= {f"{side}/tags": codes(300, 5), f"{side}/words": codes(10_000, 8)}
    floats = pa.array(rng.random(rows * 2, np.float32))
    for number in range(2):
        offsets = pa.array(np.arange(rows + 1, dtype=np.int32))
        columns[f"{side}/n{number}"] = pa.ListArray.from_arrays(offsets, floats.slice(number * rows, rows))
    return columns


def to_example(row: dict[str, object]) -> bytes:
    return tf.train.Example(features=tf.train.Features(feature=features(row))).SerializeToString()


def features(row: dict[str, object]) -> dict[str, tf.train.Feature]:
    found = {}
    for name, value in row.items():
        if isinstance(value, str):
            found[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        elif isinstance(value[0], int):
            found[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        else:
            found[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return found


def dataset() -> tuple[pa.Table, dict[str, pa.Array], dict[str, pa.Array]]:
    """Training pairs, and the columns of their queries and items."""
    rng = np.random.default_rng(4)
    queries, items = entity_columns(PAIRS_WRITTEN // 10, "query"), entity_columns(PAIRS_WRITTEN // 40, "item")
    n = PAIRS_WRITTEN
    pairs = pa.table(
        [
            queries["query_id"].take(pa.array(rng.integers(0, len(queries["query_id"]), n))),
            items["item_id"].take(pa.array(rng.integers(0, len(items["item_id"]), n))),
            pa.array(np.zeros(n, np.int8)),
            pa.array(np.ones(n, np.int64)),
            pa.nulls(n, pa.timestamp("us")),
            pa.nulls(n, pa.timestamp("us")),
            pa.array(np.zeros(n, bool)),
        ],
        schema=PAIRS,
    )
    return pairs, queries, items


def halves(columns: dict[str, pa.Array]) -> bytes:
    return pack(pa.table([next(iter(columns.values())), encode_half(columns)], schema=HALVES))


def halves_by_id(columns: dict[str, pa.Array]) -> dict[str, bytes]:
    """Id -> what `encode_half` makes of an entity."""
    return dict(zip(next(iter(columns.values())).to_pylist(), encode_half(columns).to_pylist(), strict=True))


def by_id(columns: dict[str, pa.Array]) -> Rows:
    """Entities as Python has them."""
    rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    return {row[0]: dict(zip(columns, row, strict=True)) for row in rows}


def write(directory: str, pairs: pa.Table, *, queries: bytes, items: bytes) -> Path:
    """The build's step on one shard, given the halves of its entities."""
    target = Target(directory, "run", 1)
    element = (0, {"pairs": [pack(pairs)], "queries": [queries]})
    written = write_shard(element, load_spec("synthetic"), target=target, items=items)
    files = {one.content: one.file for one in written}
    assert files["train"].records == pairs.num_rows
    return Path(directory) / files["train"].name


def write_by_tensorflow(directory: str, pairs: pa.Table, *, queries: Rows, items: Rows) -> Path:
    """Both entities looked up, made one Example, and written."""
    path = Path(directory) / "textbook.tfrecord.gz"
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for query, item in zip(pairs["query_id"].to_pylist(), pairs["item_id"].to_pylist(), strict=True):
            writer.write(to_example(queries[query] | items[item]))
    return path


def write_halves_by_tensorflow(
    directory: str, pairs: pa.Table, *, queries: dict[str, bytes], items: dict[str, bytes]
) -> Path:
    """The encoded halves of both entities looked up, put together, and written."""
    path = Path(directory) / "halves.tfrecord.gz"
    with tf.io.TFRecordWriter(str(path), options="GZIP") as writer:
        for query, item in zip(pairs["query_id"].to_pylist(), pairs["item_id"].to_pylist(), strict=True):
            writer.write(queries[query] + items[item])
    return path


def check_encoding(columns: dict[str, pa.Array], rows: list[dict[str, object]]) -> None:
    for ours, row in zip(encode_half(columns).slice(0, 1_000).to_pylist(), rows, strict=False):
        assert tf.train.Example.FromString(ours) == tf.train.Example.FromString(to_example(row))


def read(path: Path) -> list[bytes]:
    records = tf.data.TFRecordDataset(str(path), compression_type="GZIP").as_numpy_iterator()
    return sorted(tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in records)
