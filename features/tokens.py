"""Words and n-grams of text, the same in Arrow (for mutual information and statistics) as in the TFT graph.

Both sides run RE2 over UTF-8; `features.preprocessing` applies these very patterns. Where the two libraries' Unicode
tables disagree, on the lower case of 97 characters and on one block of letters, the characters are folded before, and
so are capitals whose lower case TensorFlow lets depend on what stands beside them, or on the machine's language.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.ranges import offsets

FOLDS = (
    ("İ", "i"),
    ("\u03a3", "\u03c3"),  # capital sigma: else one of two, by whether it ends the word
    # Else Turkish, Azerbaijani and Lithuanian ones, where LANG says so.
    *zip("IJĮÌÍĨ", "ijįìíĩ", strict=True),
    # NUL; capitals younger than one of the Unicode tables: Vithkuqi and Garay, some Latin and Glagolitic ones; and the
    # ideographs of extension I, which one of them doesn't know for letters.
    (
        "[\\x00\u1c89\u2c2f\ua7c0\ua7cb-\ua7cc\ua7ce\ua7d0\ua7d2\ua7d4\ua7d6\ua7d8\ua7da\ua7dc"
        "\U00010570-\U00010595\U00010d50-\U00010d65\U00016ea0-\U00016eb8\U0002ebf0-\U0002ee5d]",
        " ",
    ),
    # Variation selectors: marks to Unicode, but an emoji's leaves nothing else for a word.
    ("[\ufe00-\ufe0f\U000e0100-\U000e01ef]", ""),
)
"""(pattern, replacement), applied in order before lower-casing."""

NOT_A_WORD = r"[^\p{L}\p{M}\p{N}]+"
"""What stands between two words, after lower-casing: anything but letters, marks and digits."""


def words(texts: pa.Array) -> pa.Array:
    """Lower-case words of each text.

    Args:
        texts: string [n]; null counts as empty.

    Returns:
        list<string> [n], no nulls.
    """
    texts = pc.fill_null(texts, "")
    for pattern, replacement in FOLDS:
        texts = pc.replace_substring_regex(texts, pattern, replacement)
    spaced = pc.replace_substring_regex(pc.utf8_lower(texts), NOT_A_WORD, " ")
    trimmed = pc.ascii_trim(spaced, " ")
    split = pc.split_pattern(trimmed, " ")
    empty = pa.scalar([], split.type)
    return pc.if_else(pc.equal(trimmed, ""), empty, split)


def ngrams(tokens: pa.Array, widths: list[int]) -> pa.Array:
    """N-grams of each row's words, joined by a space: all of the first width, then all of the next.

    Args:
        tokens: list<string> [n], no nulls.
        widths: Lengths in words.

    Returns:
        list<string> [n].
    """
    flat, counts = tokens.flatten(), pc.list_value_length(tokens).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.repeat(np.arange(len(tokens)), counts)
    left = np.repeat(np.cumsum(counts), counts) - np.arange(len(flat))  # words from here to the end of the row
    grams, rows_by_width = [], []
    for width in widths:
        begins = np.flatnonzero(left >= width)
        parts = [flat.take(pa.array(begins + i)) for i in range(width)]
        grams.append(pc.binary_join_element_wise(*parts, " ") if width > 1 else parts[0])
        rows_by_width.append(rows[begins])
    gram_rows = np.concatenate(rows_by_width)
    order = np.argsort(gram_rows, kind="stable")
    bounds = offsets(np.bincount(gram_rows, minlength=len(tokens))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(bounds), pa.concat_arrays(grams).take(pa.array(order)))
