"""An export, opened: recommends items for queries, and finds items that are alike.

Shapes: B queries or items, D dimensions of an embedding.
"""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from features.large_tables import in_one_chunk
from features.pseudonyms import told_of
from features.spec.features import IdFeature, SideName
from features.spec.file import spec_of
from features.spec.spec import Spec
from model.network.full_float32 import use_full_float32
from model.ranking.candidates import DATASET_ITEMS
from model.ranking.left_out import leaves_out_self
from model.ranking.scores import SCORES_AT_ONCE, Embeddings
from model.serving.asked_histories import check_histories
from model.serving.exported_entities import ExportedEntities
from model.serving.near_ids import near_id
from model.serving.raw_entities import (
    Entity,
    as_list_of_texts,
    as_text,
    one_of,
    own_id,
    padded,
    to_tensors,
)
from model.serving.sorted_ids import find_row
from model.serving.unknown_query import all_features, instead_of_unknown
from stage import storage
from stage.errors import StageError, UsageError
from stage.manifest import Manifest
from stage.parquet import read_parquet
from stage.published import current_number

ITEMS = "items.parquet"
INDEX = "index.faiss"
QUERIES = "entities"

Ask: TypeAlias = str | int | np.integer[Any] | Entity
"""An id, of which an integer is its digits, or features by name."""
AskedIds: TypeAlias = Sequence[str] | Sequence[int] | Sequence[np.integer[Any]]
"""Of items, each as in `Ask`."""


@dataclass(frozen=True)
class Recommendation:
    """An item that was found."""

    item_id: str
    title: str
    """Empty where the item table has none."""
    score: float
    """Inner product of the embeddings; the cosine unless `model.normalize` is off."""


