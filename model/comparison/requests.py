"""What a worker of a comparison is asked for, a line of JSON each; which it is is told by its keys."""

from typing import Literal, TypeAlias

from pydantic import TypeAdapter

from model.comparison.json_part import JsonPart
from model.comparison.variants import Baseline, Settings


class ShapesRequest(JsonPart):
    """Asks for the shapes of the validation and the test split."""

    shapes: Literal[True] = True


class BaselineRequest(JsonPart):
    """Asks how a baseline ranks validation and test."""

    baseline: Baseline


class TrainRequest(JsonPart):
    """Asks for a training, and how it ranks validation."""

    train: list[str]
    """KEY=VALUE of the spec each."""
    directory: str
    """Of the unfinished training."""
    test: bool
    """Whether test is ranked too."""


class PeerRequest(JsonPart):
    """Asks for the same of somebody else's model."""

    peer: str
    settings: Settings
    seed: int
    python: str
    """The interpreter that has the model."""
    spec: list[str]
    """KEY=VALUE of the spec each."""
    directory: str
    """Of the files that are passed on."""
    test: bool
    """Whether test is ranked too."""


Request: TypeAlias = ShapesRequest | BaselineRequest | TrainRequest | PeerRequest


REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
