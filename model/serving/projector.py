"""Item embeddings as TensorBoard's projector reads them: a point per item, coloured by any of its features."""

import os
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorboard.plugins import projector

from features.large_tables import take_rows
from features.parsing.list_numbers import is_vector
from model.serving.served_items import ServedItems

EMBEDDINGS, METADATA = "embeddings.tsv", "metadata.tsv"


def write_projector(items: ServedItems, directory: str, *, most: int) -> int:
    """Writes embeddings, what is known of each but vectors, and the configuration that names both.

    Args:
        items: The corpus.
        directory: A local one, what `tensorboard --logdir` is given.
        most: Items that are written at most, the most frequent in training first, ties by id; of 0 no file is made.

    Returns:
        Items written.
    """
    if most == 0:
        return 0
    counts = items.entities["train_count"].to_numpy()
    chosen = np.argsort(-counts, kind="stable")[:most]
    os.makedirs(directory, exist_ok=True)
    np.savetxt(os.path.join(directory, EMBEDDINGS), items.embeddings[chosen], fmt="%.6g", delimiter="\t")
    known = take_rows(items.entities, chosen)
    # Only the chosen ones' features, since those of all may be more than can be put in another order.
    shown = items.raw.select([field.name for field in items.raw.schema if not is_vector(field.type)])
    raw = shown.filter(pc.is_in(shown["id"], value_set=known["id"].combine_chunks()))
    features = raw.drop_columns("id").take(pc.index_in(known["id"], value_set=raw["id"].combine_chunks()))
    names = [*known.column_names, *features.column_names]
    columns = [_texts(column) for column in (*known.columns, *features.columns)]
    with open(os.path.join(directory, METADATA), "w", encoding="utf-8", newline="\n") as file:
        for cells in (names, *zip(*columns, strict=True)):
            file.write("\t".join(cells) + "\n")
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="items", tensor_path=EMBEDDINGS, metadata_path=METADATA)
    projector.visualize_embeddings(directory, config)
    return len(chosen)


def _texts(column: pa.ChunkedArray) -> Iterable[str]:
    """Cells of a table without tabs and newlines."""
    for value in column.to_pylist():
        text = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        yield " ".join(text.split())
