"""A sample of a dataset's queries, embedded: what an index is measured with.

Shapes: B queries, D dimensions of an embedding.
"""

import tensorflow as tf

from features.dataset import Dataset
from features.spec.evaluate import Evaluate
from features.split import SPLITS
from model.network.example_files import example_parser, readable
from model.network.finished_model import FinishedModel
from model.network.two_tower import TwoTower
from model.ranking.ranking import embed
from model.ranking.reencoding import reencode_queries
from model.ranking.scores import Embeddings
from stage.errors import StageError


def sample_queries(
    two_tower: TwoTower, model: FinishedModel, *, dataset: Dataset, settings: Evaluate, most: int
) -> Embeddings:
    """Embeds the queries of the first examples of test, else of validation, else of training; a hash has ordered them.

    Args:
        two_tower: Its towers.
        model: The model.
        dataset: Where the queries are from.
        settings: How many are embedded at a time.
        most: Examples at most.

    Returns:
        [B, D], B no more than `most`.

    Raises:
        StageError: If there is no example, or the model can't read one.
    """
    parse = example_parser(dataset.query_inputs(), scalars=["query_id"])
    for split in reversed(SPLITS):
        with readable(dataset.directory):
            records = tf.data.TFRecordDataset(dataset.example_files(split), "GZIP").batch(most)
            found = next((parse(batch) for batch in records), None)
        if found is None:
            continue
        queries = reencode_queries(model, dataset, ids=found.pop("query_id").numpy(), features=found)
        return embed(two_tower.encode_queries, queries, batch_size=settings.batch_size)
    raise StageError(f"{dataset.directory}: expected examples to measure the index with, found none")
