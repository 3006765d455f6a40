"""Older data is not published over newer: neither a model's nor its items'."""

from published_exports import published


def test_only_the_newest_interval_is_published(make_export, base, publish):
    today, again = make_export("today", "2009-07-31T00:00:00+00:00"), make_export("again", "2009-07-31")
    yesterday = make_export("yesterday", "2009-07-30T00:00:00Z")
    publish(today)
    code, _, err = publish(yesterday)
    assert code == 1
    assert err == (
        f"error: {base}/1: its data ends at 2009-07-31T00:00:00+00:00, after this export's (2009-07-30T00:00:00Z): "
        "only the newest is published; rollback goes back to an older one, which may be exported anew then\n"
    )
    assert (published(base), (base / "CURRENT").read_text()) == ({1: "today"}, "1\n")
    for number, later in enumerate((again, "of a build without an end"), start=2):
        assert publish(later)[0] == 0
        assert (base / "CURRENT").read_text() == f"{number}\n"


def test_no_items_of_an_earlier_day_replace_later_ones_nor_an_older_model_with_them(make_export, publish):
    publish(make_export("served", "2009-07-28", items_end="2009-07-31"))
    older = {"same": ("2009-07-28", "2009-07-30"), "newer": ("2009-07-30",) * 2, "newest": ("2009-08-01", "2009-07-30")}
    for name, ends in older.items():
        code, _, err = publish(make_export(name, ends[0], items_end=ends[1]), "--after", "1")
        assert (code, ": its data ends at 2009-07-31, after this export's (2009-07-30): " in err) == (1, True)
    for name, ends in {"as late": ("2009-07-28", "2009-07-31"), "later": ("2009-08-01", "2009-08-01")}.items():
        assert publish(make_export(name, ends[0], items_end=ends[1]))[0] == 0


def test_no_older_model_replaces_a_newer_one_that_has_items_of_an_earlier_day(make_export, publish):
    publish(make_export("served", "2009-07-31", items_end="2009-07-29"))
    for name, ends in {"late": ("2009-07-30", "2009-07-30"), "served later": ("2009-07-30", "2009-08-01")}.items():
        code, _, err = publish(make_export(name, ends[0], items_end=ends[1]))
        assert (code, ": its data ends at 2009-07-31, after this export's (2009-07-30): " in err) == (1, True)
    assert publish(make_export("with newer items", "2009-07-31", items_end="2009-08-01"))[0] == 0
