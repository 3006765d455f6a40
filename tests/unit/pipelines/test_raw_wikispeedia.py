"""The wikispeedia converter on hand-written files, against rows written by hand."""

import gzip
import re

import pytest
from raw_files import rows_of

from pipelines.raw_logs.convert import by_day, main
from pipelines.raw_logs.left_out import LeftOut
from pipelines.raw_logs.wikispeedia import Line, first_paragraph, items, links, read_table, steps_of_path
from stage.errors import StageError
from stage.manifest import Manifest

FILES = {
    "articles.tsv": "# FORMAT: article\n\n%C3%89ire\nRoman_Empire\nBede\nBede\n",
    "categories.tsv": (
        "%C3%89ire\tsubject.Countries\n"
        "%C3%89ire\tsubject.Geography.European_Geography.European_Countries\n"
        "Roman_Empire\tsubject.Geography.Rome\n"
        "Nowhere\tsubject.Countries\n"
    ),
    "links.tsv": "# links\n%C3%89ire\tBede\nBede\tRoman_Empire\nBede\nBede\tAtlantis\nBede\tBede\n",
    "paths_finished.tsv": (
        "aa11\t1000\t10\tBede;%C3%89ire;<;Roman_Empire;Bede\t3\n"
        "bb22\t2000\t7\tBede;Atlantis;%C3%89ire\tNULL\n"
        "cc33\tyesterday\t7\tBede;%C3%89ire\tNULL\n"
    ),
    "paths_unfinished.tsv": "dd44\t3000\t1\tBede;<;Roman_Empire\tBede\trestart\nee55\t3000\t1\tBede\tBede\ttimeout\n",
    "first_paragraph.tsv": "%C3%89ire\tÉire is a name.\nNowhere\tIt is not.\n",
}


