"""What readers make of the directory of published models."""

from pathlib import Path
from typing import Any

import pytest

from stage.errors import StageError, StorageError
from stage.manifest import Manifest
from stage.published import (
    Published,
    Record,
    current_number,
    given_up,
    nothing_published,
    numbers,
    published_models,
    served_models,
    served_number,
    trained_on,
)


def put(
    base: Path,
    number: int,
    *,
    model: str = "m",
    dataset: str = "d",
    options: dict[str, str | None] | None = None,
    **record: Any,
) -> None:
    inputs = {"model": model, "dataset": dataset}
    Manifest(stage="export", run_id="r", inputs=inputs, job_options=options or {}).write(str(base / str(number)))
    made = Record(number=number, run_id="r", **record)
    (base / str(number) / "published.json").write_text(made.model_dump_json())


def export(options: dict[str, str | None]) -> Manifest:
    return Manifest(stage="export", run_id="r", job_options=options)


@pytest.mark.parametrize(
    ("mine", "theirs", "later"),
    [
        ({"data_end": "2026-01-02"}, {"data_end": "2026-01-01"}, ("2026-01-02", "2026-01-01")),
        ({"data_end": "2026-01-01"}, {"data_end": "2026-01-02"}, None),
        ({"data_end": "2026-01-01T00:00:00Z"}, {"data_end": "2026-01-01"}, None),
        ({"data_end": "2026-01-02T00:00:00+05:00"}, {"data_end": "2026-01-01T20:00:00Z"}, None),  # 19:00 in UTC
        ({"data_end": "2026-01-02"}, {}, None),
        ({}, {"data_end": "2026-01-02"}, None),
        ({"data_end": "2026-01-02"}, {"data_end": None}, None),
        # Items come from the model's own dataset unless another one is named.
        (
            {"data_end": "2026-01-01", "items_end": "2026-01-03"},
            {"data_end": "2026-01-02"},
            ("2026-01-03", "2026-01-02"),
        ),
        (
            {"data_end": "2026-01-02"},
            {"data_end": "2026-01-02", "items_end": "2026-01-01"},
            ("2026-01-02", "2026-01-01"),
        ),
        ({"data_end": "2026-01-01", "items_end": None}, {"data_end": "2026-01-01"}, None),
    ],
)
def test_which_of_two_has_later_data(
    mine: dict[str, str | None], theirs: dict[str, str | None], later: tuple[str, str] | None
) -> None:
    found = Published("P/1", Record(number=1, run_id="r"), export(mine))
    assert found.later_ends(export(theirs)) == later


def test_a_directory_where_nothing_is_published_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    assert nothing_published(str(tmp_path)) == f"nothing is published in {tmp_path}"
    missing = f"{tmp_path}/missing"
    assert nothing_published(missing) == f"nothing is published in {missing}, which is not there"
    assert served_number(str(tmp_path)) is None
    assert served_models(str(tmp_path)) == []
    (tmp_path / "CURRENT").write_text("7\n")
    assert nothing_published(str(tmp_path)) is None


def test_of_what_is_no_number_the_beginning_is_shown(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("1" * 39 + "x" + "y" * 9)
    with pytest.raises(StageError) as caught:
        current_number(str(tmp_path))
    shown = f"{tmp_path}/CURRENT: expected the number of a published model, found b'{'1' * 39}x'"
    assert str(caught.value) == shown


def test_numbers_are_those_that_our_names_may_have_in_order(tmp_path: Path) -> None:
    for name in ("10", "9", "09", "011", "²", "1x", "-1", ".publishing"):
        (tmp_path / name).mkdir()
    assert numbers(str(tmp_path)) == [9, 10]


def test_the_last_rollback_above_current_is_served_though_it_was_killed_before_it_said_so(tmp_path: Path) -> None:
    for number, back_to in ((1, None), (2, 1), (3, None), (4, 1), (5, 3), (6, None)):
        put(tmp_path, number, rolled_back_to=back_to)
    (tmp_path / "CURRENT").write_text("3\n")
    assert served_number(str(tmp_path)) == 5
    assert [found.number for found in served_models(str(tmp_path))] == [5, 4, 3, 2, 1]
    assert [found.number for found in published_models(str(tmp_path))] == [6, 5, 4, 3, 2, 1]
    (tmp_path / "CURRENT").write_text("6\n")
    assert served_number(str(tmp_path)) == 6


def test_a_damaged_number_is_left_out_unless_it_is_the_one_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 3):
        put(tmp_path, number)
    (tmp_path / "2" / "published.json").unlink()
    (tmp_path / "4").mkdir()  # half a publish
    (tmp_path / "CURRENT").write_text("3")
    assert [found.number for found in served_models(str(tmp_path))] == [3, 1]
    said = f"{tmp_path}/2/published.json: expected the record of a published model, found nothing"
    assert set(capsys.readouterr().err.splitlines()) == {f"{said}; {tmp_path}/2 is left out"}
    for served in ("2", "4"):
        (tmp_path / "CURRENT").write_text(served)
        with pytest.raises(
            StageError, match=f"^{tmp_path}/{served}: expected a whole model, since it is the one served"
        ):
            served_models(str(tmp_path))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "CURRENT").write_text("1")
    with pytest.raises(StageError, match="/empty/1: expected a whole model"):
        served_models(f"{tmp_path}/empty")


def test_what_cannot_be_read_is_not_taken_for_damaged(tmp_path: Path) -> None:
    put(tmp_path, 1)
    (tmp_path / "1" / "published.json").unlink()
    (tmp_path / "1" / "published.json").mkdir()
    with pytest.raises(StorageError, match=r"/1/published\.json: cannot be read: "):
        published_models(str(tmp_path))


def test_a_model_is_given_up_until_it_is_published_or_gone_back_to_again(tmp_path: Path) -> None:
    put(tmp_path, 1, model="a")
    put(tmp_path, 2, model="b")
    put(tmp_path, 3, model="a", rolled_back_to=1, rolled_back_from=("b", "of a number that is gone"))
    assert given_up(published_models(str(tmp_path))) == {"b", "of a number that is gone"}
    put(tmp_path, 4, model="b")
    assert given_up(published_models(str(tmp_path))) == {"of a number that is gone"}


def test_what_a_published_model_was_trained_on_its_manifest_says_unless_another_is_there_now(tmp_path: Path) -> None:
    base, place = tmp_path / "published", str(tmp_path / "model")
    a, b = (Manifest(stage="dataset", run_id="r", content={"x": x}) for x in "ab")
    trained = Manifest(stage="model", run_id="r", inputs={"dataset": a.content_digest}, content={"weights": "1"})
    trained.write(place)
    # The gate refused a night's model, so its export is of yesterday's model and today's items.
    put(base, 1, model=trained.content_digest, dataset=b.content_digest, options={"model": place})
    found = trained_on(str(base), a)
    assert (found.number if found else None, trained_on(str(base), b)) == (1, None)
    trained.model_copy(update={"content": {"weights": "2"}}).write(place)
    found = trained_on(str(base), b)
    assert (found.number if found else None, trained_on(str(base), a)) == (1, None)
