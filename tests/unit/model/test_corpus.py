"""The corpus in memory."""

from model.network.corpus import read_corpus


def test_the_corpus_is_every_item_once_ordered_by_id(tiny_dataset):
    corpus = read_corpus(tiny_dataset)
    assert corpus.ids == [f"item-{i:03d}".encode() for i in range(60)]
    assert corpus.features["item/page"].to_list() == [[i] for i in range(60)]
    assert corpus.features["item/words"][7].numpy().tolist() == []
    assert corpus.train_count.sum() == 500
    assert corpus.train_count[-5:].tolist() == [0] * 5
