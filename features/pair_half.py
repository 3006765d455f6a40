"""The pair's half of an example in session mode: its history and its context.

Entities go through the transform's graph, once each. Pairs are as many as examples, so they are encoded here, by whole
columns, from the vocabularies and constants of that graph; a test holds both to the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.dataset import HISTORY, history_vocabulary
from features.example_codec import encode_half
from features.flags import flags_of
from features.lookup import index_among
from features.normalisation import normalise
from features.ranges import offsets, place_in_run
from features.spec.features import (
    CategoricalFeature,
    Feature,
    IdFeature,
    MultivaluedFeature,
    NumericFeature,
    VectorFeature,
    vocabulary_of,
)
from features.spec.spec import Spec
from features.tokens import ngrams, words


def pair_vocabularies(spec: Spec) -> list[str]:
    """The vocabularies that pairs are encoded by, in session mode, each once."""
    context = spec.sides["pair"].features
    names = [history_vocabulary(spec), *(vocabulary_of(f"pair/{name}", feature) for name, feature in context.items())]
    return [name for name in dict.fromkeys(names) if name is not None]


@dataclass(frozen=True)
class Learned:
    """What pairs are encoded by."""

    vocabularies: Mapping[str, pa.Array]
    """Each of `pair_vocabularies` -> its terms in the order of their codes, large string [m]."""
    constants: Mapping[str, npt.NDArray[np.float64]]
    """Each numeric feature of the pair by its key -> [CONSTANTS]."""


def encode_pairs(pairs: pa.Table, spec: Spec, *, learned: Learned, rows_at_once: int) -> Iterator[pa.Array]:
    """Encodes pairs.

    Args:
        pairs: Schema `features.sessions.pair_schema`, in one chunk.
        spec: Of session mode.
        learned: From the dataset's training examples.
        rows_at_once: Histories are long: of so many examples at a time.

    Yields:
        large_binary [at most rows_at_once], the halves in the order of the pairs: `HISTORY` and pair/NAME, codes and
        normalised numbers; unknown and missing values are left out.
    """
    terms = learned.vocabularies[history_vocabulary(spec)]
    histories = pairs.column("history").combine_chunks()  # which copies
    items = index_among(histories.values.dictionary, terms)
    context = {
        f"pair/{name}": _encode_feature(
            pairs.column(f"feature/{name}").combine_chunks(), f"pair/{name}", feature=feature, learned=learned
        )
        for name, feature in spec.sides["pair"].features.items()
    }
    for start in range(0, pairs.num_rows, rows_at_once):
        history = histories.slice(start, rows_at_once)
        codes = items[pc.list_flatten(history).indices.to_numpy()]
        columns = {HISTORY: _known(codes, pc.list_parent_indices(history).to_numpy(), n=len(history))}
        columns |= {key: values.slice(start, rows_at_once) for key, values in context.items()}
        yield encode_half(columns)


def _encode_feature(values: pa.Array, key: str, *, feature: Feature, learned: Learned) -> pa.Array:
    """A feature of n pairs, large_list of int64 codes or float32 [n]."""
    rows = np.arange(len(values))
    if isinstance(feature, NumericFeature):
        found = flags_of(values.is_valid())
        numbers = normalise(values.drop_null().to_numpy(), feature, constants=learned.constants[key])
        return _lists(numbers, rows[found], n=len(values))
    if isinstance(feature, IdFeature | VectorFeature):
        raise TypeError(f"{key}: no context is of kind {feature.kind}")
    terms = learned.vocabularies[vocabulary_of(key, feature)]
    if isinstance(feature, CategoricalFeature):
        return _known(index_among(values, terms), rows, n=len(values))
    if isinstance(feature, MultivaluedFeature):
        codes, rows = index_among(pc.list_flatten(values), terms), pc.list_parent_indices(values).to_numpy()
        return _known(codes, rows, n=len(values), most=feature.max_values)
    # Texts of a log repeat, such as what is searched for.
    texts = values.fill_null("").dictionary_encode()
    grams = ngrams(words(texts.dictionary), feature.ngrams)
    codes, rows = index_among(pc.list_flatten(grams), terms), pc.list_parent_indices(grams).to_numpy()
    return _known(codes, rows, n=len(grams), most=feature.max_values).take(texts.indices)


def _known(
    codes: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], *, n: int, most: int | None = None
) -> pa.LargeListArray:
    """The known codes of n rows, of each the first `most`.

    Args:
        codes: [m], -1 for an unknown one.
        rows: [m], the row of each, rising.
        n: How many rows there are.
        most: None: all.
    """
    codes, rows = codes[codes >= 0], rows[codes >= 0]
    if most is not None:
        kept = place_in_run(rows) < most
        codes, rows = codes[kept], rows[kept]
    return _lists(codes, rows, n=n)


def _lists(values: npt.NDArray[np.int64 | np.float32], rows: npt.NDArray[np.int64], *, n: int) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(offsets(np.bincount(rows, minlength=n))), pa.array(values))
