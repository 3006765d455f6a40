"""The spec: the one declaration of a dataset and of what is trained on it, typed, frozen and validated."""

from typing import Annotated, Literal, TypeAlias, overload

from pydantic import Field, model_validator

from features.spec_export import Export
from features.spec_gate import Gate
from features.spec_section import Count, Fraction, Positive, Section, Seed
from features.spec_sources import Sources
from features.spec_training import Model, Ssl, Train

# --------------------------------------------------------------------------------------------------------- features


class _Feature(Section):
    column: str | None = None
    """Column of the entity table; the feature's own name by default."""


FeatureName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _VocabularyFeature(_Feature):
    vocabulary: FeatureName | None = None
    """Features that name the same vocabulary share its codes and one embedding table. By default one of its own."""
    min_count: Count = 1
    """Terms counted fewer times are unknown."""
    top_k: Positive | None = None
    """Keep the most frequent terms only."""
    oov_buckets: Count = 0
    """Codes that unknown terms are hashed into; 0: an unknown term counts as missing."""


class IdFeature(_VocabularyFeature):
    """The entity's own id. Its vocabulary counts training pairs."""

    kind: Literal["id"]
    min_count: Count = 0

    @model_validator(mode="after")
    def _its_column_is_the_tables(self) -> "IdFeature":
        if self.column is not None:
            raise ValueError(
                f"column: expected none, since an id is read by the key id of its table, got {self.column}"
            )
        return self


class CategoricalFeature(_VocabularyFeature):
    """One value out of many."""

    kind: Literal["categorical"]


class MultivaluedFeature(_VocabularyFeature):
    """Any number of values out of many."""

    kind: Literal["multivalued"]
    max_values: Positive = 64
    """Known values kept per entity, the first ones."""


class TextFeature(_VocabularyFeature):
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
    """Take log(1 + x) first, of x >= 0."""


Feature: TypeAlias = Annotated[
    IdFeature | CategoricalFeature | MultivaluedFeature | TextFeature | NumericFeature, Field(discriminator="kind")
]
SideName: TypeAlias = Literal["query", "item", "pair"]


class Side(Section):
    """One tower's features."""

    features: dict[FeatureName, Feature] = {}

    @model_validator(mode="after")
    def _some_names_are_ours(self) -> "Side":
        for name in self.features:
            if name in ("train_count", "full_train_count", "id_text", "title_text"):
                raise ValueError(f"features.{name}: this name is kept for the dataset's own columns")
        return self

    @model_validator(mode="after")
    def _a_column_is_read_in_one_way(self) -> "Side":
        read: dict[str, tuple[str, str]] = {}
        for name, feature in self.features.items():
            as_what = {"numeric": "a number", "multivalued": "a list"}.get(feature.kind, "text")
            other, before = read.setdefault(feature.column or name, (name, as_what))
            if feature.kind != "id" and as_what != before:
                raise ValueError(f"features.{name}: expected {before}, as {other} reads the same column, got {as_what}")
        return self


@overload
def vocabulary_of(key: str, feature: NumericFeature) -> None: ...
@overload
def vocabulary_of(key: str, feature: IdFeature | CategoricalFeature | MultivaluedFeature | TextFeature) -> str: ...
def vocabulary_of(key: str, feature: Feature) -> str | None:
    """Name of the vocabulary, and so of the embedding table, of a feature by its key; None for a numeric one."""
    return None if isinstance(feature, NumericFeature) else feature.vocabulary or key.replace("/", "_")


# ------------------------------------------------------------------------------------------------ split, MI, statistics