@pytest.fixture
def source(tmp_path):
    directory = tmp_path / "wikispeedia"
    directory.mkdir()
    for number, (name, text) in enumerate(FILES.items()):
        if number % 2:
            (directory / name).write_text(text, encoding="utf-8")
        else:
            (directory / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return directory


def convert(source, output, *flags):
    main(["wikispeedia", "--input", str(source), "--output", str(output), *flags])


def test_links_are_the_lines_between_known_articles(source, tmp_path):
    convert(source, tmp_path / "raw")
    assert rows_of(tmp_path / "raw", "interactions-link") == [
        {"query_id": "%C3%89ire", "item_id": "Bede", "event": "link"},
        {"query_id": "Bede", "item_id": "Roman_Empire", "event": "link"},
        {"query_id": "Bede", "item_id": "Bede", "event": "link"},
    ]


def test_clicks_have_their_share_of_the_paths_time_and_start_where_back_led(source, tmp_path):
    convert(source, tmp_path / "raw")
    click = {"event": "click"}
    assert rows_of(tmp_path / "raw", "interactions-click") == [
        # Three clicks in ten seconds; the one after < starts at Bede again.
        click | {"query_id": "Bede", "item_id": "%C3%89ire", "timestamp": 1_003_333_333, "user_id": "aa11"},
        click | {"query_id": "Bede", "item_id": "Roman_Empire", "timestamp": 1_006_666_666, "user_id": "aa11"},
        click | {"query_id": "Roman_Empire", "item_id": "Bede", "timestamp": 1_010_000_000, "user_id": "aa11"},
        # Both clicks of bb22 touch an unknown article. dd44 goes back where there is nothing before.
        click | {"query_id": "Bede", "item_id": "Roman_Empire", "timestamp": 3_001_000_000, "user_id": "dd44"},
    ]


def test_clicks_lie_by_day_if_wanted(source, tmp_path, capsys):
    (source / "paths_unfinished.tsv").write_text("dd44\t90000\t1\tBede;Roman_Empire\tBede\trestart\n")
    convert(source, tmp_path / "whole")
    capsys.readouterr()
    convert(source, tmp_path / "raw", "--by-day")
    assert re.search(r"interactions-click +4\b", capsys.readouterr().out)
    days = {path.name: rows_of(path, "interactions-click") for path in (tmp_path / "raw").glob("date=*")}
    assert {day: len(rows) for day, rows in days.items()} == {"date=1970-01-01": 3, "date=1970-01-02": 1}
    assert [*days["date=1970-01-01"], *days["date=1970-01-02"]] == rows_of(tmp_path / "whole", "interactions-click")
    assert not list((tmp_path / "raw").glob("interactions-click*"))
    manifest = Manifest.read(str(tmp_path / "raw"), "raw")
    assert manifest.counts["date=1970-01-02/interactions-click"] == 1
    assert manifest.job_options == {"source": "wikispeedia", "by_day": "true"}


def test_days_ascend_and_so_do_the_clicks_of_each():
    late, early, first = ({"timestamp": seconds * 1_000_000} for seconds in (86_400, 86_399, 5))
    assert list(by_day([late, early, first]).items()) == [("1970-01-01", [first, early]), ("1970-01-02", [late])]


def test_a_line_with_another_number_of_values_or_an_empty_one_is_malformed(tmp_path):
    (tmp_path / "links.tsv").write_bytes(b"# FORMAT: a, b\n\na\tb\r\na\t\n\tb\na\tb\tc\na\n\xff\tb\n")
    left_out = LeftOut()
    lines = list(read_table(str(tmp_path / "links.tsv"), columns=2, left_out=left_out))
    assert lines == [Line("links.tsv:3", ["a", "b"])]
    assert (left_out.counts, left_out.first["malformed_line"][:11]) == ({"malformed_line": 5}, "links.tsv:4")


def test_a_link_from_or_to_an_unknown_article_is_left_out():
    left_out = LeftOut()
    lines = [Line("links.tsv:1", pair) for pair in (["a", "gone"], ["gone", "a"], ["a", "b"])]
    assert list(links(lines, known={"a", "b"}, left_out=left_out)) == [
        {"query_id": "a", "item_id": "b", "event": "link"}
    ]
    assert left_out.counts == {"link_of_unknown_article": 2}


@pytest.mark.parametrize("flags", [[], ["--by-day"]])
def test_a_log_without_clicks_is_refused(source, tmp_path, flags):
    for name in ("paths_finished.tsv", "paths_unfinished.tsv"):
        for path in source.glob(f"{name}*"):
            path.unlink()
        (source / name).write_text("")
    with pytest.raises(StageError, match="wikispeedia: expected lines for interactions-click, found none"):
        convert(source, tmp_path / "raw", *flags)
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize(
    ("time", "duration", "is_kept"),
    [
        ("7258118397", "2", True),  # a second before 2200, UTC
        ("7258118397", "3", False),
        ("99999999999999", "1", False),
        ("1", "9" * 5000, False),  # more digits than Python makes a number of
    ],
)
def test_a_click_is_before_2200_as_a_build_wants_it(source, tmp_path, time, duration, is_kept):
    (source / "paths_unfinished.tsv").write_text(f"dd44\t{time}\t{duration}\tBede;Roman_Empire\tBede\trestart\n")
    convert(source, tmp_path / "raw", "--by-day")
    days = {path.name for path in (tmp_path / "raw").glob("date=*")}
    assert days == {"date=1970-01-01"} | ({"date=2199-12-31"} if is_kept else set())
    malformed = Manifest.read(str(tmp_path / "raw"), "raw").rejected["malformed_line"]
    assert malformed == (2 if is_kept else 3)


def test_items_have_decoded_titles_and_categories_down_to_each_level(source, tmp_path):
    convert(source, tmp_path / "raw")
    eire, rome, bede = rows_of(tmp_path / "raw", "items")
    assert eire == {
        "item_id": "%C3%89ire",
        "title": "Éire",
        "categories": [
            "Countries",
            "Geography",
            "Geography.European_Geography",
            "Geography.European_Geography.European_Countries",
        ],
        "category_level_1": ["Countries", "Geography"],
        "category_level_2": ["Geography.European_Geography"],
        "category_level_3": ["Geography.European_Geography.European_Countries"],
        "paragraph": "Éire is a name.",
    }
    assert (rome["title"], rome["category_level_2"], rome["paragraph"]) == ("Roman Empire", ["Geography.Rome"], None)
    assert (bede["categories"], bede["category_level_1"]) == ([], [])


def test_each_level_has_a_path_once_and_none_is_below_the_third():
    left_out = LeftOut()
    categories = [Line(f"categories.tsv:{n}", ["a", f"subject.{path}"]) for n, path in enumerate(["x.y", "x.z.u.deep"])]
    (row,) = items(["a"], categories=categories, paragraphs={}, left_out=left_out)
    assert (row["category_level_1"], row["category_level_2"]) == (["x"], ["x.y", "x.z"])
    assert row["category_level_3"] == ["x.z.u"]
    assert row["categories"] == ["x", "x.y", "x.z", "x.z.u"]
    assert left_out.counts == {"category_level_too_deep": 1}


def test_manifest_counts_what_was_written_and_what_was_left_out(source, tmp_path):
    convert(source, tmp_path / "raw")
    manifest = Manifest.read(str(tmp_path / "raw"), "raw", verify=True)
    assert manifest.counts == {"interactions-link": 3, "interactions-click": 4, "items": 3}
    assert manifest.rejected == {
        "repeated_article": 1,
        "category_of_unknown_article": 1,
        "paragraph_of_unknown_article": 1,
        "malformed_line": 2,  # a link without target, a path without time
        "link_of_unknown_article": 1,
        "click_of_unknown_article": 2,
        "back_at_start_of_path": 1,
        "path_without_click": 1,
    }
    assert set(manifest.inputs) == {
        "articles.tsv.gz", "categories.tsv", "links.tsv.gz", "paths_finished.tsv", "paths_unfinished.tsv.gz",
        "first_paragraph.tsv",
    }  # fmt: skip


@pytest.mark.parametrize("where", ["wikispeedia", "."])  # a download of its own, so it may lie beside the other
def test_paragraphs_come_from_the_plain_texts_where_there_is_no_table(source, tmp_path, capsys, where):
    (source / "first_paragraph.tsv").unlink()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "link").symlink_to(source)
    texts = tmp_path / where / "plaintext_articles"
    texts.mkdir()
    (texts / "Roman_Empire.txt").write_bytes(b"#copyright\n\nRome \xff\n")
    text = "#copyright\n\nBede\n\n2007 Schools Selection. Related subjects: People; more of it; and more\n\n"
    (texts / "Bede.txt").write_text(f"{text}   Bede was a monk at the\n   monastery of Saint Peter.\n\nHe wrote.\n")
    convert(f"{tmp_path}/deep/link/../wikispeedia", tmp_path / "raw")
    assert [row["paragraph"] for row in rows_of(tmp_path / "raw", "items")] == [
        None, None, "Bede was a monk at the monastery of Saint Peter.",
    ]  # fmt: skip
    assert "2 of 3 articles have no paragraph" in capsys.readouterr().out


