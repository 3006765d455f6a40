"""Histories of session mode: from raw ids to codes inside a graph, between vocabularies, and as items of the corpus.

Shapes: B examples, N items of the corpus.
"""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import tensorflow as tf

from features.dataset import history_vocabulary
from features.lookup import index_among
from features.spec.spec import Spec
from features.vocabularies import vocabulary_file
from model.network.corpus import Corpus
from model.network.kept_values import keep_values
from model.ranking.split_pairs import sparse_flags


class HistoryLookup(tf.Module):
    """The codes of raw histories, as build-dataset encodes them; saved with a graph, it takes its vocabulary along."""

    def __init__(self, transform_directory: str, spec: Spec) -> None:
        """Opens the vocabulary of histories.

        Args:
            transform_directory: The tensorflow-transform output of a dataset or a model.
            spec: Its spec, with a section session.
        """
        super().__init__()
        assert spec.session is not None
        self._max_history = spec.session.max_history
        self._know_all_items = spec.histories_know_all_items
        terms = tf.lookup.TextFileInitializer(
            vocabulary_file(transform_directory, history_vocabulary(spec)),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self._codes = tf.lookup.StaticHashTable(terms, default_value=-1)

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.string, 1, tf.int64)])
    def __call__(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """Looks up the latest `max_history` items of each history; the unknown ones are left out.

        An id that no item table has never came into a training example's history, so it takes no item's place. An item
        that the vocabulary leaves out did; where it leaves any out, the two can't be told apart, and both take a place.

        Args:
            ids: string ragged [B, (items)], the latest last.

        Returns:
            int64 ragged [B, (codes)], what `pair/history` holds.
        """
        codes = ids.with_values(self._codes.lookup(ids.values))
        if self._know_all_items:
            return keep_known(codes)[:, -self._max_history :]
        return keep_known(codes[:, -self._max_history :])


def keep_known(codes: tf.RaggedTensor) -> tf.RaggedTensor:
    """Histories without the codes below 0."""
    return keep_values(codes, codes.values >= 0)


def translate(codes: tf.RaggedTensor, *, source: pa.Array, target: pa.Array) -> tf.RaggedTensor:
    """Codes of one vocabulary as those of another; what the other doesn't know is left out.

    Args:
        codes: int64 ragged [B, (codes)].
        source: Terms of the vocabulary that they are of, binary.
        target: Terms of the other.
    """
    return keep_known(codes.with_values(tf.gather(tf.constant(index_among(source, target)), codes.values)))


def history_items(codes: tf.RaggedTensor, corpus: Corpus, *, spec: Spec) -> sp.csr_array:
    """Which items stand in which history, bool [B, N].

    Args:
        codes: int64 ragged [B, (codes)].
        corpus: The items.
        spec: The dataset's.
    """
    name, _ = spec.history_feature
    item_codes = corpus.features[f"item/{name}"]
    # Of a shared vocabulary some codes are no item's.
    item = np.full(int(np.max(item_codes.values.numpy(), initial=-1)) + 1, -1)
    item[item_codes.values.numpy()] = item_codes.value_rowids().numpy()
    shape = (int(codes.nrows()), len(corpus))
    return sparse_flags(codes.value_rowids().numpy(), item[codes.values.numpy()], shape=shape)
