"""What people read on stdout is what was said, whatever it looks like."""

import io
import sys

import pytest
from rich.table import Table

from features.spec.file import load_spec
from pipelines.build_report import print_report
from stage.console import console, print_widest, shortened
from stage.manifest import Manifest

NAMES = ["runs/[old]/model", "a[/b]", "[bold]", ":warning:"]


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(*NAMES, title=" ".join(NAMES))
    table.add_row(*NAMES)
    console().print(table)
    console().print(f"written: {NAMES[0]} {NAMES[1]}")
    title, _, header, _, row, _, written = capsys.readouterr().out.splitlines()
    assert [text.split() for text in (title, header, row)] == [
        NAMES,
        ["┃", *(part for name in NAMES for part in (name, "┃"))],
        ["│", *(part for name in NAMES for part in (name, "│"))],
    ]
    assert written == "written: runs/[old]/model a[/b]"


def test_in_a_file_a_table_is_as_wide_everywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    for length in (118, 119):
        console().print("x" * length + " y")
    assert capsys.readouterr().out.splitlines() == ["x" * 118 + " y", "x" * 119 + " ", "y"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_is_as_wide_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert console().width == 30


@pytest.mark.parametrize(
    ("widths", "shown"), [([120, 30], 0), ([121, 30], 1), ([300, 121, 120], 2), ([300, 200], 1), ([300], 0)]
)
def test_of_tables_the_first_that_there_is_room_for_is_shown_and_no_line_is_broken(
    capsys: pytest.CaptureFixture[str], widths: list[int], shown: int
) -> None:
    assert print_widest([Table("x" * (width - 4)) for width in widths]) == shown
    assert [len(line) for line in capsys.readouterr().out.splitlines()] == [widths[shown]] * 4


def test_a_build_into_a_directory_with_brackets_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    counts = dict.fromkeys(
        ("lines/read", "lines/kept", "examples/train", "examples/validation", "examples/test", "queries", "items"), 1
    )
    made = Manifest(
        stage="dataset", run_id="r", spec=load_spec("wikispeedia-links").model_dump(mode="json"), counts=counts
    )
    print_report(made, "runs/[old]/a[/b]", as_json=False)
    assert "Dataset runs/[old]/a[/b]" in " ".join(capsys.readouterr().out.split())


def test_a_shortened_text_leaves_a_terminal_as_it_is() -> None:
    assert shortened("a\x1b[31mb\x9b1Jc\nd\x07\te\x7ff") == "a [31mb 1Jc d e f"
    assert shortened("x" * 120) == "x" * 120
    assert shortened("x" * 121) == "x" * 119 + "…"
