"""Tables with fewer rows than terms: each term is the mean of a few rows that hash functions choose.

Two terms then share a row now and then, but hardly ever all of them, so each keeps an embedding of its own: hash
embeddings (Svenstrup et al., NIPS 2017), without weights of a term's own. The mean, not the sum, so that a term's
embedding starts and moves as one of a table that isn't hashed.

Shapes: C codes of a vocabulary, H hash functions, R rows of a table.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.dataset import encoded_features, query_inputs
from features.hashing import hash_texts, mix
from features.spec.spec import Spec
from features.spec.training import HashedTable
from features.vocabularies import read_terms


class HashedRows(NamedTuple):
    """How a vocabulary lies in a hashed table."""

    rows: int
    """R."""
    of_code: npt.NDArray[np.int32]
    """[C, H] in [0, R)."""


def hashed_rows(spec: Spec, vocabularies: dict[str, int], *, transform_directory: str) -> dict[str, HashedRows]:
    """The rows of each code in every hashed table that a spec asks for.

    Args:
        spec: The section model says which.
        vocabularies: Vocabulary -> terms, as the manifest of a dataset or model has it.
        transform_directory: Its tensorflow-transform output.

    Returns:
        By vocabulary.

    Raises:
        StageError: If a vocabulary can't be read.
    """
    features = [*query_inputs(spec, vocabularies), *encoded_features(spec, "item", vocabularies=vocabularies)]
    codes = {f.vocabulary: f.codes for f in features}
    found = {}
    for vocabulary, table in spec.model.hashed_tables.items():
        count = vocabularies.get(vocabulary, 0)  # none of hashed text, whose codes are all buckets
        terms = read_terms(transform_directory, vocabulary)[:count] if count else pa.array([], pa.large_binary())
        found[vocabulary] = HashedRows(table.rows, rows_of_terms(terms, table, buckets=codes[vocabulary] - count))
    return found


def rows_of_terms(terms: pa.Array, table: HashedTable, *, buckets: int) -> npt.NDArray[np.int32]:
    """The rows that each code of a vocabulary is the mean of.

    Terms are hashed, not their codes: these change from dataset to dataset, and a warm start would find another term's
    row in a row.

    Args:
        terms: large binary [terms], in the order of their codes.
        table: The spec's.
        buckets: Codes behind those of the terms, of unknown terms or of hashed text.

    Returns:
        [terms + buckets, H] in [0, R).
    """
    # No term has a newline in it.
    keys = pa.concat_arrays([terms, pa.array([f"\n{bucket}".encode() for bucket in range(buckets)], pa.large_binary())])
    # One hash is mixed, since XXH3 of seeds 0 and 1 gives many pairs of texts of 1 to 3 or 8 bytes the same two hashes,
    # one the other way round: 800 of the terms 000 to 999 shared all of their rows with another, of any number of rows.
    base = hash_texts(keys, 0)
    rows = np.empty((len(base), table.hashes), np.int32)
    for number in range(table.hashes):
        rows[:, number] = mix(base, np.full(len(base), number, np.uint64)) % np.uint64(table.rows)
    return rows
