"""shapes.json beside the studies of a dataset: the pairs of its splits, of which stored ranks are."""

import json
import re

import numpy as np
from pydantic import ValidationError

from model.comparison.json_part import JsonPart, if_known
from model.comparison.split_shape import PackedShape, unpack_shape
from stage import storage
from stage.errors import StageError
from stage.first_problem import first_problem

NAME = "shapes.json"


class Shapes(JsonPart):
    """What the file holds."""

    dataset: str
    """Its content digest."""
    spec: str | None = if_known()
    """Digest of what all trainings depend on beside the dataset, whatever the share."""
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


def fractions_in(studies: str) -> list[str]:
    """The shares of the training pairs of which there are files in the directory of all studies, the largest first."""
    found = {match[1] for name in storage.sizes(studies) if (match := _OF_A_FRACTION.match(name))}
    return sorted(found, key=float, reverse=True)


_OF_A_FRACTION = re.compile(r"fraction-(\d+(?:\.\d+)?(?:e-\d+)?)/")
"""How the name of a file begins that is of a share; what else lies there, such as notes, is none of ours."""


def check_same_comparison(path: str, shapes: Shapes, *, beside: str, other: Shapes) -> None:
    """Checks that two shares of one comparison have one spec and one test split, which dropped training pairs leave.

    Cold items aren't compared: with fewer training pairs more items have none.

    Args:
        path: Where the shapes stand, or are to stand.
        shapes: Of one share.
        beside: Where the other's stand.
        other: Of another share.

    Raises:
        StageError: If they have two of either.
    """
    first, second = unpack_shape(shapes.test, source=path), unpack_shape(other.test, source=beside)
    indices = ((shape.query_index, shape.user_index()) for shape in (first, second))
    same = all(map(np.array_equal, *indices)) and all(
        np.array_equal(first.slices[name], second.slices[name]) for name in ("head", "tail")
    )
    if not same or shapes.cold_items != other.cold_items:
        raise StageError(
            f"{path}: expected the test split of {beside}, whatever the share of the training pairs, found another; "
            "the two are of two specs or logs; give each an --output of its own"
        )
    if None not in (shapes.spec, other.spec) and shapes.spec != other.spec:
        raise StageError(
            f"{path}: expected what trainings read of the spec to be that of {beside}, found another; a --set or "
            "--most-steps has changed: give it again, or another --output"
        )