class Retriever:
    """A finished export, for any number of threads.

    Attributes:
        directory: Where it lies.
        manifest: What it was made of; `measures` says how well the index does, if there is one.
        spec: The model's spec.
        items: `id`, `title`, `train_count` of every candidate, ordered by id.
    """

    def __init__(self, directory: str, manifest: Manifest) -> None:
        """Loads the graph and, if there is one, the index; `open` checks the directory before."""
        self.directory = directory
        self.manifest = manifest
        self.spec: Spec = spec_of(manifest, directory)
        self.items = in_one_chunk(read_parquet(storage.join(directory, ITEMS)))
        self._ids = self.items["id"].chunk(0)
        names = [file.name for file in manifest.files]
        graph = [name for name in names if name.startswith(("variables/", "assets/")) or name.endswith(".pb")]
        with storage.readable_as_local(directory, graph) as local:
            self._graph = _load_graph(local, directory)
        self._queries = ExportedEntities(directory, manifest.names(QUERIES, ".parquet"))
        self._dataset_items = ExportedEntities(directory, manifest.names(DATASET_ITEMS, ".parquet"))
        self._index: Any = None
        if INDEX in names:
            from model.serving.item_index import read_index  # noqa: PLC0415  (faiss, which few exports need)

            with storage.open_input(storage.join(directory, INDEX)) as file:
                self._index = read_index(file, path=storage.join(directory, INDEX))

    @classmethod
    def open(cls, directory: str, *, verify: bool = False) -> "Retriever":
        """Opens an export.

        Args:
            directory: Where `export` left it, or where models are published: then the one that CURRENT names, or names
                by then if that is removed while it is opened; local or gs://.
            verify: Also compare every file's SHA-256.

        Raises:
            StageError: If it is missing or incomplete.
        """
        number = current_number(directory)
        while number is not None:
            try:
                return cls._open_whole(storage.join(directory, str(number)), verify=verify)
            except StageError:
                before, number = number, current_number(directory)
                if number == before:
                    raise
        return cls._open_whole(directory, verify=verify)

    @classmethod
    def _open_whole(cls, directory: str, *, verify: bool) -> "Retriever":
        return cls(directory, Manifest.read(directory, "export", verify=verify))

    def recommend(self, query: Ask, *, exclude: AskedIds = (), top_k: int | None = None) -> list[Recommendation]:
        """The items that suit a query best.

        Args:
            query: An id of the export's queries, or raw features by name. In session mode `history`, item ids with the
                latest last, is one of them; unknown ids in it are ignored.
            exclude: Ids of items to leave out, such as those that the query already has; unknown ones leave nothing
                out. Where queries are items the query itself is left out anyway, unless `evaluate.exclude_self` is
                off.
            top_k: How many; `export.top_k` by default.

        Returns:
            Best first; fewer than `top_k` where no more items are left.

        Raises:
            UsageError: If the query's id or a feature is unknown, or a value of another kind than its feature; or if
                `session.min_history` is above 0 and the query has no history with a known id.
        """
        return self.recommend_all([query], exclude=[exclude], top_k=top_k)[0]

    def recommend_all(
        self, queries: Sequence[Ask], *, exclude: Sequence[AskedIds] | None = None, top_k: int | None = None
    ) -> list[list[Recommendation]]:
        """As `recommend`, for B queries at once; `exclude` has a list for each."""
        asked = _asked(queries, "query")
        embeddings = self.embed_queries(asked)
        left_out = [self._offered(ids) for ids in ([()] * len(asked) if exclude is None else exclude)]
        if len(left_out) != len(asked):
            raise UsageError(f"exclude: expected a list for each of {len(asked)} queries, got {len(left_out)}")
        if leaves_out_self(self.spec, self.spec.evaluate):
            for query, ids in zip(asked, left_out, strict=True):
                if own := own_id(query, "query", spec=self.spec):
                    ids.append(own)
        return self._search(embeddings, left_out, top_k=top_k)

    def recommend_all_of(
        self, embeddings: Embeddings, *, exclude: Sequence[AskedIds], top_k: int | None = None
    ) -> list[list[Recommendation]]:
        """As `recommend_all`, of queries' embeddings; a query that is an item may get itself."""
        return self._search(embeddings, [self._offered(ids) for ids in exclude], top_k=top_k)

    def similar(self, item: Ask, *, exclude: AskedIds = (), top_k: int | None = None) -> list[Recommendation]:
        """The items whose embeddings are nearest to an item's, without the item.

        Args:
            item: An id of an item, candidate or not, or raw features by name of one that need not be known.
            exclude: As `recommend`.
            top_k: How many; `export.top_k` by default.

        Returns:
            As `recommend`.

        Raises:
            UsageError: As `recommend`.
        """
        left_out = self._offered(exclude)
        asked = _id_or_features(item, "item")
        if own := own_id(asked, "item", spec=self.spec):
            left_out.append(own)
        return self._search(self.embed_items([asked]), [left_out], top_k=top_k)[0]

    def query(self, query_id: str | int) -> dict[str, Any]:
        """The raw features of a query that the export carries, by name; missing ones are left out.

        Raises:
            UsageError: If it carries no such query, or this is no id.
        """
        one = as_text(query_id)
        if one is None:
            raise UsageError(f"query: expected an id, got {query_id!r}")
        return dict(self._read_queries([one])[one])

    def embed_queries(self, queries: Sequence[Ask]) -> Embeddings:
        """Embeddings of queries, by ids that the export carries or raw features; float32 [B, D].

        Raises:
            UsageError: As `recommend`.
        """
        asked = _asked(queries, "query")
        ids = [query for query in asked if isinstance(query, str)]
        known = self._read_queries(ids) if ids else {}
        features = [known[query] if isinstance(query, str) else query for query in asked]
        tensors = to_tensors(features, "query", spec=self.spec)
        check_histories(asked, features, spec=self.spec, are_read=self.are_read)
        return self.embed_tensors(tensors, "query")

    def embed_items(self, items: Sequence[Ask]) -> Embeddings:
        """Embeddings of items, by ids, of candidates or not, or raw features of items known or not; float32 [B, D].

        Raises:
            UsageError: As `recommend`.
        """
        asked = _asked(items, "item")
        known = [self._row_or_features(item) if isinstance(item, str) else item for item in asked]
        by_row = {place: item for place, item in enumerate(known) if isinstance(item, int)}
        found = np.empty((len(asked), self.spec.model.hidden[-1]), np.float32)
        if len(by_row) < len(asked):
            # Those by row too, as items without features: an error then counts as the caller does.
            features = [{} if isinstance(item, int) else item for item in known]
            found[:] = self.embed_tensors(to_tensors(features, "item", spec=self.spec), "item")
        if by_row:
            found[list(by_row)] = self._embeddings_at(list(by_row.values()))
        return found

    def embed_tensors(self, tensors: Mapping[str, tf.Tensor], side_name: SideName) -> Embeddings:
        """Embeddings of raw features that `to_tensors` made, float32 [B, D]."""
        found: Embeddings = self._graph.signatures[f"{side_name}_embedding"](**tensors)["embedding"].numpy()
        return found

    def nothing_known(self, embeddings: Embeddings, side_name: SideName) -> list[bool]:
        """Of which queries, or items, the model knows nothing, by their embeddings [B, D]."""
        nothing = self.embed_tensors(to_tensors([{}], side_name, spec=self.spec), side_name)
        return [bool(known) for known in np.all(np.isclose(embeddings, nothing, atol=1e-5), axis=1)]

    def _embeddings_at(self, rows: Sequence[int]) -> Embeddings:
        """Of the items at these rows of the corpus, float32 [B, D]."""
        if self._index is not None:
            return np.stack([self._index.reconstruct(row) for row in rows])
        # Of the whole value, for the reason that `ItemTable.similar` has; to numpy only these rows, which copies.
        return tf.gather(tf.convert_to_tensor(self._graph.items.embeddings), rows).numpy()

    def _wanted(self, top_k: int | None) -> int:
        wanted = self.spec.export.top_k if top_k is None else top_k
        if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or wanted < 1:
            raise UsageError(f"top_k: expected a whole number of at least 1, got {wanted!r}")
        return min(int(wanted), self.items.num_rows)

    def _search(self, embeddings: Any, exclude: list[list[str]], *, top_k: int | None) -> list[list[Recommendation]]:
        wanted = self._wanted(top_k)
        if self._index is not None:
            return self._search_index(embeddings, exclude, top_k=wanted)
        step = max(1, SCORES_AT_ONCE // self.items.num_rows)
        found = []
        for start in range(0, len(embeddings), step):
            some = slice(start, start + step)
            found += _from_graph(self._graph.search(embeddings[some], padded(exclude[some]), top_k=tf.constant(wanted)))
        return found

    def _search_index(self, embeddings: Any, exclude: list[list[str]], *, top_k: int) -> list[list[Recommendation]]:
        """Finds as many more as are left out."""
        from model.serving.item_index import search_index  # noqa: PLC0415  (faiss, which few exports need)

        most = min(top_k + max(map(len, exclude), default=0), self.items.num_rows)
        scores, rows = search_index(self._index, embeddings, top_k=most)
        found = []
        for ids, row_scores, indices in zip(exclude, scores, rows, strict=True):
            hits = indices >= 0
            names = self.items.take(indices[hits])
            listed = zip(names["id"].to_pylist(), names["title"].to_pylist(), row_scores[hits].tolist(), strict=True)
            left_out = set(ids)
            left = [Recommendation(*one) for one in listed if one[0] not in left_out]
            found.append(left[:top_k])
        return found

    def row_of(self, item_id: str | int) -> int | None:
        """The row of an item in `items`, None if it isn't there."""
        one = as_text(item_id)
        return None if one is None else find_row(self._ids, one)

    def has_item(self, item_id: str | int) -> bool:
        """Whether an item is known: a candidate, or another item of the dataset."""
        one = as_text(item_id)
        return one is not None and (self.row_of(one) is not None or self._not_offered(one) is not None)

    def are_read(self, histories: Sequence[Sequence[str]]) -> list[bool]:
        """Whether the model reads any item of each history: it may be older than the dataset of the export."""
        if self.spec.histories_know_all_items:
            codes = self._graph.history(tf.ragged.constant(histories, tf.string, ragged_rank=1))
            return (codes.row_lengths() > 0).numpy().tolist()
        return [any(map(self.has_item, history)) for history in histories]

    def _not_offered(self, item_id: str) -> Entity | None:
        """The features of an item of the dataset, for one that is no candidate; None if there is no such item."""
        row = self._dataset_items.find([item_id]).get(item_id)
        return None if row is None else self.features_of(row, "item")

    def _offered(self, exclude: AskedIds) -> list[str]:
        """The ids to leave out that are candidates: others may have been, when the query got them."""
        is_list = isinstance(exclude, Iterable) and not isinstance(exclude, str | bytes)
        ids = as_list_of_texts(list(exclude)) if is_list else None
        if ids is None:
            raise UsageError(f"exclude: expected a list of texts, or of integers, got {exclude!r}")
        return [one for one in ids if self.row_of(one) is not None]

    def check_items(self, ids: Iterable[str]) -> None:
        """Checks that items are known, candidates or not.

        Raises:
            UsageError: If one isn't.
        """
        for one in ids:
            self._row_or_features(one)

    def _row_or_features(self, item_id: str) -> int | Entity:
        """The row of a candidate, or the features of another item of the dataset."""
        row = self.row_of(item_id)
        found = self._not_offered(item_id) if row is None else row
        if found is None:
            known = self.manifest.counts.get(DATASET_ITEMS, len(self._ids))
            own = told_of(self.spec.sources.pseudonymise, "item_id")
            near = self._near_item(str(item_id))
            raise UsageError(f"item '{item_id}': not one of the {known:,} of this export{own}{near}")
        return found

    def _near_item(self, item_id: str) -> str:
        """The item that may have been meant; a candidate, where the dataset has too many others."""
        near = self._dataset_items.near(item_id)
        return near or near_id(item_id, [self._ids], is_known=lambda other: self.row_of(other) is not None)

    def _read_queries(self, ids: Sequence[str]) -> dict[str, Entity]:
        if not self.manifest.names(QUERIES, ".parquet"):
            raise UsageError(
                f"query '{ids[0]}': {self.directory} was made without queries (export.queries: false); "
                f"ask with its features, {all_features(self.spec, ids[0])}; what is left out counts as missing"
            )
        found = {one: self.features_of(row) for one, row in self._queries.find(ids).items()}
        for one in ids:
            if one not in found:
                advice = instead_of_unknown(self.spec, self._queries.near(one))
                own = told_of(self.spec.sources.pseudonymise, "query_id")
                raise UsageError(f"query '{one}': not one of those of this export{own}{advice}")
        return found

    def features_of(self, row: Mapping[str, Any], side_name: SideName = "query") -> Entity:
        """The raw features that a row of the export's queries or items has, by name; missing ones are left out."""
        features = self.spec.sides[side_name].features.items()
        values = {n: row["id"] if isinstance(f, IdFeature) else row.get(f"feature/{n}") for n, f in features}
        return {name: value for name, value in values.items() if value is not None}


def _id_or_features(ask: Ask, where: str) -> str | Entity:
    """What is asked with, an id as a text."""
    found = ask if isinstance(ask, Mapping) else as_text(ask)
    if found is None:
        raise UsageError(f"{where}: expected an id or features by name, got {reprlib.repr(ask)}")
    return found


def _asked(asks: Sequence[Ask], side_name: SideName) -> list[str | Entity]:
    """What is asked with, ids as texts."""
    if isinstance(asks, str | bytes | Mapping):
        several = "queries" if side_name == "query" else "items"
        raise UsageError(f"{several}: expected a list of ids, or of features by name, got {reprlib.repr(asks)}")
    listed = list(asks)
    return [_id_or_features(ask, one_of(side_name, place, of=len(listed))) for place, ask in enumerate(listed)]


def _load_graph(local: str, directory: str) -> Any:
    use_full_float32()
    try:
        return tf.saved_model.load(local)
    except Exception as error:  # of a damaged graph TensorFlow may raise anything
        raise StageError(
            f"{directory}: its graph can't be loaded ({type(error).__name__}); --verify names a damaged file, "
            "export makes it anew"
        ) from error


def _from_graph(found: dict[str, tf.Tensor]) -> list[list[Recommendation]]:
    """What a search in the graph gives, without the rows for which nothing was left."""
    columns = [found["item_id"].numpy(), found["title"].numpy(), found["score"].numpy()]
    return [
        [Recommendation(i.decode(), t.decode(), float(s)) for i, t, s in zip(*row, strict=True) if i]
        for row in zip(*columns, strict=True)
    ]
