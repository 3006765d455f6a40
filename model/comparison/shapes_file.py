"""shapes.json beside the studies of a dataset: the pairs of its splits, of which stored ranks are."""

import json

from pydantic import ValidationError

from model.comparison.record import Record, if_known
from model.comparison.split_shape import PackedShape
from stage import storage
from stage.errors import StageError
from stage.first_problem import first_problem

NAME = "shapes.json"


class Shapes(Record):
    """What the file holds."""

    dataset: str
    """Its content digest."""
    cold_items: float | None = if_known()
    """`split.cold_items`, where it is above 0."""
    validation: PackedShape
    test: PackedShape


def read_shapes(path: str) -> Shapes | None:
    """Reads the file; None if there is none.

    Raises:
        StageError: If it isn't whole.
    """
    if not storage.exists(path):
        return None
    try:
        return Shapes.model_validate_json(storage.read_bytes(path))
    except ValidationError as error:
        raise StageError(
            f"{path}: not the pairs of a dataset's splits: {first_problem(error)}; delete it, and the comparison's "
            "command makes it again"
        ) from None


def write_shapes(path: str, shapes: Shapes) -> None:
    """Writes the file."""
    storage.write_bytes(path, (json.dumps(shapes.model_dump(mode="json"), indent=1) + "\n").encode())
