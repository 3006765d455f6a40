"""The vocabularies that a transform wrote: their terms in the order of their codes, and terms found in another's.

Shapes: T terms.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.vocabularies import from_file, vocabulary_file
from stage import storage


def read_terms(transform_directory: str, vocabulary: str) -> pa.Array:
    """The terms of a vocabulary, binary [T].

    Raises:
        StageError: If the file can't be read.
    """
    return pa.array(from_file(storage.read_bytes(vocabulary_file(transform_directory, vocabulary))), pa.binary())


def places_among(terms: pa.Array, others: pa.Array) -> npt.NDArray[np.int64]:
    """Where each term stands among others, -1 where it doesn't; int64 [T]."""
    return pc.fill_null(pc.index_in(terms, others), -1).to_numpy().astype(np.int64)
