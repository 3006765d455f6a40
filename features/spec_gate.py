"""The section `gate` of the spec."""

from typing import Annotated

from pydantic import Field

from features.spec_section import Section


class Gate(Section):
    """What becomes of published models."""

    keep: Annotated[int, Field(ge=2)] = 5
    """Published models that stay, the newest; two at least, since readers still hold the one before."""
