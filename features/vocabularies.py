"""Vocabularies: the terms of features with their counts, and the order that gives each term its code.

Content features count the entities that have a term, those of a context the training examples, ids training pairs.
Counts are integers, so that they add up to the same in any order.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from features.records import digest_records, digest_text
from features.spec.features import (
    Feature,
    IdFeature,
    MultivaluedFeature,
    SideName,
    TermFeature,
    TextFeature,
    VocabularyFeature,
    vocabulary_of,
)
from features.spec.spec import Spec
from features.sums import sum_counts
from features.tokens import ngrams, words
from stage import storage

TERMS = pa.schema([("vocabulary", pa.string()), ("term", pa.string()), ("count", pa.int64())])
"""How often the terms of vocabularies were counted, perhaps in parts."""

NOTHING = "49d0cd50-04bb-48c0-bc6f-5b575dce351a"
"""The one term of a vocabulary that has none, as in tensorflow-transform: a lookup table can't be empty."""


@dataclass(frozen=True)
class Vocabulary:
    """What one vocabulary is learned from, and which of its terms are kept."""

    features: list[str]
    """Keys of the features that are counted."""
    min_count: int
    top_k: int | None


def vocabularies(spec: Spec) -> dict[str, Vocabulary]:
    """The vocabularies of a spec, by name."""
    sharing: dict[str, dict[str, TermFeature]] = {}
    for key, feature in spec.features.items():
        hashed = isinstance(feature, TextFeature) and feature.hash_buckets is not None
        if isinstance(feature, VocabularyFeature) and not hashed:
            sharing.setdefault(vocabulary_of(key, feature), {})[key] = feature
    found = {}
    for vocabulary, features in sorted(sharing.items()):
        first, counted = next(iter(features.values())), list(features)
        if spec.sources.queries == "items" and not isinstance(first, IdFeature):
            # The same rows stand on both sides; what both take from them counts once.
            of_items = [_origin(key, feature) for key, feature in features.items() if key.startswith("item/")]
            counted = [
                key
                for key, feature in features.items()
                if not key.startswith("query/") or _origin(key, feature) not in of_items
            ]
        found[vocabulary] = Vocabulary(counted, first.min_count, first.top_k)
    return found


def _origin(key: str, feature: TermFeature) -> tuple[str, str, list[int]]:
    """What the terms of a feature that is no id are taken from: column, kind, and lengths of n-grams."""
    return feature.column or key.split("/")[1], feature.kind, sorted(set(getattr(feature, "ngrams", [])))


def count_terms(entities: pa.Table, side_name: SideName, *, spec: Spec) -> pa.Table:
    """Counts the terms of some entities.

    Args:
        entities: Of one side, schema `features.entities.entity_schema`, queries that have training pairs only; of
            the side pair, training pairs, schema `features.sessions.pair_schema`.
        side_name: query, item or pair.
        spec: The dataset's spec.

    Returns:
        Schema TERMS, a row per vocabulary and term.
    """
    parts = [TERMS.empty_table()]
    for vocabulary, rule in vocabularies(spec).items():
        for key in rule.features:
            feature_side, name = key.split("/")
            if feature_side == side_name:
                counted = _count(entities, name, feature=spec.features[key])
                names = pa.array([vocabulary] * counted.num_rows, pa.string())
                parts.append(pa.table([names, counted.column("term"), counted.column("count")], schema=TERMS))
    return merge_terms(pa.concat_tables(parts))


def merge_terms(terms: pa.Table) -> pa.Table:
    """Adds up the counts of each term, schema TERMS."""
    return sum_counts(terms, "vocabulary", "term")


def keep_terms(terms: pa.Table, rule: Vocabulary) -> pa.Table:
    """The terms of one vocabulary that it keeps, in the order of their codes: by count, then by bytes, both falling.

    Args:
        terms: Schema TERMS, no term twice. Of a part of the vocabulary, what a part must keep for the whole.
        rule: Of the vocabulary.
    """
    kept = terms.filter(pc.greater_equal(terms.column("count"), rule.min_count))
    order = pc.sort_indices(kept, sort_keys=[("count", "descending"), ("term", "descending")])
    return kept.take(order[: rule.top_k])  # a slice would keep them all in memory


def _count(entities: pa.Table, name: str, *, feature: Feature) -> pa.Table:
    """term, count."""
    if isinstance(feature, IdFeature):
        return pa.table({"term": entities.column("id"), "count": entities.column("train_count")})
    column = entities.column(f"feature/{name}").combine_chunks()
    if isinstance(feature, TextFeature):
        column = ngrams(words(column), feature.ngrams)
    if isinstance(feature, TextFeature | MultivaluedFeature):
        listed = pa.table({"row": pc.list_parent_indices(column), "term": pc.list_flatten(column)})
        column = listed.group_by(["row", "term"], use_threads=False).aggregate([]).column("term").combine_chunks()
    counts = column.drop_null().value_counts()
    return pa.table({"term": counts.field("values"), "count": counts.field("counts").cast(pa.int64())})


def vocabulary_file(transform_directory: str, vocabulary: str) -> str:
    """Where a vocabulary lies, a term a line.

    Args:
        transform_directory: The tensorflow-transform output of a dataset or a model.
        vocabulary: Its name.
    """
    return storage.join(transform_directory, "transform_fn", "assets", vocabulary)


def to_file(ordered: pa.Table) -> bytes:
    """A vocabulary's file: a term a line, in the order of the codes."""
    terms = ordered.column("term").to_pylist() or [NOTHING]
    return "".join(f"{term}\n" for term in terms).encode()


def digest_terms(terms: list[bytes]) -> str:
    """The digest of a vocabulary, by which the order of its terms counts: a term's place is its code."""
    return digest_text(digest_records(b"%d %s" % (place, term) for place, term in enumerate(terms)))


def read_terms(transform_directory: str, vocabulary: str) -> pa.Array:
    """The terms of a vocabulary in the order of their codes, large binary [n], since they may be more than 2 GiB.

    Raises:
        StageError: If the file can't be read.
    """
    content = storage.read_bytes(vocabulary_file(transform_directory, vocabulary))
    # Lines as TensorFlow counts them: a carriage return ends none. By Arrow, since an object of
    # Python's for each takes far more.
    return pc.split_pattern(pa.array([content], pa.large_binary()), b"\n").values[:-1]
