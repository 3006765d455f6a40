"""The dataset directory, as its readers see it: what an example holds, and where each file lies."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from features.spec.features import SideName, TextFeature, VectorFeature, VocabularyFeature, vocabulary_of
from features.spec.file import spec_of
from features.spec.spec import Spec
from features.split import SplitName
from stage import storage
from stage.errors import StageError
from stage.manifest import File, Manifest
from stage.parquet import read_parquet

Entities: TypeAlias = Literal["queries", "items"]

ITEM_TRAIN_COUNT = "item/train_count"
HISTORY = "pair/history"
POSITIVE = "positive/"
"""Before a positive event that the spec lists: the count of lines that have it, whatever became of them."""
EMPTY_HISTORY = "histories/empty"
"""The count of examples, of all splits, whose history is empty: a user's or a session's first, or one with nothing in
`session.window`; absent if none is."""
WITHOUT_ROW = "queries/without_row"
"""The count of queries that have pairs and no row in the query table, perhaps that of items; absent without one."""


@dataclass(frozen=True)
class EncodedFeature:
    """A feature of an example, after the transform.

    A categorical one is a list of int64 codes in [0, codes), a numeric one or a vector a list of float32. Missing and
    unknown values are left out, so either list may be empty; only multivalued features and vectors have more than one.
    """

    key: str
    """In the example: query/NAME, item/NAME or pair/NAME."""
    name: str
    kind: Literal["id", "categorical", "multivalued", "text", "numeric", "vector"]
    vocabulary: str | None
    """Features of one vocabulary share codes and table; None for a numeric feature or a vector."""
    codes: int
    """Terms and OOV buckets, or hash buckets; 0 for a numeric feature or a vector."""
    size: int = 1
    """Numbers of a vector; 1 of any other."""


def entity_files(manifest: Manifest, table: Entities) -> list[File]:
    """The files of the table of queries or of items, of a dataset or an aggregate, in the order of their names."""
    found = (file for file in manifest.files if file.name.startswith(f"entities/{table}-"))
    return sorted(found, key=lambda file: file.name)


def history_vocabulary(spec: Spec) -> str:
    """The vocabulary of histories, in session mode."""
    name, feature = spec.history_feature
    return vocabulary_of(f"item/{name}", feature)


def encoded_features(spec: Spec, side_name: SideName, *, vocabularies: dict[str, int]) -> list[EncodedFeature]:
    """What one half of an example holds, in the spec's order; the pair's, in session mode alone, the history first.

    Args:
        spec: The dataset's spec.
        side_name: Which half.
        vocabularies: Vocabulary -> terms, as the manifest has it.
    """
    found = []
    if side_name == "pair" and spec.session is not None:
        name = history_vocabulary(spec)
        found.append(
            EncodedFeature(key=HISTORY, name="history", kind="multivalued", vocabulary=name, codes=vocabularies[name])
        )
    for name, feature in spec.sides[side_name].features.items():
        key = f"{side_name}/{name}"
        vocabulary = vocabulary_of(key, feature)
        codes = 0
        if isinstance(feature, TextFeature) and feature.hash_buckets is not None:
            codes = feature.hash_buckets
        elif vocabulary is not None and isinstance(feature, VocabularyFeature):
            codes = vocabularies[vocabulary] + feature.oov_buckets
        size = feature.size if isinstance(feature, VectorFeature) else 1
        found.append(
            EncodedFeature(key=key, name=name, kind=feature.kind, vocabulary=vocabulary, codes=codes, size=size)
        )
    return found


def query_inputs(spec: Spec, vocabularies: dict[str, int]) -> list[EncodedFeature]:
    """What the query tower reads: the query's half of an example, and in session mode the pair's."""
    return [
        *encoded_features(spec, "query", vocabularies=vocabularies),
        *encoded_features(spec, "pair", vocabularies=vocabularies),
    ]


@dataclass(frozen=True)
class Dataset:
    """A finished dataset."""

    directory: str
    manifest: Manifest
    spec: Spec

    @classmethod
    def open(cls, directory: str, *, verify: bool = False) -> "Dataset":
        """Opens a dataset.

        Args:
            directory: Where build-dataset left it.
            verify: Also compare every file's SHA-256.

        Raises:
            StageError: If it is missing or incomplete.
        """
        manifest = Manifest.read(directory, "dataset", verify=verify)
        return cls(directory, manifest, spec_of(manifest, directory))

    def example_files(self, split: SplitName) -> list[str]:
        """Paths of the TFRecord files of a split, gzipped, in a fixed order."""
        return self._paths(split)

    def corpus_files(self) -> list[str]:
        """Paths of the TFRecord files of the corpus: the item half of every item, once."""
        return self._paths("items")

    def count_examples(self, paths: Iterable[str]) -> int:
        """How many examples some of its TFRecord files hold together."""
        return sum(self._records[path] for path in paths)

    @cached_property
    def _records(self) -> dict[str, int]:
        """Path of a file of records -> how many it holds."""
        files = self.manifest.files
        return {storage.join(self.directory, f.name): f.records for f in files if f.records is not None}

    @property
    def transform_directory(self) -> str:
        """The tensorflow-transform output."""
        return storage.join(self.directory, "transform")

    def features(self, side_name: SideName) -> list[EncodedFeature]:
        """What that part of an example holds."""
        return encoded_features(self.spec, side_name, vocabularies=self.manifest.vocabularies)

    def query_inputs(self) -> list[EncodedFeature]:
        """What the query tower reads."""
        return query_inputs(self.spec, self.manifest.vocabularies)

    def entities(self, table: Entities, *, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The entities before the transform, a file at a time.

        Args:
            table: Queries or items.
            columns: Those that are read; all by default.

        Yields:
            Tables with `id`, `title` (string, may be null), `train_count` (int64); items also with `full_train_count`
            (int64: before split.train_fraction); and each raw feature, as `feature/NAME`.

        Raises:
            StageError: If a file can't be read.
        """
        for file in entity_files(self.manifest, table):
            yield read_parquet(storage.join(self.directory, file.name), columns=columns)

    def entity_rows(self, table: Entities, ids: Sequence[bytes], *, columns: Sequence[str]) -> pa.Table:
        """What the table of queries or of items says of some of them, in the order of their ids here.

        Args:
            table: Queries or items.
            ids: Theirs; an id may be there more than once.
            columns: Those of `entities` that are wanted.

        Raises:
            StageError: If a file can't be read, or one of the entities is missing.
        """
        wanted = pa.array([one.decode() for one in ids], pa.string())
        found = []
        for part in self.entities(table, columns=["id", *columns]):
            # Where most are wanted, to look for them here too would only take time.
            few = len(ids) < part.num_rows
            found.append(part.filter(pc.is_in(part["id"], value_set=wanted)) if few else part)
        rows = pa.concat_tables(found)
        index = pc.index_in(wanted, value_set=rows["id"].combine_chunks())
        if index.null_count:
            raise StageError(
                f"{self.directory}/entities: expected {table} that its examples have, {index.null_count} are missing; "
                "build the dataset again"
            )
        return rows.select(columns).take(index)

    def _paths(self, folder: str) -> list[str]:
        return [storage.join(self.directory, name) for name in self.manifest.names(folder, ".tfrecord.gz")]
