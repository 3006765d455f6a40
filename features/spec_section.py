"""What every section of the spec is made of."""

from typing import Annotated, Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from stage.errors import did_you_mean

Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Positive: TypeAlias = Annotated[int, Field(ge=1)]
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=7_258_118_400)]
"""As many as lie between the first and the last time that is taken: 1970 to 2200."""
Count: TypeAlias = Annotated[int, Field(ge=0)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**32)]


class Section(BaseModel):
    """A part of the spec: frozen, unknown keys refused, truth values no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, keys: Any) -> Any:
        for key in keys if isinstance(keys, dict) else ():
            if key not in cls.model_fields:
                raise ValueError(f"{key}: no such key{did_you_mean(str(key), cls.model_fields)}")
        return keys

    @model_validator(mode="before")
    @classmethod
    def _truth_values_are_no_numbers(cls, keys: Any) -> Any:
        if not isinstance(keys, dict):
            return keys
        wrong = [
            InitErrorDetails(type=f"{kind.__name__}_type", loc=place, input=value)
            for name, field in cls.model_fields.items()
            if (kind := _number(field.annotation)) is not None
            for place, value in _values(name, keys.get(name), are_list=get_origin(field.annotation) is list)
            if isinstance(value, bool)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return keys


def _number(annotation: Any) -> type[int] | type[float] | None:
    """The kind of number that a type is or is made of."""
    if annotation in (int, float):
        return annotation
    return next((kind for part in get_args(annotation) if (kind := _number(part)) is not None), None)


def _values(name: str, found: Any, *, are_list: bool) -> list[tuple[tuple[int | str, ...], Any]]:
    """What stands for a key, or in its list, each with its place; none where a list is wanted and none found."""
    if not are_list:
        return [((name,), found)]
    return [((name, n), value) for n, value in enumerate(found)] if isinstance(found, list) else []
