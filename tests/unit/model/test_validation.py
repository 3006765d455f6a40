"""What a validation measures, by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_specs import training_spec

from features.spec.evaluate import Evaluate
from model.network.corpus import read_corpus
from model.network.two_tower import TwoTower
from model.ranking.split_pairs import read_split_pairs
from model.training.mask_groups import read_mask_groups
from model.training.validation import _views, alignment, make_validation, uniformity
from stage.errors import StageError


def test_alignment_by_hand():
    # squared distances 0 and (1 - 0.6)^2 + 0.8^2 = 0.8
    first = np.array([[0, 1], [1, 0]], np.float32)
    second = np.array([[0, 1], [0.6, 0.8]], np.float32)
    assert alignment(first, second) == pytest.approx(0.4)


def test_uniformity_by_hand():
    # pairs at squared distance 2, 4 and 2: log((2 e^-4 + e^-8) / 3)
    items = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    assert uniformity(items) == pytest.approx(np.log((2 * np.exp(-4) + np.exp(-8)) / 3))
    assert uniformity(np.ones([3, 1], np.float32)) == pytest.approx(0)
    assert uniformity(items[:1]) is None
    # Towers that don't normalise may put items so far apart that every exp(-2 d^2) is 0: JSON has no word for its log.
    assert uniformity(100 * items) is None


def test_measures_the_weights_as_they_are(tiny_dataset, monkeypatch):
    spec = tiny_dataset.spec
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    corpus, groups = read_corpus(tiny_dataset), read_mask_groups(tiny_dataset, spec.ssl)
    validate = make_validation(two_tower, tiny_dataset, corpus=corpus, spec=spec, groups=groups)
    before = validate()
    assert validate() == before
    table = two_tower.embeddings.tables["page"]
    assert before["row_norm/page"] == pytest.approx(np.linalg.norm(table.numpy(), axis=1).mean(), rel=1e-5)
    everything = two_tower.encode_items(corpus.features).numpy()
    squares = ((everything[:, None] - everything[None]) ** 2).sum(axis=2)[np.triu_indices(60, 1)]
    assert before["uniformity"] == pytest.approx(np.log(np.exp(-2 * squares).mean()), rel=1e-4)
    table.assign(table * 3)
    after = validate()
    assert after["row_norm/page"] == pytest.approx(3 * before["row_norm/page"], rel=1e-5)
    assert after["uniformity"] != before["uniformity"]
    monkeypatch.setattr("model.training.validation._ROWS", 7)  # of 60 that is every ninth
    norms = np.linalg.norm(table.numpy()[[0, 9, 18, 27, 36, 45, 54]], axis=1)
    assert validate()["row_norm/page"] == pytest.approx(norms.mean(), rel=1e-5)
    monkeypatch.setattr("model.training.validation._ITEMS", 7)
    of_few = make_validation(two_tower, tiny_dataset, corpus=corpus, spec=spec, groups=groups)()
    few = two_tower.encode_items(corpus.features).numpy()[[0, 9, 19, 29, 39, 49, 59]]
    squares = ((few[:, None] - few[None]) ** 2).sum(axis=2)[np.triu_indices(7, 1)]
    assert of_few["uniformity"] == pytest.approx(np.log(np.exp(-2 * squares).mean()), rel=1e-4)


def test_warns_where_no_query_s_ranking_is_deeper_than_the_cut_off(tiny_dataset, monkeypatch, capsys):
    spec = training_spec(tiny_dataset, "ssl.alpha=0")
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    corpus = read_corpus(tiny_dataset)
    found = read_split_pairs(tiny_dataset, "validation", item_ids=corpus.ids, settings=spec.evaluate)
    assert (60 - found.excluded.toarray().sum(axis=1)).max() == 55  # every query knows five of them at least
    for cut_off, said in (
        (54, ""),
        (
            55,
            "warning: no query has more than 55 items ranked, all of which are among the first 55 of any ranking, so "
            "nothing can be chosen by Recall@55: the best validation, and patience, go by Recall@10\n",
        ),
    ):
        monkeypatch.setattr("model.ranking.cut_off.CUT_OFF", cut_off)
        make_validation(two_tower, tiny_dataset, corpus=corpus, spec=spec, groups=None)
        assert capsys.readouterr().err == said


def test_recall_is_that_of_as_many_queries_as_are_asked_for(tiny_dataset):
    corpus = read_corpus(tiny_dataset)
    settings = Evaluate(max_queries=10, exclude_known=False)
    pairs = read_split_pairs(tiny_dataset, "validation", item_ids=corpus.ids, settings=settings)
    plain = tiny_dataset.spec.ssl.model_copy(update={"alpha": 0.0})
    train = tiny_dataset.spec.train.model_copy(update={"validation_queries": 10})
    evaluate = tiny_dataset.spec.evaluate.model_copy(update={"exclude_known": False})
    spec = tiny_dataset.spec.model_copy(update={"train": train, "ssl": plain, "evaluate": evaluate})
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    found = make_validation(two_tower, tiny_dataset, corpus=corpus, spec=spec, groups=None)()
    scores = two_tower.encode_queries(pairs.queries).numpy() @ two_tower.encode_items(corpus.features).numpy().T
    scores[pairs.excluded.toarray()] = -np.inf
    own = scores[pairs.query_index, pairs.item_index]
    above = (scores[pairs.query_index] > own[:, np.newaxis]).sum(axis=1)
    assert len(pairs.query_ids) == 10
    assert 0 < (above < 10).mean() < 1
    assert found["recall@10"] == pytest.approx((above < 10).mean())
    # Of the 60 items 55 were seen in training, so the 5 most frequent are the head.
    is_head = np.isin(pairs.item_index, np.argsort(-corpus.train_count, kind="stable")[:5])
    by_slice = {"": (above < 50).mean(), "/head": (above[is_head] < 50).mean(), "/tail": (above[~is_head] < 50).mean()}
    assert len(set(by_slice.values())) == 3
    assert {name: found[f"recall@50{name}"] for name in by_slice} == pytest.approx(by_slice)


def test_a_damaged_validation_split_is_one_line(make_dataset):
    dataset = make_dataset()
    (path,) = dataset.example_files("validation")
    Path(path).write_bytes(bytes(100))
    two_tower, corpus = TwoTower(dataset.spec, dataset.manifest.vocabularies), read_corpus(dataset)
    with pytest.raises(StageError, match=r"/dataset: a record can't be read \(.*\); --verify names a damaged file"):
        make_validation(two_tower, dataset, corpus=corpus, spec=dataset.spec, groups=None)


def test_alignment_is_of_the_two_views_of_every_item(tiny_dataset):
    """Of two views that leave no choice: one group of masks, and no value dropped."""
    ssl = {"mask_groups": {"words": ["size"]}, "dropout_rate": 0.0}
    spec = tiny_dataset.spec.model_copy(update={"ssl": tiny_dataset.spec.ssl.model_copy(update=ssl)})
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    corpus = read_corpus(tiny_dataset)
    groups = read_mask_groups(tiny_dataset, spec.ssl)
    found = make_validation(two_tower, tiny_dataset, corpus=corpus, spec=spec, groups=groups)()
    first, second = (
        two_tower.encode_items(
            {key: values[:, :0] if key in masked else values for key, values in corpus.features.items()}
        ).numpy()
        for masked in (("item/words", "item/size"), ("item/page", "item/topic"))
    )
    assert found["alignment"] == pytest.approx(((first - second) ** 2).sum(axis=1).mean(), rel=1e-5)


def test_each_item_s_views_have_a_mask_of_their_own(tiny_dataset):
    items = read_corpus(tiny_dataset).features
    towers = SimpleNamespace(item_features=tiny_dataset.features("item"))

    def views(*keys):
        spec = training_spec(tiny_dataset, *keys)
        return _views(items, towers, spec=spec, groups={"page": ["page"], "topic": ["topic"]})

    def masks(*keys):
        first = views("ssl.augmentation=cfm", *keys)[0]
        return np.stack([first[key].row_lengths() for key in ("item/page", "item/topic")], axis=1).tolist()

    assert set(map(tuple, masks())) == {(0, 1), (1, 0)}
    assert masks() == masks() != masks("train.seed=1")
    assert views("ssl.augmentation=spread_out") == []


def test_without_a_self_supervised_task_there_is_no_alignment(tiny_dataset):
    spec = training_spec(tiny_dataset, "ssl.alpha=0")
    two_tower = TwoTower(spec, tiny_dataset.manifest.vocabularies)
    found = make_validation(two_tower, tiny_dataset, corpus=read_corpus(tiny_dataset), spec=spec, groups=None)()
    assert "alignment" not in found
    assert "uniformity" in found
