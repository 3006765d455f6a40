"""What the JSON of a comparison is made of: its files, and what its processes ask each other."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class JsonPart(BaseModel):
    """A part of it: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def if_known() -> Any:
    """A field that is written only where it has a value, so that a file without it stays the same."""
    return Field(default=None, exclude_if=lambda value: value is None)
