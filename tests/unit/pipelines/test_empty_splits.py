"""Splits that the spec asks for and that are left without a pair: said before anything is trained."""

import pytest
from small_jobs import small_job
from small_specs import small_spec

from features.spec.spec import Spec
from pipelines.aggregation.input_checks import check_input
from pipelines.build_warnings import print_warnings
from stage.errors import StageError
from stage.manifest import Manifest

COUNTS = {
    "lines/read": 1_000, "filtered/duplicate": 5, "pairs/train": 900, "pairs/validation": 95, "items/read": 1
}  # fmt: skip


def spec_of(unit: str = "s", **split: object) -> Spec:
    return small_spec(log={"timestamp": "at", "timestamp_unit": unit}, split=split)


def test_a_test_that_starts_after_the_log_fails_the_build() -> None:
    by_time = spec_of(method="time", test_start="2030-01-01", validation_seconds=9)
    with pytest.raises(StageError) as caught:
        check_input(COUNTS, small_job(by_time))
    assert str(caught.value) == (
        "no test pair is left of 1,000 lines (rejected: none; filtered: duplicate 5); "
        "check --test-start or split.test_start"
    )
    with pytest.raises(StageError) as caught:
        check_input(COUNTS | {"lines/before_1990": 995}, small_job(by_time))
    assert str(caught.value) == (
        "no test pair is left of 1,000 lines (rejected: none; filtered: duplicate 5); "
        "check --test-start or split.test_start; sources.interactions.timestamp_unit: expected times of our days, but "
        "995 of 1,000 lines are of before 1990; seconds that are read as ms, or ms as us, are times of 1970"
    )
    others = {"in_test\tother\tview": 80, "in_test\tother\tfetch": 90, "in_test\tother\ta": 80, "in_test\tother\tx": 1}
    with pytest.raises(StageError) as caught:
        check_input(COUNTS | others, small_job(by_time))
    assert str(caught.value) == (
        "no test pair is left of 1,000 lines (rejected: none; filtered: duplicate 5); "
        "expected events of sources.interactions.positive_events from the test's start on, but the good lines there "
        "have others alone, most often 'fetch', 'a', 'view'; name those that count now, beside the earlier"
    )
    with pytest.raises(StageError, match=r"; check --test-start or split.test_start$"):
        check_input(COUNTS | others | {"in_test\tpositive": 1}, small_job(by_time))
    short = {"filtered/short_history": 95, "filtered/not_positive": 9}
    with pytest.raises(StageError, match=r"; check session.min_history, session.gap and session.window$"):
        check_input(COUNTS | {"lines/read": 109} | short, small_job(by_time))
    check_input(COUNTS | {"pairs/test": 1}, small_job(by_time))
    check_input(COUNTS, small_job(spec_of()))  # a small log may have none


OTHERS = {"other\tview": 20, "other\tclick": 58, "other\ta": 20, "other\tx": 1}
POSITIVE_EVENTS = "check sources.interactions.positive_events and the split"
SESSION = "check session.min_history, session.gap and session.window"


@pytest.mark.parametrize(
    ("counts", "cure"),
    [
        ({"filtered/not_positive": 100}, POSITIVE_EVENTS),
        (
            {"filtered/not_positive": 98, "rejected/bad_query_id": 2, "positive/clicked": 0} | OTHERS,
            "expected events of sources.interactions.positive_events, but the good lines have others alone, most often "
            "'click', 'a', 'view'; name those that count, upper and lower case as they are",
        ),
        ({"filtered/not_positive": 98, "filtered/duplicate": 2, "positive/buy": 1} | OTHERS, POSITIVE_EVENTS),
        (
            {"filtered/not_positive": 80, "filtered/outside_window": 19, "rejected/bad_query_id": 1},
            "compare the unit of their times with sources.interactions.timestamp_unit (us), and their days with "
            "--data-start to --data-end",
        ),
        # Where the window holds some lines, it is another step that leaves none of them.
        (
            {"filtered/outside_window": 80, "rejected/unknown_item": 20},
            "check that column item_id of the item table has ids exactly as column item_id of the log has them",
        ),
        ({"filtered/outside_window": 80, "filtered/pair_of_earlier_split": 1, "pairs/test": 19}, POSITIVE_EVENTS),
        (
            {"rejected/unknown_item": 100, "lines/before_1990": 100},
            "check that column item_id of the item table has ids exactly as column item_id of the log has them; "
            "sources.interactions.timestamp_unit: expected times of our days, but 100 of 100 lines are of before 1990; "
            "seconds that are read as ms, or ms as us, are times of 1970",
        ),
        ({"filtered/not_positive": 60, "filtered/duplicate": 20, "filtered/short_history": 20}, SESSION),
        # A user's lines beyond max_lines are of the window, and have times as the others do.
        ({"filtered/outside_window": 50, "filtered/over_max_lines": 46, "filtered/short_history": 4}, SESSION),
        ({"filtered/over_max_lines": 60, "filtered/short_history": 40, "lines/before_1990": 40}, SESSION),
    ],
)
def test_no_training_pair_is_told_by_the_step_that_left_none(counts: dict[str, int], cure: str) -> None:
    spec = spec_of("us")
    spec = spec.model_copy(update={"sources": spec.sources.model_copy(update={"max_reject_ratio": 1})})
    with pytest.raises(StageError) as caught:
        check_input({"lines/read": 100, "items/read": 1} | counts, small_job(spec))
    assert str(caught.value).startswith("no training pair is left of 100 lines (rejected: ")
    assert str(caught.value).endswith(f"); {cure}")


@pytest.mark.parametrize(
    ("split", "empty", "warned"),
    [
        ({}, [], []),
        ({}, ["validation", "test"], ["validation", "test"]),
        ({"validation": 0}, ["validation"], []),
        ({"test": 0}, ["validation", "test"], ["validation"]),
        ({"method": "time", "validation_seconds": 1}, ["validation"], ["validation"]),
    ],
)
def test_an_empty_split_is_warned_of(capsys, split, empty, warned) -> None:
    counts = {f"examples/{name}": 0 if name in empty else 7 for name in ("train", "validation", "test")}
    spec = spec_of(**split).model_dump(mode="json")
    print_warnings(Manifest(stage="dataset", run_id="r", spec=spec, counts=counts), "out")
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split()[:3] for line in said.err.splitlines()] == [["warning:", "no", name] for name in warned]
