"""Which items an export serves, as files name them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.spec.sources import Pseudonymise
from model import export
from model.ranking.candidates import read_candidates
from stage.errors import StageError, UsageError


def dataset_of(*ids: str, pseudonymise: Pseudonymise | None = None) -> Any:
    parts = [pa.array(some, pa.string()) for some in (ids[:2], ids[2:])]
    tables = {"items": [pa.table({"id": part, "title": part}) for part in parts]}
    spec = SimpleNamespace(sources=SimpleNamespace(pseudonymise=pseudonymise))

    def entities(kind: str, *, columns: list[str]) -> list[pa.Table]:
        return [table.select(columns) for table in tables[kind]]

    return SimpleNamespace(directory="DATA", entities=entities, spec=spec)


def test_candidates_are_the_items_of_a_dataset_that_files_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"item_id": [7, 8, 9, 7], "price": [1.5] * 4}), tmp_path / "1.parquet")
    texts = pa.array(["a", "7", "b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"item_id": texts}), tmp_path / "2.parquet", row_group_size=1)
    pq.write_table(pa.table({"item_id": pa.array([], pa.null())}), tmp_path / "3.parquet")
    pq.write_table(pa.table({"item_id": ["c"]}), tmp_path / "4.other")
    found = read_candidates(f"{tmp_path}/*.parquet", dataset_of("a", "c", "7", "8"))
    assert found.ids.to_pylist() == ["a", "7", "8"]
    assert found.counts == {"candidates": 5, "candidates/unknown": 2, "dataset_items": 4}
    assert capsys.readouterr().err == "--candidates: 2 of 5 are no items of DATA: 9, b\n"

    # Bytes, as some writers leave their texts.
    of_bytes = pa.array([b"9", b"b", b"a", b"8", b"7"])
    for same in (of_bytes, of_bytes.cast(pa.string()).cast(pa.string_view())):
        pq.write_table(pa.table({"item_id": same}), tmp_path / "same")
        assert read_candidates(f"{tmp_path}/same", dataset_of("a", "c", "7", "8", "9")).digest == found.digest
        assert capsys.readouterr().err == "--candidates: 1 of 5 are no items of DATA: b\n"
    half = ["z", "y", "x", "w", "a", "b", "c", "7"]
    for ids, said in ((["a", "c"], ""), (half, "4 of 8 are no items of DATA: z, y, x, ...\n")):
        pq.write_table(pa.table({"item_id": pa.array(ids, pa.large_string())}), tmp_path / "other")
        other = read_candidates(f"{tmp_path}/other", dataset_of("a", "b", "c", "7"))
        assert (other.ids.to_pylist(), other.digest == found.digest) == ([one for one in ids if one in "abc7"], False)
        assert capsys.readouterr().err.removeprefix("--candidates: ") == said


def test_items_are_looked_up_once_however_many_files_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"item_id": ["c", "z"]}), tmp_path / "c.parquet")
    looked_up, is_in = [], pc.is_in

    def count(values: pa.ChunkedArray, *, value_set: pa.Array) -> pa.ChunkedArray:
        looked_up.append((values.to_pylist(), value_set.to_pylist()))
        return is_in(values, value_set=value_set)

    monkeypatch.setattr(pc, "is_in", count)
    found = read_candidates(f"{tmp_path}/c.parquet", dataset_of("a", "c", "7"))
    assert looked_up == [(["a", "c", "7"], ["c", "z"]), (["c", "z"], ["c"])]
    assert found.counts == {"candidates": 2, "candidates/unknown": 1, "dataset_items": 3}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"], "price": [1]}, "TMP/c.parquet: expected a column item_id, got id, price"),
        ({}, "TMP/c.parquet: expected a column item_id, got none"),
        ({"item_id": [1.0]}, "TMP/c.parquet: item_id: expected texts or integers, got double"),
        ({"item_id": [["a"]]}, r"TMP/c.parquet: item_id: expected texts or integers, got list<\w+: string>"),
        ({"item_id": ["a", "b", None]}, "TMP/c.parquet: row 3: item_id: expected a text or an integer, got None"),
        ({"item_id": ["a", ""]}, "TMP/c.parquet: row 2: item_id: expected a text or an integer, got ''"),
        ({"item_id": [None]}, "TMP/c.parquet: row 1: item_id: expected a text or an integer, got None"),
        ({"item_id": pa.array([], pa.string())}, "--candidates: expected items of DATA, got none in TMP/c.parquet"),
        ({"item_id": ["z", "y"]}, "--candidates: expected items of DATA, got none in TMP/c.parquet, but z, y"),
        (
            {"item_id": ["z", "y", "a", "z"]},
            "--candidates: 2 of 3 are no items of DATA: z, y; expected half or more to be: name them as its table of "
            "items does, or only those that it has",
        ),
        (b"", "TMP/c.parquet: not readable as Parquet: .*"),
        (None, "--candidates: expected Parquet files that match TMP/c.parquet, found none"),
    ],
)
def test_files_that_name_no_candidates_are_refused(tmp_path: Path, columns: Any, message: str) -> None:
    path = tmp_path / "c.parquet"
    if isinstance(columns, bytes):
        path.write_bytes(columns)
    elif columns is not None:
        pq.write_table(pa.table(columns), path)
    with pytest.raises(StageError, match=f"^{message.replace('TMP', str(tmp_path))}$"):
        read_candidates(str(path), dataset_of("a", "b", "7"))


def test_where_ids_are_pseudonyms_a_refusal_of_others_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a"]}), tmp_path / "c.parquet")
    section = Pseudonymise(columns=["item_id"], key_env="KEY")
    wanted = r"expected items of DATA, whose ids are pseudonyms \(sources.pseudonymise\), got none in .*, but a$"
    with pytest.raises(StageError, match=wanted):
        read_candidates(str(tmp_path / "c.parquet"), dataset_of("0f3c", pseudonymise=section))


def test_candidates_below_the_export_would_go_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "export/offered/1.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"item_id": ["a"]}), path)
    flags = ["--model", "m", "--dataset", "d", "--output", str(tmp_path / "export"), "--overwrite"]
    for pattern in (f"{tmp_path}/e*/**.parquet", str(path)):
        with pytest.raises(UsageError) as caught:
            export.main([*flags, "--candidates", pattern])
        assert str(caught.value) == (
            f"--candidates: expected a place outside of --output ({tmp_path}/export), got {path}"
        )