class Split(Section):
    """How lines become training, validation and test pairs."""

    method: Literal["pair_hash", "query_hash", "time"] = "pair_hash"
    """`pair_hash`: by a seeded hash of (query, item); `query_hash`: of the query, with session alone; `time`: by the
    line's timestamp."""
    validation: Fraction = 0.03
    """Share of pairs (pair_hash), or of queries (query_hash)."""
    test: Fraction = 0.10
    """Share of pairs (pair_hash), or of queries (query_hash)."""
    validation_start: str | None = None
    """First instant of validation, ISO 8601 (time)."""
    test_start: str | None = None
    """First instant of test, ISO 8601 (time); the option --test-start goes before it."""
    validation_seconds: Positive | None = None
    """Validation is so long, just before the test start, where validation_start is not given (time)."""
    seed: Seed = 0
    train_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training pairs that is kept; validation and test stay the same."""
    max_train_pairs_per_query: Positive | None = None
    """Latest first."""
    cold_items: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the items, by a seeded hash, that lose every training pair, so that validation and test show how new
    items are ranked. Where queries are items, no split has pairs with these as queries either."""
    repeat_consumption: bool = False
    """Keep test pairs that are also training pairs, and rank training items too; with session it is always so."""

    @model_validator(mode="after")
    def _leaves_training_pairs(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation + test: expected less than 1, got {self.validation + self.test:g}")
        if self.method == "time" and self.validation_start is None and self.validation_seconds is None:
            raise ValueError("expected validation_start or validation_seconds with method time")
        return self

    @model_validator(mode="after")
    def _times_go_with_time(self) -> "Split":
        for key in ("validation_start", "test_start", "validation_seconds"):
            if self.method != "time" and getattr(self, key) is not None:
                raise ValueError(f"{key}: goes with method time alone, got method {self.method}; null takes it away")
        return self


class Session(Section):
    """Session mode: a query is a user, and each of its lines an example: what was before -> the item that came next.

    Histories are made of the lines that are kept: positive, in the window of --data-start, their item known.
    """

    max_history: Annotated[int, Field(ge=1, le=1000)] = 50
    """Items of a history, the latest ones."""
    min_history: Count = 1
    """Lines with a shorter history make no example."""
    gap: Positive | None = None
    """Seconds without a line that end a session; a history doesn't reach beyond its session. null: none do."""
    window: Positive | None = None
    """Seconds that a history reaches back; null: to the user's first line."""
    context: Side = Side()
    """What a line of the log says beside user, item and time (device, hour, referrer), which the query tower reads with
    the history. Columns are those of the log; kinds all but id, without hash_buckets and oov_buckets."""

    @model_validator(mode="after")
    def _history_can_be_so_long(self) -> "Session":
        if self.min_history > self.max_history:
            raise ValueError(f"min_history: expected at most max_history ({self.max_history}), got {self.min_history}")
        return self

    @model_validator(mode="after")
    def _context_is_encoded_by_vocabularies(self) -> "Session":
        for name, feature in self.context.features.items():
            key = f"context.features.{name}"
            if name in ("history", "latest", "history_length", "split", "count", "first", "last"):
                raise ValueError(f"{key}: this name is kept for the dataset's own columns")
            if feature.kind == "id":
                raise ValueError(f"{key}.kind: expected categorical, multivalued, text or numeric, got id")
            for buckets in ("hash_buckets", "oov_buckets"):
                if getattr(feature, buckets, None):
                    raise ValueError(f"{key}.{buckets}: expected none, since context has them by its vocabulary alone")
        return self


class MutualInformation(Section):
    """Mutual information of the item features, over the corpus."""

    weighting: Literal["uniform", "train_count"] = "uniform"
    """How an item counts; uniform is what the SSL task samples."""
    numeric_buckets: Annotated[int, Field(ge=2)] = 10
    """Quantile classes of a numeric feature."""
    seed: Seed = 0
    """Of the permutation behind `chance`."""


class Statistics(Section):
    """Where the build fails that is given a schema (--schema) or a dataset to compare with (--baseline)."""

    max_missing_increase: Fraction = 0.05
    """A feature's share of missing values may exceed what the schema allows by so much."""
    max_new_values: Fraction = 0.05
    """Share of a feature's values that are not in its domain."""
    max_out_of_range: Fraction = 0.01
    """Share of a feature's numbers below its range, or above it."""
    max_l_infinity: Fraction | None = 0.1
    """Drift of categories: the greatest difference between a value's shares, now and in the baseline; null: any."""
    max_jensen_shannon: Fraction | None = 0.1
    """Drift of numbers: the Jensen-Shannon divergence, in bits, over the baseline's quantile buckets; null: any."""


# ------------------------------------------------------------------------------------------------------------- evaluate


class Evaluate(Section):
    """What is ranked."""

    exclude_known: bool = True
    """Leave a query's training items, and on test its validation items, out of its candidates; not with session."""
    exclude_self: bool = True
    """Leave the query itself out where queries are items."""
    batch_size: Positive = 8192
    """Queries or items embedded at a time."""


class Spec(Section):
    """A dataset, and what is trained on it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    sources: Sources
    query: Side = Side()
    item: Side
    split: Split = Split()
    session: Session | None = None
    """null: lines are merged into pairs, and there is no history."""
    mutual_information: MutualInformation = MutualInformation()
    statistics: Statistics = Statistics()
    model: Model = Model()
    ssl: Ssl = Ssl()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    gate: Gate = Gate()

    @property
    def sides(self) -> dict[SideName, Side]:
        """Whatever has features of its own; a pair has them with session alone, as its context."""
        return {"query": self.query, "item": self.item, "pair": self.session.context if self.session else Side()}

    @property
    def features(self) -> dict[str, Feature]:
        """Every feature by its key in an example: query/NAME, item/NAME, pair/NAME."""
        return {f"{side_name}/{name}": f for side_name, side in self.sides.items() for name, f in side.features.items()}

    @property
    def history_feature(self) -> str | None:
        """The item feature whose vocabulary and table a history shares, the item's id; None without session mode."""
        if self.session is None:
            return None
        return next(name for name, feature in self.item.features.items() if feature.kind == "id")

    @model_validator(mode="after")
    def _sides_have_features(self) -> "Spec":
        if not self.item.features:
            raise ValueError("item.features: expected at least one")
        if not self.query.features and self.session is None:
            raise ValueError("query.features: expected at least one, unless there is a section session")
        return self

    @model_validator(mode="after")
    def _sessions_are_of_users(self) -> "Spec":
        if self.session is None:
            if self.split.method == "query_hash":
                raise ValueError("split.method: expected pair_hash or time without a section session, got query_hash")
            return self
        if self.split.method == "pair_hash":
            raise ValueError("split.method: expected query_hash or time with a section session, got pair_hash")
        if self.split.cold_items:
            raise ValueError("split.cold_items: expected 0 with a section session, since histories hold items too")
        if self.sources.interactions.timestamp is None:
            raise ValueError("sources.interactions.timestamp: expected a column, since session needs times, got none")
        if self.sources.queries == "items":
            raise ValueError(
                "sources.queries: expected a table or null, since with session a query is a user, got items"
            )
        if "history" in self.query.features:
            raise ValueError("query.features.history: with session this name is kept for a query's history")
        ids = [feature for feature in self.item.features.values() if feature.kind == "id"]
        if not ids:
            raise ValueError(
                "item.features: expected one of kind id with session, since histories share its vocabulary"
            )
        if any(feature.oov_buckets for feature in ids):
            raise ValueError("item.features: expected no oov_buckets of an id with session, since histories have none")
        return self

    @model_validator(mode="after")
    def _context_has_columns_of_its_own(self) -> "Spec":
        log = self.sources.interactions
        taken = {"query_id": log.query_id, "item_id": log.item_id, "event": log.event, "timestamp": log.timestamp}
        for name, feature in self.sides["pair"].features.items():
            if name in self.query.features:
                raise ValueError(f"session.context.features.{name}: expected another name than a query's feature has")
            for key, column in taken.items():
                if column == (feature.column or name):
                    raise ValueError(
                        f"session.context.features.{name}: expected a column of its own, got {column}, "
                        f"which is sources.interactions.{key}"
                    )
        return self

    @model_validator(mode="after")
    def _masks_name_features(self) -> "Spec":
        names = set(self.item.features)
        for seed, group in (self.ssl.mask_groups or {}).items():
            for name in [seed, *group]:
                if name not in names:
                    raise ValueError(
                        f"ssl.mask_groups: expected item features ({', '.join(sorted(names))}), got {name}"
                    )
        return self

    @model_validator(mode="after")
    def _hashed_tables_are_of_vocabularies(self) -> "Spec":
        known = sorted({name for key, f in self.features.items() if (name := vocabulary_of(key, f)) is not None})
        for vocabulary in self.model.hashed_tables:
            if vocabulary not in known:
                raise ValueError(f"model.hashed_tables: expected vocabularies ({', '.join(known)}), got {vocabulary}")
        return self

    @model_validator(mode="after")
    def _shared_vocabularies_agree(self) -> "Spec":
        rules: dict[str, tuple[str, dict[str, int | bool | None]]] = {}
        for example_key, feature in self.features.items():
            if not isinstance(feature, _VocabularyFeature):
                continue
            # Its own by default, which another feature may name.
            vocabulary = vocabulary_of(example_key, feature)
            side_name, name = example_key.split("/")
            key = f"{'session.context' if side_name == 'pair' else side_name}.features.{name}"
            rule = {
                "is an id": feature.kind == "id",
                "min_count": feature.min_count,
                "top_k": feature.top_k,
                "oov_buckets": feature.oov_buckets,
                "hash_buckets": getattr(feature, "hash_buckets", None),
            }
            first, expected = rules.setdefault(vocabulary, (key, rule))
            for what, value in rule.items():
                if value != expected[what]:
                    raise ValueError(
                        f"{key}: shares the vocabulary {vocabulary} with {first}, so their rules must "
                        f"agree; {what}: expected {expected[what]}, got {value}"
                    )
        return self
