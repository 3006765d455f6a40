"""The features of an entity or of a pair: their kinds, and the vocabularies that they share."""

from typing import Annotated, Literal, TypeAlias, overload

from pydantic import Field, model_validator

from features.spec.section import Count, Positive, Section


class _Feature(Section):
    column: str | None = None
    """Column of the table, or of the log for context; the feature's own name by default. An id has none."""


FeatureName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class VocabularyFeature(_Feature):
    """A feature whose values are terms of a vocabulary."""

    vocabulary: FeatureName | None = None
    """Features that name the same vocabulary share its codes and one embedding table. By default one of its own."""
    min_count: Count = 1
    """Terms counted fewer times are unknown."""
    top_k: Positive | None = None
    """Keep the most frequent terms only."""
    oov_buckets: Count = 0
    """Codes that unknown terms are hashed into; 0: an unknown term counts as missing."""


class IdFeature(VocabularyFeature):
    """The entity's own id, whatever the feature is called. Its vocabulary counts training pairs."""

    kind: Literal["id"]
    min_count: Count = 0
    """Ids of fewer training pairs are unknown; 0: items without any are known too."""

    @model_validator(mode="after")
    def _its_column_is_the_tables(self) -> "IdFeature":
        if self.column is not None:
            raise ValueError(
                f"column: expected none, since an id is read by the key id of its table, got {self.column}"
            )
        return self


class CategoricalFeature(VocabularyFeature):
    """One value out of many."""

    kind: Literal["categorical"]


class MultivaluedFeature(VocabularyFeature):
    """Any number of values out of many."""

    kind: Literal["multivalued"]
    max_values: Positive = 64
    """Known values kept per entity, the first ones."""


class TextFeature(VocabularyFeature):
    """Text, taken apart into lower-case words and their n-grams."""

    kind: Literal["text"]
    ngrams: Annotated[list[Positive], Field(min_length=1)] = [1]
    """Lengths of the n-grams, in words."""
    hash_buckets: Positive | None = None
    """Hash the n-grams into so many codes instead of learning a vocabulary."""
    max_values: Positive = 64
    """Known n-grams kept per entity, the first ones."""

    @model_validator(mode="after")
    def _hashes_have_no_rules_of_terms(self) -> "TextFeature":
        if self.hash_buckets is not None:
            for key in ("min_count", "top_k", "oov_buckets"):
                if getattr(self, key) != TextFeature.model_fields[key].default:
                    raise ValueError(
                        f"{key}: goes with a learned vocabulary alone, and with hash_buckets none is learned"
                    )
        return self


class NumericFeature(_Feature):
    """A number, normalised to mean 0 and standard deviation 1."""

    kind: Literal["numeric"]
    log1p: bool = False
    """Take log(1 + x) first, of x >= 0; what is below 0 counts as 0, and a build warns of it."""


class VectorFeature(_Feature):
    """A vector, such as another model's embedding of a text or of an image. Towers see it at length 1."""

    kind: Literal["vector"]
    size: Positive
    """How many numbers each has; a row whose vector has another number of them is rejected."""


TermFeature: TypeAlias = IdFeature | CategoricalFeature | MultivaluedFeature | TextFeature
Feature: TypeAlias = Annotated[TermFeature | NumericFeature | VectorFeature, Field(discriminator="kind")]
SideName: TypeAlias = Literal["query", "item", "pair"]


class Side(Section):
    """The features of queries, items or pairs."""

    features: dict[FeatureName, Feature] = {}
    """Name -> its kind, and how it is read. By default the name is also that of the column."""

    @model_validator(mode="after")
    def _some_names_are_ours(self) -> "Side":
        for name in self.features:
            if name in ("train_count", "full_train_count", "id_text", "title_text"):
                raise ValueError(
                    f"features.{name}: this name is reserved for the dataset's own columns; choose another"
                )
        return self

    @model_validator(mode="after")
    def _an_entity_has_one_id(self) -> "Side":
        ids = [name for name, feature in self.features.items() if feature.kind == "id"]
        if len(ids) > 1:
            raise ValueError(
                f"features.{ids[1]}.kind: expected no second id beside {ids[0]}: an id is the entity's own; for "
                "another column's ids, such as a seller's, use kind categorical"
            )
        return self


def columns_read(key: str, side: Side) -> dict[str, tuple[str, str]]:
    """A feature's key below that of its side -> its column, and as what it is read; an id has none of its own."""
    return {
        f"{key}.{name}": (feature.column or name, _read_as(feature))
        for name, feature in side.features.items()
        if not isinstance(feature, IdFeature)
    }


def _read_as(feature: Feature) -> str:
    if isinstance(feature, VectorFeature):
        return f"a vector of {feature.size}"
    return {"numeric": "a number", "multivalued": "a list"}.get(feature.kind, "text")


def key_in_spec(key: str) -> str:
    """Where the spec has a feature: query.features.NAME of query/NAME, session.context.features.NAME of pair/NAME."""
    side_name, name = key.split("/")
    return f"{'session.context' if side_name == 'pair' else side_name}.features.{name}"


@overload
def vocabulary_of(key: str, feature: NumericFeature | VectorFeature) -> None: ...
@overload
def vocabulary_of(key: str, feature: TermFeature) -> str: ...
def vocabulary_of(key: str, feature: Feature) -> str | None:
    """Name of the vocabulary, and so of the embedding table, of a feature by its key; None for a number or a vector."""
    return feature.vocabulary or key.replace("/", "_") if isinstance(feature, VocabularyFeature) else None
