import json
import re
from pathlib import Path

import pytest

from model.comparison.studies import Correction, Ranking, Study, Training
from stage.errors import StageError

CONTEXT = {"dataset": "d1", "spec": "s1"}


def _training(seed: int, *, recall: float = 0.5, tested: bool = False) -> Training:
    ranking = Ranking(metrics={"overall": {"recall@50": recall}, "cold": {"recall@50": None}}, top_50="")
    settings = {"ssl.alpha": 0.3, "ssl.complement": False, "ssl.augmentation": "cfm", "train.weight_decay": 1.0}
    return Training(settings=settings, seed=seed, validation=ranking, test=ranking if tested else None)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    found = Study(str(tmp_path / "cfm.json"), context=CONTEXT)
    found.add(_training(100))
    found.add(_training(0, tested=True))
    found.choose(_training(0).settings)
    return found


def test_finds_what_it_kept(study: Study) -> None:
    again = Study(study.path, context=CONTEXT)
    assert again.trainings == study.trainings
    assert again.find(_training(0).settings, 100) == _training(100)
    assert again.find(_training(0).settings, 100, tested=True) is None
    assert again.find(_training(0).settings, 0, tested=True) == _training(0, tested=True)
    assert again.find({**_training(0).settings, "ssl.alpha": 1.0}, 0) is None
    assert again.reported() == [_training(0, tested=True)]


def test_what_is_reported_is_by_seed_whichever_ended_first(study: Study) -> None:
    for seed in (2, 1):
        study.add(_training(seed, tested=True))
    assert [training.seed for training in study.reported()] == [0, 1, 2]


def test_has_a_line_for_each_training(study: Study) -> None:
    lines = Path(study.path).read_text().splitlines()
    assert [line.startswith('{"settings"') for line in lines] == [False, True, True, False]


@pytest.mark.parametrize("bytes_left", [0, 10, 200, -2])
def test_a_truncated_file_is_named_and_refused(study: Study, bytes_left: int) -> None:
    whole = Path(study.path).read_bytes()
    Path(study.path).write_bytes(whole[:bytes_left])
    with pytest.raises(StageError, match=rf"^{re.escape(study.path)}: not a whole study: .*; restore it, or delete it"):
        Study(study.path, context=CONTEXT)


def test_without_a_context_it_is_the_file_s(study: Study, tmp_path: Path) -> None:
    found = Study(study.path)
    assert (found.context, found.trainings) == (CONTEXT, study.trainings)
    with pytest.raises(StageError, match=r"none\.json"):
        Study(str(tmp_path / "none.json"))


def test_a_changed_number_is_noticed(study: Study) -> None:
    path = Path(study.path)
    path.write_text(path.read_text().replace('"recall@50":0.5', '"recall@50":0.6'))
    with pytest.raises(StageError, match=rf"^{re.escape(study.path)}: its content was changed"):
        Study(study.path)


def test_trainings_on_another_dataset_are_refused(study: Study) -> None:
    for context, named in (({"dataset": "0123456789abcdef"}, "0123456789ab"), ({}, "none")):
        with pytest.raises(
            StageError, match=f"expected trainings of this dataset, {named}, found those of another, d1; the log, or "
        ):
            Study(study.path, context={"spec": "s1", **context})


WITHOUT_COLD_ITEMS = (
    '{"format_version": 1, "digest": "c704792d3dd792942161f0697dc90636ec061a410c4505eb241aae5c93e5760e", '
    '"context": {"dataset": "d1", "spec": "s1"}, "chosen": {"ssl.alpha": 0}, "trainings": [\n'
    '{"settings":{"ssl.alpha":0},"seed":0,"steps":8,"best_step":4,"cpu_seconds":1.5,"validation":{"metrics":{"overall":'
    '{"recall@50":0.5}},"top_50":"x","last_ranks":null},"test":{"metrics":{},"top_50":"x","last_ranks":"y"},'
    '"failure":null}\n]}\n'
)


def test_of_a_spec_without_cold_items_a_file_has_nothing_of_them(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_text(WITHOUT_COLD_ITEMS)
    study = Study(str(path), context=CONTEXT)
    assert study.reported()[0].corrections is None
    study.choose({"ssl.alpha": 1})
    study.choose({"ssl.alpha": 0})
    assert path.read_text() == WITHOUT_COLD_ITEMS


def test_what_is_known_of_cold_items_is_kept(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "plain.json"), context=CONTEXT)
    ranking = Ranking(metrics={}, top_50="", last_ranks="a", cold_last_ranks="b")
    study.add(Training(settings={}, seed=0, test=ranking, corrections={"0.0": Correction(shift=0.25, test=ranking)}))
    assert Study(study.path, context=CONTEXT).trainings == study.trainings


def test_a_training_that_came_to_nothing_counts_as_done_and_as_nothing(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "cfm.json"), context=CONTEXT)
    study.add(Training(settings={"train.learning_rate": 9.0}, seed=0, failure="the loss was not finite"))
    found = study.find({"train.learning_rate": 9.0}, 0, tested=True)
    assert found is not None
    assert found.recall() == 0
    study.choose({"train.learning_rate": 9.0})
    assert study.reported() == []
    assert json.loads(Path(study.path).read_text())["chosen"] == {"train.learning_rate": 9.0}
