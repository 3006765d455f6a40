"""The spec: the one declaration of a dataset and of what is trained on it, typed, frozen and validated."""

from typing import Annotated

from pydantic import Field, model_validator

from features.spec.evaluate import Evaluate
from features.spec.export import Export
from features.spec.features import (
    Feature,
    IdFeature,
    Side,
    SideName,
    VocabularyFeature,
    columns_read,
    key_in_spec,
    vocabulary_of,
)
from features.spec.gate import Gate
from features.spec.section import Section
from features.spec.session import Session
from features.spec.sources import Sources, TableSource
from features.spec.split import Split
from features.spec.statistics import MutualInformation, Statistics
from features.spec.training import Model, Ssl, Train


class Spec(Section):
    """A dataset, and what is trained on it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """What the spec is called. A build and `train` don't depend on it; `compare` goes on only under the same name, and
    by the paper's protocol `debian` has a temperature of its own."""
    sources: Sources
    query: Side = Side()
    """What is known of who or what is asked with: features of the query tower."""
    item: Side
    """What is known of what is ranked: features of the item tower."""
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
    def history_feature(self) -> tuple[str, IdFeature]:
        """In session mode: the item feature whose vocabulary and table a history shares, the first id."""
        return next((name, feature) for name, feature in self.item.features.items() if isinstance(feature, IdFeature))

    @property
    def histories_know_all_items(self) -> bool:
        """In session mode: whether the vocabulary of histories leaves out no item of its dataset."""
        _, feature = self.history_feature
        return feature.min_count == 0 and feature.top_k is None

    @model_validator(mode="after")
    def _sides_have_features(self) -> "Spec":
        if not self.item.features:
            raise ValueError("item.features: expected at least one")
        if not self.query.features and self.session is None:
            raise ValueError("query.features: expected at least one, unless there is a section session")
        own = self.query.features.get("query_id")
        if own is not None and own.kind != "id":
            raise ValueError(
                "query.features.query_id: this name is reserved for the query's id, which files of queries have by it; "
                "choose another, with column: query_id if the column is called so"
            )
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
            raise ValueError(
                "query.features.history: with session this name is reserved for a query's history; choose another"
            )
        ids = [feature for feature in self.item.features.values() if feature.kind == "id"]
        if not ids:
            raise ValueError(
                "item.features: expected one of kind id with session, since histories share its vocabulary"
            )
        if any(feature.oov_buckets for feature in ids):
            raise ValueError("item.features: expected no oov_buckets of an id with session, since histories have none")
        return self

    @model_validator(mode="after")
    def _a_split_by_time_reads_times(self) -> "Spec":
        if self.split.method == "time" and self.sources.interactions.timestamp is None:
            raise ValueError(
                "sources.interactions.timestamp: expected a column, since split.method time needs times, got none"
            )
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
    def _a_column_is_read_in_one_way(self) -> "Spec":
        for columns in [
            *self._columns_of_tables().values(),
            columns_read("session.context.features", self.sides["pair"]),
        ]:
            first: dict[str, tuple[str, str]] = {}
            for key, (column, kind) in columns.items():
                other, before = first.setdefault(column, (key, kind))
                if kind != before:
                    raise ValueError(f"{key}: expected {before}, as {other} reads the same column, got {kind}")
        return self

    @model_validator(mode="after")
    def _a_pseudonym_is_all_that_stays_of_an_id(self) -> "Spec":
        tables = self._columns_of_tables()
        hidden = self.sources.pseudonymise.columns if self.sources.pseudonymise else ()
        for role, table in (("item_id", "sources.items"), ("query_id", "sources.queries")):
            columns = tables.get(table, {})
            for key, (column, _) in columns.items() if role in hidden else ():
                if key != f"{table}.id" and column == columns[f"{table}.id"][0]:
                    raise ValueError(
                        f"{key}: expected another column than {column}, whose ids are pseudonymised "
                        f"(sources.pseudonymise.columns: {role}), since it would keep them as they are"
                    )
        return self

    def _columns_of_tables(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Key of a table -> what `columns_read` gives, of its own keys and of the features that are read from it."""
        items, queries = self.sources.items, self.sources.queries
        of_query = columns_read("query.features", self.query)
        of_items = _columns_of(items, "sources.items") | columns_read("item.features", self.item)
        if isinstance(queries, TableSource):
            return {"sources.items": of_items, "sources.queries": _columns_of(queries, "sources.queries") | of_query}
        return {"sources.items": of_items | (of_query if queries == "items" else {})}

    @model_validator(mode="after")
    def _features_of_queries_have_a_table(self) -> "Spec":
        for name, feature in self.query.features.items():
            if feature.kind != "id" and self.sources.queries is None:
                raise ValueError(
                    f"query.features.{name}: expected a table of queries that holds it, in sources.queries, got none"
                    "; a column of the log is of session.context"
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
        rules: dict[str, tuple[str, dict[str, int | str | None]]] = {}
        for example_key, feature in self.features.items():
            if not isinstance(feature, VocabularyFeature):
                continue
            # Its own by default, which another feature may name.
            vocabulary = vocabulary_of(example_key, feature)
            key = key_in_spec(example_key)
            rule = {
                "kind": "id" if feature.kind == "id" else "other than id",
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

    @model_validator(mode="after")
    def _a_vocabulary_called_as_a_feature_is_its(self) -> "Spec":
        """Else a feature would name another's vocabulary, as it seems, and have one of its own."""
        own = {key: vocabulary_of(key, feature) for key, feature in self.features.items()}
        for key, vocabulary in own.items():
            called = [other for other in own if other.partition("/")[2] == vocabulary]
            if called and not {vocabulary, None} & {own[other] for other in called}:
                raise ValueError(
                    f"{key_in_spec(key)}: its vocabulary {vocabulary} is called as {key_in_spec(called[0])}, whose own "
                    f"is {own[called[0]]}; to share it give both vocabulary: {vocabulary}, else choose another name"
                )
        return self


def _columns_of(table: TableSource, key: str) -> dict[str, tuple[str, str]]:
    """As `columns_read`, of a table's own columns."""
    columns = {f"{key}.id": table.id, f"{key}.title": table.title}
    return {name: (column, "text") for name, column in columns.items() if column is not None}
