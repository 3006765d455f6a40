"""The MovieLens converter on hand-written files of both archives, against rows written by hand."""

from pathlib import Path

import pytest
from raw_files import rows_of

from pipelines.raw_logs.convert import main
from stage.errors import StageError
from stage.manifest import Manifest

FLAGS = {"none": "0|" * 18 + "0", "comedy": "0|0|0|0|1|1|" + "0|" * 12 + "0", "western": "0|" * 18 + "1"}
OF_100K = {
    "u.data": "7\t2\t5\t881250949\n7\t31\t1\t0\n8\t2\t3\t891717742\n",
    "u.user": "7|24|M|technician|85711\n8|53|F|other|V3N4P\n",
    "u.item": (
        f"2|Les Misérables (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?M%E9|{FLAGS['comedy']}\n"
        f"31|unknown||||{FLAGS['none']}\n"
        f"40|1900 (1976) (V)|01-Jan-1976||http://a|{FLAGS['western']}\n"
    ),
}
OF_1M = {
    "ratings.dat": "7::2::5::978300760\n7::2::4::978300761\n",
    "users.dat": "7::F::1::10::48067\n9::M::56::16::\n",
    "movies.dat": "2::Misérables, Les (1995)::Drama|Musical\n",
}
OF_RECBOLE = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t2\t5\t881250949\n",
    "ml-100k.user": (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n7\t24\tM\twriter\t85711\n"
    ),
    "ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "2\tLes Misérables\t1995\tChildren's Sci-Fi\n267\tunknown\t\tunknown\n"
    ),
}


def archive(tmp_path: Path, files: dict[str, str], *, encoding: str = "latin-1") -> Path:
    directory = tmp_path / "downloaded"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_bytes(text.encode(encoding))
    return directory


def convert(source: Path, output: Path) -> None:
    main(["movielens", "--input", str(source), "--output", str(output)])


def test_ml_100k_becomes_ratings_users_and_movies(tmp_path: Path) -> None:
    convert(archive(tmp_path, OF_100K), tmp_path / "raw")
    assert rows_of(tmp_path / "raw", "interactions") == [
        {"query_id": "7", "item_id": "2", "rating": 5, "timestamp": 881250949},
        {"query_id": "7", "item_id": "31", "rating": 1, "timestamp": 0},
        {"query_id": "8", "item_id": "2", "rating": 3, "timestamp": 891717742},
    ]
    assert rows_of(tmp_path / "raw", "users") == [
        {"user_id": "7", "age": 24, "gender": "M", "occupation": "technician", "region": "8"},
        {"user_id": "8", "age": 53, "gender": "F", "occupation": "other", "region": "V"},
    ]
    assert rows_of(tmp_path / "raw", "items") == [
        {"item_id": "2", "title": "Les Misérables (1995)", "year": 1995, "genres": ["Children's", "Comedy"]},
        {"item_id": "31", "title": "unknown", "year": None, "genres": []},
        {"item_id": "40", "title": "1900 (1976) (V)", "year": 1976, "genres": ["Western"]},
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])  # as it is packed, and as many copies have it
def test_ml_1m_has_the_same_tables(tmp_path: Path, encoding: str) -> None:
    convert(archive(tmp_path, OF_1M, encoding=encoding), tmp_path / "raw")
    assert rows_of(tmp_path / "raw", "interactions") == [
        {"query_id": "7", "item_id": "2", "rating": 5, "timestamp": 978300760},
        {"query_id": "7", "item_id": "2", "rating": 4, "timestamp": 978300761},
    ]
    assert rows_of(tmp_path / "raw", "users") == [
        {"user_id": "7", "age": 1, "gender": "F", "occupation": "10", "region": "4"},
        {"user_id": "9", "age": 56, "gender": "M", "occupation": "16", "region": ""},
    ]
    assert rows_of(tmp_path / "raw", "items") == [
        {"item_id": "2", "title": "Misérables, Les (1995)", "year": 1995, "genres": ["Drama", "Musical"]}
    ]


def test_recbole_s_copy_has_the_titles_of_the_original(tmp_path: Path) -> None:
    convert(archive(tmp_path, OF_RECBOLE, encoding="utf-8"), tmp_path / "raw")
    assert rows_of(tmp_path / "raw", "interactions") == [
        {"query_id": "7", "item_id": "2", "rating": 5, "timestamp": 881250949}
    ]
    assert rows_of(tmp_path / "raw", "users") == [
        {"user_id": "7", "age": 24, "gender": "M", "occupation": "writer", "region": "8"}
    ]
    assert rows_of(tmp_path / "raw", "items") == [
        {"item_id": "2", "title": "Les Misérables (1995)", "year": 1995, "genres": ["Children's", "Sci-Fi"]},
        {"item_id": "267", "title": "unknown", "year": None, "genres": ["unknown"]},
    ]


@pytest.mark.parametrize(
    ("name", "line", "reason", "where"),
    [
        ("u.data", "7\t2\t5", "malformed_line", "u.data:4: expected 4 values, got 3"),
        ("u.data", "7\t2\t6\t1", "malformed_line", "u.data:4: 7\t2\t6\t1"),
        ("u.data", "7\t2\t4.5\t1", "malformed_line", "u.data:4: 7\t2\t4.5\t1"),
        ("u.data", "7\t2\t5\tnow", "malformed_line", "u.data:4: 7\t2\t5\tnow"),
        ("u.data", "7\t2\t5\t7258118400", "malformed_line", "u.data:4: 7\t2\t5\t7258118400"),  # 2200, UTC
        ("u.data", "9\t2\t5\t1", "rating_by_unknown_user", "u.data:4: 9"),
        ("u.data", "7\t9\t5\t1", "rating_of_unknown_movie", "u.data:4: 9"),
        ("u.user", "9||F|other|1", "malformed_line", "u.user:3: 9||F|other|1"),
        ("u.user", "|9|F|other|1", "malformed_line", "u.user:3: |9|F|other|1"),
        ("u.user", "8|53|F|other|1", "repeated_id", "u.user:3: 8"),
        ("u.item", "2|B|||", "malformed_line", "u.item:4: expected 24 values, got 5"),
        ("u.item", f"2|B||||2|{'0|' * 17}0", "malformed_line", f"u.item:4: 2|B||||2|{'0|' * 17}0"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, line: str, reason: str, where: str
) -> None:
    source = archive(tmp_path, OF_100K | {name: f"{OF_100K[name]}{line}\n\n"})
    convert(source, tmp_path / "raw")
    manifest = Manifest.read(str(tmp_path / "raw"), "raw", verify=True)
    assert (manifest.counts, manifest.rejected) == ({"interactions": 3, "users": 2, "items": 3}, {reason: 1})
    assert set(manifest.inputs) == {"u.data", "u.user", "u.item"}
    assert " ".join(where.split()) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["u.data", "u.user"], "expected u.item or u.item.gz of GroupLens's ml-100k, found neither"),
        (["ratings.dat", "movies.dat"], "expected users.dat or users.dat.gz of GroupLens's ml-1m, found neither"),
        (["ratings.csv", "movies.csv"], "expected .*, found ratings.csv, which needs no conversion"),
        ([], "expected one of u.data, ratings.dat, ml-100k.inter, of GroupLens's ml-100k or ml-1m, or .*, found none"),
    ],
)
def test_a_directory_without_a_whole_archive_is_refused(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(StageError, match=message):
        convert(archive(tmp_path, dict.fromkeys(files, "")), tmp_path / "raw")
    with pytest.raises(StageError, match="expected the directory of GroupLens's ml-100k or ml-1m"):
        convert(Path(__file__), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
