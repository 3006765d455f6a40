"""Which items a shard wants, and what comes back to it."""

import pyarrow as pa
import pytest
from places import SAMPLE

from features.spec.file import load_spec
from pipelines.aggregation import item_join
from pipelines.aggregation.finished import take_up
from pipelines.aggregation.item_join import choose_join, is_known, lacking_items, send_items, want_items
from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import pack, unpack
from pipelines.aggregation.plan import make_plan
from pipelines.build_options import make_parser
from stage.manifest import File, Manifest

HALVES = pa.schema([("id", pa.string()), ("half", pa.binary())])


@pytest.mark.parametrize(
    ("wanted", "size", "join"),
    [
        ("auto", 268_435_456, "side_input"),
        ("auto", 268_435_457, "shuffle"),
        ("auto", None, "shuffle"),
        ("side_input", 1 << 40, "side_input"),
        ("shuffle", 1, "shuffle"),
    ],
)
def test_the_item_table_s_size_decides_unless_the_spec_does(wanted, size, join):
    assert choose_join(wanted, size) == join


def test_a_build_goes_by_the_size_of_its_item_files(monkeypatch):
    flags = ["--spec", "debian", "--raw", str(SAMPLE), "--output", "unused"]
    for most, join in ((item_join.SIDE_INPUT_BYTES, "side_input"), (1000, "shuffle")):
        monkeypatch.setattr(item_join, "SIDE_INPUT_BYTES", most)
        plan = make_plan(make_parser().parse_args(flags), load_spec("debian"))
        assert plan.job.item_join == join


def test_what_takes_up_an_aggregate_goes_by_the_size_of_its_items():
    # Parquet is counted as ten times its size: 260 MB and 270 MB on either side of 256 MiB.
    for sizes, join in (([13_000_000] * 2, "side_input"), ([9_000_000] * 3, "shuffle")):
        files = [File(name=f"entities/items-{n}.parquet", size=size, sha256="") for n, size in enumerate(sizes)]
        others = [
            File(name=f"{name}-0.parquet", size=1 << 40, sha256="") for name in ("pairs/pairs", "entities/queries")
        ]
        made = Manifest(stage="aggregate", run_id="r", files=[*files, *others])
        source = take_up("aggregate", made, spec=load_spec("debian"), target=Target("out", "r", 2), job_options={})
        assert source.job.item_join == join


def rows(*items):
    return pack(pa.table({"item_id": items}))


def wanted_of_two_shards(shards=1):
    """Shard 3 wants a and x, shard 5 a, b, and y; by the shard of the item."""
    found = [*want_items((3, rows("a", "x", "a")), shards), *want_items((5, rows("y", "b", "a")), shards)]
    return [packed for _, packed in found]


def test_a_shard_wants_each_item_once():
    ((shard, packed),) = want_items((3, rows("a", "x", "a")), 1)
    assert (shard, unpack(packed).to_pydict()) == (0, {"id": ["a", "x"], "shard": [3, 3]})


def test_each_item_is_asked_for_at_its_own_shard():
    found = list(want_items((3, rows(*(f"i{n}" for n in range(100)))), 4))
    assert [shard for shard, _ in found] == [0, 1, 2, 3]
    assert sum(unpack(packed).num_rows for _, packed in found) == 100


def test_a_shard_learns_which_of_its_items_the_table_lacks():
    table = [pack(pa.table({"id": ["a"]})), pack(pa.table({"id": ["b", "c"]}))]
    lacking = lacking_items((0, {"wanted": wanted_of_two_shards(), "item_ids": table}))
    found = {shard: unpack(packed)["id"].to_pylist() for shard, packed in lacking}
    assert found == {3: ["x"], 5: ["y"]}


def test_an_item_is_sent_once_to_each_shard_that_wants_it():
    table = [pack(pa.table([["c", "a", "b", "x", "y"], [b"C", b"A", b"B", b"X", b"Y"]], schema=HALVES))]
    sent = send_items(wanted_of_two_shards() * 2, table, schema=HALVES)
    found = {shard: sorted(zip(*unpack(packed).to_pydict().values(), strict=True)) for shard, packed in sent}
    assert found == {3: [("a", b"A"), ("x", b"X")], 5: [("a", b"A"), ("b", b"B"), ("y", b"Y")]}


def test_nothing_wanted_and_an_empty_table():
    assert list(lacking_items((0, {"wanted": [], "item_ids": [pack(pa.table({"id": ["a"]}))]}))) == []
    assert list(send_items([], [], schema=HALVES)) == []
    lacking = lacking_items((0, {"wanted": wanted_of_two_shards(), "item_ids": []}))
    assert {shard for shard, _ in lacking} == {3, 5}


def test_lines_are_known_by_all_ids_or_by_those_that_are_lacking():
    lines = pa.table({"item_id": pa.array(["a", "x", "b"]).dictionary_encode()})
    assert is_known(lines, known=pack(pa.table({"id": ["b", "a"]})), lacking=[]).to_pylist() == [True, False, True]
    assert is_known(lines, known=None, lacking=[pack(pa.table({"id": ["x"]}))]).to_pylist() == [True, False, True]
    assert is_known(lines, known=None, lacking=[]).to_pylist() == [True, True, True]
