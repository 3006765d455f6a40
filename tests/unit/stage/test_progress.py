"""Progress for a log file, whole lines on stderr alone; and on a terminal."""

import io
import sys
import time

from stage.progress import Counters, bar


def test_a_bar_in_a_log_is_whole_lines_on_stderr(capsys):
    with bar(total=10, unit="steps", description="train", initial=2) as shown:
        shown.update(8)
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    assert err.endswith("\n")
    assert "train" in err.splitlines()[-1]
    assert "10.0/10.0" in err.splitlines()[-1]


def test_a_bar_is_not_shown_of_what_is_done_before_its_delay(capsys, monkeypatch):
    for delay in (60, 0):
        with bar(total=10, unit="files", description="read", delay=delay) as shown:
            shown.update(10)
        assert ("read: 100%" in capsys.readouterr().err) == (delay == 0)
    monkeypatch.setattr("stage.progress.SECONDS_BETWEEN_LOG_LINES", 0)
    with bar(total=10, unit="files", description="read", delay=0.1) as shown:
        shown.update(4)
        assert capsys.readouterr().err == ""
        time.sleep(0.2)
        shown.update(6)
        assert "read: 100%" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_is_one_line_which_goes_at_the_end(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with bar(total=10, unit="steps", description="train") as shown:
        shown.update(8)
        assert "train" in sys.stderr.getvalue()
    *_, last, end = sys.stderr.getvalue().split("\r")
    assert (last.strip(), end) == ("", "")
    assert "\n" not in sys.stderr.getvalue()


def test_counters_in_a_log_are_a_line_now_and_then(capsys, monkeypatch):
    def shown():
        counters = Counters()
        with counters.show("build"):
            counters.add("lines", 1)
            counters.add("lines", 2)
        return [line.partition(", ")[2] for line in capsys.readouterr().err.splitlines()]

    assert shown() == ["", "lines 3"]
    monkeypatch.setattr("stage.progress.SECONDS_BETWEEN_LOG_LINES", 0)
    assert shown()[:3] == ["", "lines 1", "lines 3"]


def test_counters_show_what_was_added(capsys):
    counters = Counters()
    with counters.show("build"):
        counters.add("lines", 1000)
        counters.add("pairs", 3)
        counters.add("lines", 500)
    err = capsys.readouterr().err
    assert "lines 1,500, pairs 3" in err.splitlines()[-1]


def test_counters_begin_anew_where_they_are_shown_and_what_came_before_counts_nothing(capsys):
    counters = Counters()
    counters.add("lines", 1)
    with counters.show("build"):
        counters.add("pairs", 3)
    with counters.show("again"):
        counters.add("pairs", 1)
    shown = [line.split(maxsplit=2) for line in capsys.readouterr().err.splitlines() if "pairs" in line]
    assert [(name, counts) for name, _, counts in shown] == [("build", "pairs 3"), ("again", "pairs 1")]
