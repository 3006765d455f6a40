"""Truth values in columns of texts: those of features and of the event take `true` and `false` as such texts."""

import pyarrow as pa

_TAKEN = {b"truth_values": b"as text"}


def with_truth_values(field: pa.Field) -> pa.Field:
    """The field, marked so that its column, if of texts, takes truth values too."""
    return field.with_metadata(_TAKEN) if pa.types.is_string(field.type) else field


def takes_truth_values(field: pa.Field) -> bool:
    """Whether it is so marked."""
    return field.metadata == _TAKEN


def truth_as_text(value: bool) -> str:
    """As pyarrow casts it."""
    return "true" if value else "false"
