"""Words and n-grams in Arrow, by hand and against the TFT graph."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from features.preprocessing import _values
from features.spec.features import TextFeature
from features.tokens import ngrams, words

EVERY_CHARACTER = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]


def joined(tokens):
    return pc.binary_join(tokens, " ")


def graph_values(texts, widths):
    feature = TextFeature(kind="text", ngrams=widths)
    values = tf.constant([text.encode() for text in texts], tf.string)
    rows = tf.range(len(texts), dtype=tf.int64)
    return _values(tf.SparseTensor(tf.stack([rows, tf.zeros_like(rows)], 1), values, [len(texts), 1]), feature)


def graph_tokens(texts, widths):
    found = graph_values(texts, widths)
    tokens = [[] for _ in texts]
    for (row, place), token in zip(found.indices.numpy(), found.values.numpy(), strict=True):
        assert place == len(tokens[row])
        tokens[row].append(token.decode())
    return tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Quick  brown-fox", ["the", "quick", "brown", "fox"]),
        ("", []),
        (" \t\n", []),
        ("...!?", []),
        (None, []),
        ("it's 3.14", ["it", "s", "3", "14"]),
        ("ÀÉ straße ΔΣ", ["àé", "straße", "δσ"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδός"]),
        ("e\u0301a", ["e\u0301a"]),
        ("İstanbul", ["istanbul"]),
        ("日本語 テスト", ["日本語", "テスト"]),
        ("a\x00b", ["a", "b"]),
        ("x²Ⅻ", ["x²ⅻ"]),
        ("a\u00a0b\u2028c", ["a", "b", "c"]),
        ("🙂ok", ["ok"]),
        ("I \u2764\ufe0f you", ["i", "you"]),  # a heart, and that it is to be a picture
        ("\U0001f468\u200d\u2764\ufe0f\u200d\U0001f468 a", ["a"]),  # three pictures that are joined to one
        ("\u845b\U000e0100 \u845b", ["\u845b", "\u845b"]),
        ("\u00e9 e\u0301", ["\u00e9", "e\u0301"]),
    ],
)
def test_words_are_lower_case_runs_of_letters_marks_and_digits(text, expected):
    assert words(pa.array([text], pa.string())).to_pylist() == [expected]


def test_n_grams_stand_width_by_width():
    tokens = words(pa.array(["a b c", None, "d", "e f"]))
    assert ngrams(tokens, [1, 2]).to_pylist() == [["a", "b", "c", "a b", "b c"], [], ["d"], ["e", "f", "e f"]]
    assert ngrams(tokens, [3, 1]).to_pylist() == [["a b c", "a", "b", "c"], [], ["d"], ["e", "f"]]
    assert ngrams(tokens, [2]).to_pylist() == [["a b", "b c"], [], [], ["e f"]]


def test_a_slice_and_nothing_have_their_own_words_alone():
    texts = pa.array(["x y", "a b", None, "c"])
    assert ngrams(words(texts.slice(1, 2)), [1, 2]).to_pylist() == [["a", "b", "a b"], []]
    assert ngrams(words(texts).slice(3), [1, 2]).to_pylist() == [["c"]]
    assert ngrams(words(texts.slice(0, 0)), [1, 2]).to_pylist() == []


def test_arrow_and_the_graph_agree_on_every_character():
    texts = [f"a{c}B" if c == c.lower() else f"a{c}B A{c}" for c in EVERY_CHARACTER]  # last in a word ς stands for Σ
    found = graph_values(texts, [1])
    graph = pa.array(found.values.numpy(), pa.binary()).cast(pa.string())
    rows = np.bincount(found.indices.numpy()[:, 0], minlength=len(texts))
    graph = pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(rows)).astype(np.int32)), graph)
    arrow = ngrams(words(pa.array(texts)), [1])
    differ = np.flatnonzero(pc.not_equal(joined(arrow), joined(graph)).to_numpy(zero_copy_only=False))
    assert [hex(ord(EVERY_CHARACTER[place])) for place in differ] == []
    assert len(arrow.flatten()) > len(texts)


EMOJI = "I \u2764\ufe0f you \U0001f468\u200d\u2764\ufe0f\u200d\U0001f468"
TEXTS = [EMOJI, "one two three four", "", "Solo", "  a  b ", "x-y-z", "ǅ ﬁ ẞ İI", "ΟΔΟΣ", "IJĮÌÍĨ I\u0300"]


@given(
    st.lists(st.text(max_size=20) | st.text("aB İıß-. \x00\u0301", max_size=20), min_size=1, max_size=5),
    st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
)
@example(TEXTS, [2, 1])
@example(TEXTS, [3, 1, 2])
def test_arrow_and_the_graph_agree_on_n_grams(texts, widths):
    assert ngrams(words(pa.array(texts)), widths).to_pylist() == graph_tokens(texts, widths)


def test_arrow_and_the_graph_agree_whatever_the_machine_s_language():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__, "-k", "on_n_grams"]
    subprocess.run(command, env=os.environ | {"LC_ALL": "tr_TR.UTF-8"}, check=True)  # its small I has no dot


def test_a_selector_of_a_form_parts_no_word():
    assert words(pa.array(["\u845b\U000e0101\u57ce"])).to_pylist() == [["\u845b\u57ce"]]
