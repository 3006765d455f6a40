"""A dataset's queries and items as a model reads them, whose own transform may not have encoded the dataset's examples.

Shapes: Q queries, N items.
"""

from features.dataset import HISTORY, Dataset, history_vocabulary
from features.vocabularies import read_terms
from model.network.feature_values import Features
from model.network.finished_model import FinishedModel
from model.ranking.context import translate_context
from model.ranking.entity_features import encode_entities
from model.ranking.session_history import translate
from model.ranking.split_pairs import Ids
from stage.errors import StageError


def check_same_mode(model: FinishedModel, dataset: Dataset) -> None:
    """Checks that a model can read a dataset's queries: that session mode is of both or of neither.

    Raises:
        StageError: If it is of one alone.
    """
    if (model.spec.session is None) != (dataset.spec.session is None):
        raise StageError(
            f"{model.directory}: expected it and {dataset.directory} both to be of session mode or neither, got one"
        )


def reencode_queries(model: FinishedModel, dataset: Dataset, *, ids: Ids, features: Features) -> Features:
    """Queries by the model's own transform, unless the dataset has the same.

    Args:
        model: The model.
        dataset: Where the queries are from.
        ids: [Q] As in the log.
        features: [Q] As the dataset encoded them; of another transform's, history and context alone are used, by their
            terms.

    Raises:
        StageError: As `encode_entities` and `translate_context`.
    """
    if _is_of_own_transform(model, dataset):
        return features
    queries, spec = encode_entities(dataset, "queries", ids=ids, model=model), model.spec
    if spec.session is not None:
        source, target = (read_terms(of.transform_directory, history_vocabulary(of.spec)) for of in (dataset, model))
        # Cut first, as build-dataset does: an unknown item takes up its place.
        latest = features[HISTORY][:, -spec.session.max_history :]
        queries[HISTORY] = translate(latest, source=source, target=target)
        queries |= translate_context(features, dataset=dataset, model=model)
    return queries


def reencode_items(model: FinishedModel, dataset: Dataset, *, ids: Ids, features: Features) -> Features:
    """Items [N] by the model's own transform; as `reencode_queries`."""
    if _is_of_own_transform(model, dataset):
        return features
    return encode_entities(dataset, "items", ids=ids, model=model)


def _is_of_own_transform(model: FinishedModel, dataset: Dataset) -> bool:
    return model.manifest.transform_digest == dataset.manifest.transform_digest