def test_without_any_paragraphs_the_command_says_so(source, tmp_path, capsys):
    (source / "first_paragraph.tsv").unlink()
    convert(source, tmp_path / "raw")
    assert {row["paragraph"] for row in rows_of(tmp_path / "raw", "items")} == {None}
    assert "the feature paragraph is empty" in " ".join(capsys.readouterr().out.split())


def test_a_missing_file_is_named(source, tmp_path):
    (source / "links.tsv.gz").unlink()
    with pytest.raises(StageError, match=r"expected links\.tsv or links\.tsv\.gz"):
        convert(source, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_a_cut_off_file_is_named(source, tmp_path):
    whole = (source / "links.tsv.gz").read_bytes()
    (source / "links.tsv.gz").write_bytes(whole[:-12])
    with pytest.raises(StageError, match=r"links\.tsv\.gz: cut off or damaged"):
        convert(source, tmp_path / "raw")


def test_a_file_of_bad_lines_alone_is_an_error_that_says_why(source, tmp_path):
    (source / "links.tsv.gz").write_bytes(gzip.compress(b"a b\n\xff\tb\n"))
    with pytest.raises(
        StageError, match=r"interactions-link, found none .*malformed_line 3 times, first at links\.tsv\.gz:1"
    ):
        convert(source, tmp_path / "raw")


@pytest.mark.parametrize(
    ("path", "steps", "back_at_start"),
    [
        ("A", [], 0),
        ("A;B;<;<;C", [("A", "B"), ("A", "C")], 1),
        ("A;B;C;<;<;D", [("A", "B"), ("B", "C"), ("A", "D")], 0),
        ("A;B;<;B;C", [("A", "B"), ("A", "B"), ("B", "C")], 0),
        ("<;A;B", [("A", "B")], 1),
    ],
)
def test_steps_of_path(path, steps, back_at_start):
    assert steps_of_path(path.split(";")) == (steps, back_at_start)


def test_first_paragraph_of_a_text_without_one_is_empty():
    assert first_paragraph("#copyright\n\nBede\n\nA caption is of fewer than eight\n") == ""
    assert first_paragraph("#copyright of all of the articles of this selection\n") == ""


def test_a_paragraph_has_eight_words():
    assert first_paragraph("#copyright\n\nBede on\nthe English and their old church\n") == (
        "Bede on the English and their old church"
    )
