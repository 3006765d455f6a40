"""The vocabularies that a transform wrote: their terms in the order of their codes.

Shapes: T terms.
"""

import pyarrow as pa

from features.vocabularies import from_file, vocabulary_file
from stage import storage


def read_terms(transform_directory: str, vocabulary: str) -> pa.Array:
    """The terms of a vocabulary, binary [T].

    Raises:
        StageError: If the file can't be read.
    """
    return pa.array(from_file(storage.read_bytes(vocabulary_file(transform_directory, vocabulary))), pa.binary())
