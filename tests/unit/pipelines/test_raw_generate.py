"""The generator: what its logs promise, measured on the files that it leaves."""

import contextlib
import gzip
import io
import json
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from features.spec.file import load_spec
from pipelines.raw_logs import generate
from pipelines.raw_logs.malformed_lines import SORTS
from pipelines.raw_logs.synthetic_catalogue import make_items, make_queries
from pipelines.raw_logs.synthetic_log import SECONDS, START, Log
from stage.manifest import Manifest

INTERACTIONS, QUERIES, ITEMS = 120_000, 3_000, 2_000


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    directory = tmp_path_factory.mktemp("generate") / "raw"
    flags = {"--interactions": INTERACTIONS, "--queries": QUERIES, "--items": ITEMS, "--seed": 3, "--output": directory}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        generate.main([*(str(part) for flag in flags.items() for part in flag), "--json"])
    directory.with_name("stdout").write_text(out.getvalue())
    return directory


def lines_of(raw, table):
    return [line for file in sorted(raw.glob(f"{table}-*")) for line in gzip.open(file).read().split(b"\n")[:-1]]


def parse(line):
    """The row of a well-formed line, None of another."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    right = (
        isinstance(row.get("query_id"), str) and isinstance(row["item_id"], str) and isinstance(row["timestamp"], int)
    )
    return row if right else None


@pytest.fixture(scope="module")
def rows(raw):
    return [row for row in map(parse, lines_of(raw, "interactions")) if row]


@pytest.fixture(scope="module")
def items(raw):
    return [json.loads(line) for line in lines_of(raw, "items")]


@pytest.fixture(scope="module")
def queries(raw):
    return [json.loads(line) for line in lines_of(raw, "queries")]


def test_every_table_has_its_lines_and_the_features_that_the_spec_reads(raw, items, queries):
    assert Manifest.read(str(raw), "raw", verify=True).counts == {
        "interactions": INTERACTIONS, "items": ITEMS, "queries": QUERIES,
    }  # fmt: skip
    assert len({item["item_id"] for item in items}) == ITEMS
    assert len({query["query_id"] for query in queries}) == QUERIES
    spec = load_spec("synthetic")
    columns = {f.column or name for name, f in spec.item.features.items() if f.kind != "id"}
    assert columns == set(items[0]) - {"item_id"}
    columns = {f.column or name for name, f in spec.query.features.items() if f.kind != "id"}
    assert columns == set(queries[0]) - {"query_id"}
    language = {query["country"]: query["language"] for query in queries}
    assert (language["br"], language["jp"], language["us"]) == ("pt", "ja", "en")


def test_one_line_in_a_thousand_is_malformed(raw, rows):
    assert len(lines_of(raw, "interactions")) == INTERACTIONS
    assert INTERACTIONS - len(rows) == INTERACTIONS // 1_000
    assert load_spec("synthetic").sources.max_reject_ratio == 0.01  # well above


@pytest.mark.parametrize("sort", SORTS)
def test_each_sort_of_malformed_line_is_one(sort):
    good = b'{"query_id":"u0000001","item_id":"a0000002","event":"install","timestamp":1704067226}'
    assert parse(good)
    assert parse(SORTS[sort](good)) is None


def test_ids_are_of_the_tables(rows, items, queries):
    assert {row["item_id"] for row in rows} <= {item["item_id"] for item in items}
    assert {row["query_id"] for row in rows} <= {query["query_id"] for query in queries}


def test_popularity_is_a_power_law(rows):
    counts = np.array(sorted(Counter(row["item_id"] for row in rows).values(), reverse=True))
    ranks = np.arange(1, len(counts) + 1)
    head = slice(10, 500)
    slope, _ = np.polyfit(np.log(ranks[head]), np.log(counts[head]), 1)
    assert -1.3 < slope < -0.7
    assert counts[: len(counts) // 10].sum() > 0.5 * counts.sum()
    # No id tells how popular its item is.
    assert sum(row["item_id"] < f"a{ITEMS // 10:07d}" for row in rows) < 0.4 * len(rows)


def test_a_tenth_of_the_items_is_never_drawn(rows, items, raw):
    drawn = {row["item_id"] for row in rows}
    # Of the items that can be drawn nearly every one is, in so many lines.
    assert 0.10 <= 1 - len(drawn) / len(items) < 0.12


def test_log_has_repeats_duplicates_and_other_events_over_thirty_days(rows):
    lines = Counter((row["query_id"], row["item_id"], row["event"], row["timestamp"]) for row in rows)
    assert 0.005 < sum(count - 1 for count in lines.values()) / len(rows) < 0.02
    times = {}
    for query, item, _, time in lines:
        times.setdefault((query, item), set()).add(time)
    assert sum(len(found) > 1 for found in times.values()) / len(times) > 0.05
    shares = Counter(row["event"] for row in rows)
    assert set(shares) == {"install", "impression", "uninstall"}
    assert 0.75 < shares["install"] / len(rows) < 0.85
    first, last = min(row["timestamp"] for row in rows), max(row["timestamp"] for row in rows)
    assert 1_704_067_200 <= first < 1_704_067_200 + 3_600
    assert 1_704_067_200 + 30 * 86_400 - 3_600 < last < 1_704_067_200 + 30 * 86_400


def test_the_developer_tells_the_category_and_not_the_price(items):
    rng = np.random.default_rng(0)

    def information(one, other):
        """Mutual information, and what of it the size of the sample alone gives."""
        ours, theirs = [str(item[one]) for item in items], [str(item[other]) for item in items]
        return mutual_info_score(ours, theirs), mutual_info_score(ours, rng.permutation(theirs))

    category, category_by_chance = information("developer", "category")
    price, price_by_chance = information("developer", "price")
    assert category > 5 * price
    assert category > category_by_chance + 1
    assert price < price_by_chance + 0.1


def test_other_item_features_depend_on_the_category(items):
    rng = np.random.default_rng(0)
    category = [item["category"] for item in items]

    def first(feature):
        return [item[feature].split()[-1] if isinstance(item[feature], str) else item[feature][0] for item in items]

    size = [int(np.log2(item["size"])) for item in items]
    for values in (first("tags"), first("title"), first("description"), size):
        chance = mutual_info_score(category, rng.permutation(values))
        assert mutual_info_score(category, values) > chance + 0.3


def test_items_are_made_as_they_are_said_to_be(items):
    for item in items:
        assert len(set(item["tags"])) == len(item["tags"])
        assert {tag.partition("-")[0] for tag in item["tags"]} <= {item["category"], "any"}
        assert 1 <= sum(not tag.startswith("any-") for tag in item["tags"]) <= 3
        assert len(item["title"].split()) in {2, 3}
        assert 6 <= len(item["description"].split()) <= 12
    assert 0.6 < sum(item["price"] == 0 for item in items) / len(items) < 0.9
    assert {len(item["description"].split()) for item in items} == set(range(6, 13))


def test_some_queries_are_busier_and_those_of_a_taste_live_in_few_countries(rows, queries):
    lines = sorted(Counter(row["query_id"] for row in rows).values(), reverse=True)
    assert sum(lines[: QUERIES // 10]) > 0.25 * len(rows)
    assert len(lines) > 0.9 * QUERIES
    made = make_queries(QUERIES, np.random.default_rng(0))
    of_taste = {}
    for liked, country in zip(made.liked.tolist(), made.country.tolist(), strict=True):
        of_taste.setdefault(tuple(liked), Counter())[country] += 1
    at_home = [sum(n for _, n in found.most_common(2)) / found.total() for found in of_taste.values()]
    assert min(at_home) > 0.7
    assert {query["country"] for query in queries} == {
        "br", "cn", "de", "fr", "gb", "id", "in", "jp", "kr", "mx", "tr", "us",
    }  # fmt: skip


def test_queries_have_tastes(rows, items):
    category = {item["item_id"]: item["category"] for item in items}
    of_query = {}
    for row in rows:
        of_query.setdefault(row["query_id"], Counter())[category[row["item_id"]]] += 1
    # A query's three commonest categories hold most of what it draws; over all queries three hold much less.
    own = sum(sum(n for _, n in counts.most_common(3)) for counts in of_query.values()) / len(rows)
    overall = sum(n for _, n in sum(of_query.values(), Counter()).most_common(3)) / len(rows)
    assert own > 0.8
    assert overall < 0.4


def test_another_seed_gives_other_tables_another_log_and_another_malformed_line(tmp_path):
    found = []
    for seed in ("1", "2"):
        directory = tmp_path / seed
        size = ["--interactions", "1000", "--queries", "5", "--items", "10"]
        generate.main([*size, "--seed", seed, "--output", str(directory)])
        log, items, queries = (lines_of(directory, table) for table in ("interactions", "items", "queries"))
        found.append((items, queries, log, [parse(line) is None for line in log].index(True)))
    for one, other in zip(*found, strict=True):
        assert one != other


def test_the_smallest_log(tmp_path):
    generate.main(["--interactions", "1", "--queries", "1", "--items", "10", "--output", str(tmp_path / "raw")])
    assert parse(*lines_of(tmp_path / "raw", "interactions"))["query_id"] == "u0000000"


def test_a_part_of_a_table_has_those_rows_of_the_whole():
    tables = [(generate.item_lines, make_items), (generate.query_lines, make_queries)]
    for lines, make in tables:
        table = make(40, np.random.default_rng(0))
        assert lines(table, range(25)) + lines(table, range(25, 40)) == lines(table, range(40))


@pytest.fixture(scope="module")
def tables():
    return {"items": make_items(50, np.random.default_rng(0)), "queries": make_queries(50, np.random.default_rng(0))}


def test_a_block_is_drawn_anew_and_repeats_lines_of_the_first(tables):
    log = Log(**tables, total=8_000, seed=3)
    first, second = log.block(range(4_000)), log.block(range(4_000, 8_000))
    assert (first.query == second.query).mean() < 0.5
    assert 5 < (second.timestamp < START + SECONDS // 2).sum() < 50  # half of one in a hundred
    assert (first.query == Log(**tables, total=8_000, seed=4).block(range(4_000)).query).mean() < 0.5


def test_a_log_of_one_line_has_none_to_repeat(tables):
    assert all(len(Log(**tables, total=1, seed=seed).block(range(1)).query) == 1 for seed in range(150))


def test_it_prints_what_it_counted_as_json(raw):
    said = json.loads(raw.with_name("stdout").read_text())
    assert (said["output"], said["left_out"]) == (str(raw), {})
    assert said["counts"] == {"interactions": INTERACTIONS, "queries": QUERIES, "items": ITEMS}
    assert f"{ITEMS // 10} of the items are cold: no interaction draws them" in said["notes"]
