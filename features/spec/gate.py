"""The section `gate` of the spec."""

from typing import Annotated, TypeAlias

from pydantic import Field

from features.spec.section import Fraction, Section

Margin: TypeAlias = Annotated[float, Field(gt=0, le=1)]


class Gate(Section):
    """When a model is published, by Recall@50 on the test split, and how many stay.

    Margins are differences of Recall@50, which lies between 0 and 1.
    """

    margin: Margin = 0.02
    """By so much the new model's recall may lie below that of the model it replaces. How sure that must be is the 95%
    interval of the difference: one that is wider than the margin is too little data, and so are fewer queries with a
    pair (in session mode users) than 3 / margin."""
    tail_margin: Margin = 0.05
    """The same among tail items."""
    floor: Fraction = 0.05
    """What a first model must reach, with none before it to compare with."""
    tail_floor: Fraction = 0.01
    """The same among tail items."""
    keep: Annotated[int, Field(ge=2)] = 5
    """Published models that stay, the newest; two at least, since readers still hold the one before."""
