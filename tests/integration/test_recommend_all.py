"""Recommendations for all queries of the sample's export, as files."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import Json, Sample
from in_process import run

from features.spec.file import load_spec
from model import recommend_all
from model.serving import query_rows, raw_entities
from model.serving.query_rows import stored_queries
from model.serving.retriever import Retriever
from stage.manifest import Manifest
from stage.output import start_output

Found = dict[str, list[tuple[int, str, float]]]


@pytest.fixture(autouse=True)
def opened(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> Retriever:
    retriever = sample.retriever
    monkeypatch.setattr(Retriever, "open", lambda *_, **__: retriever)  # To open it takes seconds.
    return retriever


def found_in(output: Path) -> Found:
    """Query -> its rows, as the directory of files has them."""
    found: Found = {}
    for query_id, *row in pd.read_parquet(output / "items").itertuples(index=False):
        found.setdefault(query_id, []).append(tuple(row))
    return found


def test_every_query_gets_what_it_would_get_alone_without_what_it_has(
    sample: Sample, opened: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_rows, "ROWS_AT_ONCE", 100)
    monkeypatch.setattr(recommend_all, "LEFT_OUT_AT_ONCE", 500)  # a few queries at a time beside one that has many
    arguments = ["--export", sample.exported, "--known", sample.directory / "dataset", "--output", tmp_path / "out"]
    code, out, err = run(recommend_all.main, *arguments, "--top-k", "3", "--json")
    assert code == 0, err
    found = found_in(tmp_path / "out")
    counts = json.loads(out)["counts"]
    assert len(set(found) - set(sample.raw_queries)) == 118  # packages that need none, in the log

    has: dict[str, set[str]] = {}
    for folder in ("train", "validation", "test"):
        for example in sample.examples(folder):
            has.setdefault(example["query_id"][0].decode(), set()).add(example["item_id"][0].decode())
    without = len(set(found) - set(has))
    assert counts == {"queries": 3000, "recommendations": 3 * 3000, "queries/without_known": without}
    assert 118 <= without < 3000
    assert "warning" not in err
    for query_id, rows in found.items():
        assert [rank for rank, _, _ in rows] == [1, 2, 3]
        assert not {item_id for _, item_id, _ in rows} & {*has.get(query_id, ()), query_id}
    for query_id in [*sorted(found)[::200], max(has, key=lambda one: len(has[one]))]:
        alone = opened.recommend(query_id, exclude=sorted(has.get(query_id, ())), top_k=3)
        assert [item_id for _, item_id, _ in found[query_id]] == [one.item_id for one in alone]
        assert [score for _, _, score in found[query_id]] == pytest.approx([one.score for one in alone], abs=1e-6)

    manifest = Manifest.read(str(tmp_path / "out"), "recommendations", verify=True)
    dataset = Manifest.open(str(sample.directory / "dataset"), "dataset")
    assert manifest.inputs == {"export": opened.manifest.content_digest, "known": dataset.content_digest}
    code, out, err = run(recommend_all.main, *arguments)
    assert (code, out) == (1, "")
    assert err == f"error: {tmp_path}/out: is finished already; --overwrite makes it again\n"


def test_without_known_pairs_the_query_alone_is_left_out(sample: Sample, opened: Retriever) -> None:
    rows = pq.ParquetFile(next(sample.exported.glob("entities/queries-*"))).read().slice(0, 3)
    done: list[int] = []
    (table,) = recommend_all.recommend_each(
        opened, stored_queries(opened, rows), known=None, top_k=9999, counts=Counter(), advance=done.append
    )
    pairs = list(zip(table["query_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    assert (len(pairs), len(set(pairs)), done) == (3 * 2999, 3 * 2999, [3])
    assert not any(query_id == item_id for query_id, item_id in pairs)


@pytest.mark.parametrize(
    ("section", "changes"), [("evaluate", {"exclude_self": False}), ("sources", {"queries": None})]
)
def test_a_query_is_found_where_it_may_be_or_is_no_item(
    *,
    sample: Sample,
    opened: Retriever,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    changes: dict[str, Any],
) -> None:
    changed = getattr(opened.spec, section).model_copy(update=changes)
    monkeypatch.setattr(opened, "spec", opened.spec.model_copy(update={section: changed}))
    assert len(opened.recommend("perl", top_k=9999)) == 3000
    rows = pq.ParquetFile(next(sample.exported.glob("entities/queries-*"))).read().slice(0, 2)
    (table,) = recommend_all.recommend_each(
        opened, stored_queries(opened, rows), known=None, top_k=9999, counts=Counter(), advance=lambda _: None
    )
    assert table.num_rows == 2 * 3000


def test_queries_of_files_are_asked_with_their_own_features(
    sample: Sample, opened: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_rows, "ROWS_AT_ONCE", 2)
    converted: list[Any] = []
    take = raw_entities._taken

    def counted(entity: Any, *arguments: Any, **options: Any) -> Any:
        converted.append(entity)
        return take(entity, *arguments, **options)

    monkeypatch.setattr(raw_entities, "_taken", counted)
    rows: list[Json] = [
        {"query_id": "a-new-shell", "section": "shells", "debtags": ["role::program"]},
        {"query_id": "perl", "section": None, "debtags": None},
        {"query_id": "another-shell", "section": "perl", "debtags": []},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "1.parquet")
    pq.write_table(pa.table({"query_id": [7]}), tmp_path / "2.parquet")
    of_bytes = {"query_id": [b"shell"], "section": [b"shells"], "debtags": [[b"role::program", None]]}
    pq.write_table(pa.table(of_bytes), tmp_path / "3.parquet")  # as some writers leave their texts
    arguments = ["--export", sample.exported, "--queries", tmp_path / "*.parquet", "--top-k", "2"]
    code, out, err = run(recommend_all.main, *arguments, "--output", tmp_path / "out", "--json")
    assert code == 0, err
    assert json.loads(out) == {"counts": {"queries": 5, "recommendations": 10, "queries/nothing_known": 1}}  # 7
    # Each query is checked and asked with at once; {} is what nothing is known of.
    assert len([one for one in converted if one]) == 5
    (own,) = (name for name, feature in opened.spec.query.features.items() if feature.kind == "id")
    wanted = [
        opened.recommend({"section": "shells", "debtags": ["role::program"], own: "a-new-shell"}),
        opened.recommend({own: "perl"}),
        opened.recommend({"section": "perl", own: "another-shell"}),
        opened.recommend({own: "7"}),
        opened.recommend({"section": "shells", "debtags": ["role::program"], own: "shell"}),
    ]
    read = [pq.ParquetFile(path).read().to_pylist() for path in sorted((tmp_path / "out").glob("items/*.parquet"))]
    assert [len(table) for table in read] == [6, 2, 2]
    assert [(row["query_id"], row["rank"], row["item_id"]) for table in read for row in table] == [
        (query_id, rank, found[rank - 1].item_id)
        for query_id, found in zip(("a-new-shell", "perl", "another-shell", "7", "shell"), wanted, strict=True)
        for rank in (1, 2)
    ]
    assert set(Manifest.read(str(tmp_path / "out"), "recommendations").inputs) == {"export", "queries"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"]}, "TMP/q.parquet: expected a column query_id, got id"),
        (
            {"query_id": ["a"], "sectoin": ["b"]},
            "TMP/q.parquet: column sectoin: no feature of this export's queries; did you mean 'section'?",
        ),
        (
            {"query_id": ["a", None]},
            "TMP/q.parquet: row 2: query_id: expected a text or an integer, got None",
        ),
        (
            {"query_id": ["a", "b", "c"], "section": [None, "shells", None], "debtags": [[], None, [1.5]]},
            "TMP/q.parquet: row 3: query: debtags: expected a list of texts, or of integers, got [1.5]",
        ),
        (
            {"query_id": ["a", "b", None, "a"]},
            "TMP/q.parquet: row 4: query_id: expected each id once, got 'a' as in row 1",
        ),
        ({"query_id": [3, 3]}, "TMP/q.parquet: row 2: query_id: expected each id once, got '3' as in row 1"),
        (
            {"query_id": pa.array(["a", "b", "a"], pa.string_view())},
            "TMP/q.parquet: row 3: query_id: expected each id once, got 'a' as in row 1",
        ),
        ({"query_id": [float("nan")] * 2}, "TMP/q.parquet: query_id: expected texts or integers, got double"),
        ("", "TMP/q.parquet: not readable as Parquet: Parquet file size is 0 bytes"),
        (None, "--queries: expected Parquet files that match TMP/q.parquet, found none"),
    ],
)
def test_files_that_cannot_be_asked_with_are_named(
    *, sample: Sample, tmp_path: Path, columns: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_rows, "ROWS_AT_ONCE", 2)
    path = tmp_path / "q.parquet"
    if columns == "":
        path.touch()
    elif columns is not None:
        pq.write_table(pa.table(columns), path)
    arguments = ["--export", sample.exported, "--queries", path, "--output", tmp_path / "out"]
    code, out, err = run(recommend_all.main, *arguments)
    assert (code, out, err.splitlines()[-1]) == (1, "", f"error: {message.replace('TMP', str(tmp_path))}")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_what_can_be_known_of_queries_is_known_before_the_last_recommendations_go(
    sample: Sample, tmp_path: Path
) -> None:
    queries = tmp_path / "queries"
    queries.mkdir()
    (queries / "_SUCCESS").touch()
    pq.write_table(pa.table({"query_id": ["perl"]}), queries / "a.parquet")
    arguments = ["--export", sample.exported, "--queries", queries / "*", "--output", tmp_path / "out", "--overwrite"]
    assert run(recommend_all.main, *arguments)[0] == 0
    pq.write_table(pa.table({"query_id": ["git"], "sectoin": ["x"]}), queries / "b.parquet")
    assert run(recommend_all.main, *arguments)[0] == 1
    assert list(found_in(tmp_path / "out")) == ["perl"]
    assert (tmp_path / "out" / "manifest.json").exists()


def test_what_was_written_is_told(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = pq.ParquetFile(next(sample.exported.glob("entities/queries-*"))).read().slice(0, 3)
    monkeypatch.setattr(recommend_all, "read_parquet", lambda _: few)
    code, out, err = run(recommend_all.main, "--export", sample.exported, "--output", tmp_path / "out")
    assert (code, out) == (0, f"24 queries, 1,200 recommendations\nwritten: {tmp_path}/out/items\n"), err
    (tmp_path / "out/items/left-by-a-killed-run.parquet.tmp").touch()
    again = ["--output", tmp_path / "out", "--overwrite", "--top-k", "1"]
    code, out, err = run(recommend_all.main, "--export", sample.exported, *again)
    assert (code, out) == (0, f"24 queries, 24 recommendations\nwritten: {tmp_path}/out/items\n"), err
    assert [len(rows) for rows in found_in(tmp_path / "out").values()] == [8, 8, 8]


def test_queries_that_no_pair_is_known_of_or_nothing_at_all_are_told(sample: Sample, tmp_path: Path) -> None:
    dataset = sample.directory / "dataset"
    has = sorted({example["query_id"][0].decode() for example in sample.examples("train")})
    arguments = ["--export", sample.exported, "--known", dataset, "--top-k", "1", "--output", tmp_path / "out"]
    for asked, without in (([has[0], "PERL"], 1), (["Perl", "PERL"], 2), ([], 0)):
        pq.write_table(pa.table({"query_id": pa.array(asked, pa.string())}), tmp_path / "q.parquet")
        code, out, err = run(recommend_all.main, *arguments, "--queries", tmp_path / "q.parquet", "--overwrite")
        told = [
            f"{without} of the queries have no pair in {dataset}, so nothing is left out for them",
            f"{without} of the queries are unknown to the model, so they get what all such get",
        ] * bool(without)
        assert code == 0, err
        assert out.splitlines()[1:-1] == told
        warning = (
            f"warning: none of these queries has a pair in {dataset}, so nothing was left out; expected a dataset of"
        )
        assert (warning in err) == (without == 2)
        counts = Manifest.read(str(tmp_path / "out"), "recommendations").counts
        assert [counts.get(f"queries/{what}", 0) for what in ("without_known", "nothing_known")] == [without] * 2


def test_an_output_that_another_run_has_taken_over_gets_no_file(
    sample: Sample, opened: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = pq.ParquetFile(next(sample.exported.glob("entities/queries-*"))).read().slice(0, 1)
    monkeypatch.setattr(recommend_all, "read_parquet", lambda _: few)
    output, features_of = tmp_path / "out", opened.features_of

    def taken_over(row: Json) -> Mapping[str, Any]:
        start_output(str(output), "recommendations", run_id="other", overwrite=False)
        return features_of(row)

    monkeypatch.setattr(opened, "features_of", taken_over)
    code, out, err = run(recommend_all.main, "--export", sample.exported, "--output", output)
    assert (code, out, "another run was started into it meanwhile" in err) == (1, "", True), err
    assert [path.name for path in output.iterdir()] == [".unfinished"]


def test_queries_that_an_export_does_not_carry_are_refused(
    sample: Sample, opened: Retriever, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = opened.manifest.model_copy(update={"files": []})
    for without, message in (
        (SimpleNamespace(spec=opened.spec, manifest=bare, directory="ex"), "--export: ex was made without queries"),
        (
            SimpleNamespace(spec=load_spec("wikispeedia-sessions")),
            "--queries: expected files of queries with their histories, since this export is of session mode",
        ),
    ):
        monkeypatch.setattr(Retriever, "open", lambda *_, found=without, **__: found)
        code, out, err = run(recommend_all.main, "--export", sample.exported, "--output", tmp_path / "out")
        assert (code, out, err.startswith(f"error: {message}")) == (2, "", True)
        assert not (tmp_path / "out").exists()
