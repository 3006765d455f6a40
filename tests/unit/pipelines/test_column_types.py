"""Columns of another type than the spec wants, in words."""

import pyarrow as pa
import pytest

from features.parsing.truth_values import with_truth_values
from pipelines.aggregation.column_types import wrong_column
from pipelines.aggregation.columns import Columns

TEXT, NUMBER, LIST = pa.field("x", pa.string()), pa.field("x", pa.float64()), pa.field("x", pa.list_(pa.string()))
VECTOR = pa.field("x", pa.list_(pa.float32()))
FLOATS = "cast whole numbers to int64 where the file is written; pandas makes floats of those with missing values"
UNIT = "name its unit, or iso, in sources.interactions.timestamp_unit"

EVENT = "sources.interactions.event"
EVENT_AS_TEXT = (
    "cast it to text where the file is written; sources.interactions.positive_events names the texts that make a pair"
)


def columns_of(field: pa.Field, *, time: str | None = None, key: str | None = None) -> Columns:
    return Columns(pa.schema([field]), {} if key is None else {key: "x"}, time)


@pytest.mark.parametrize(
    ("field", "found", "said"),
    [
        (TEXT, "double", f"text or integers, found double; {FLOATS}"),
        (TEXT, "date32[day]", "text or integers, found date32[day]; cast it to text where the file is written"),
        (
            TEXT,
            "timestamp-millis",
            "text or integers, found timestamp-millis; cast it to text where the file is written",
        ),
        (NUMBER, "timestamp[us]", "numbers, found timestamp[us]; cast it to a number where the file is written"),
        (with_truth_values(TEXT), "float", f"text, integers, true or false, found float; {FLOATS}"),
        (LIST, "list<element: double>", f"lists of texts or integers, found list<element: double>; {FLOATS}"),
    ],
)
def test_they_are_told_with_what_to_do(field: pa.Field, found: str, said: str) -> None:
    assert (
        str(wrong_column("a.parquet", field, found=found, columns=columns_of(field, time="at")))
        == f"a.parquet: column x: expected {said}"
    )


@pytest.mark.parametrize(
    ("field", "found", "said"),
    [
        (NUMBER, "string", f"times or numbers, found string; {UNIT}"),
        (TEXT, "double", f"times or text or integers, found double; {UNIT}"),
        (
            NUMBER,
            "date32[day]",
            "times or numbers, found date32[day]; cast it to a timestamp where the file is written",
        ),
        (NUMBER, "bool", "times or numbers, found bool"),
    ],
)
def test_a_column_of_times_has_a_unit(field: pa.Field, found: str, said: str) -> None:
    assert (
        str(wrong_column("a.parquet", field, found=found, columns=columns_of(field, time="x")))
        == f"a.parquet: column x: expected {said}"
    )


@pytest.mark.parametrize(
    ("field", "key", "found", "said"),
    [
        (with_truth_values(TEXT), EVENT, "double", f"text, integers, true or false, found double; {EVENT_AS_TEXT}"),
        (TEXT, "sources.items.id", "double", f"text or integers, found double; {FLOATS}"),
        (
            with_truth_values(TEXT),
            "item.features.price",
            "double",
            f"text, integers, true or false, found double; give the feature the kind numeric, or {FLOATS}",
        ),
        *(
            (field, "item.features.x", found, f"{expected}, found {found}; give the feature the kind {cure}")
            for field, expected, founds in (
                (
                    with_truth_values(TEXT),
                    "text, integers, true or false",
                    {
                        "list<element: string>": "multivalued",
                        "large_list<item: int64>": "multivalued or vector",
                        "list<element: large_string not null>": "multivalued",
                        "fixed_size_list<item: dictionary<values=string, indices=int8, ordered=0>>[2]": "multivalued",
                        "an array of long or string": "multivalued",
                        "decimal128(9, 2)": "numeric",
                    },
                ),
                (
                    NUMBER,
                    "numbers",
                    {
                        "list<element: string>": "multivalued",
                        "list<element: double>": "vector",
                        "an array of double or float": "vector",
                        "fixed_size_list<element: halffloat not null>[768]": "vector",
                        "large_list<element: decimal128(9, 2)>": "vector",
                        "list<element: null>": "multivalued or vector",
                        "bool": "categorical",
                        "large_string": "categorical or text, or cast it to a number where the file is written",
                    },
                ),
                (
                    LIST,
                    "lists of texts or integers",
                    {
                        "int16": "numeric or categorical",
                        "long": "numeric or categorical",
                        "double": "numeric",
                        "double or float": "numeric",
                        "string": "categorical or text, or split it into a list where the file is written",
                        "list<element: double>": f"vector, or {FLOATS}",
                    },
                ),
                (
                    VECTOR,
                    "lists of numbers",
                    {
                        "large_string": "categorical or text, or split it into a list of numbers where the file is "
                        "written",
                        "list<element: string>": "multivalued",
                        "an array of int or string": "multivalued",
                        "float": "numeric",
                    },
                ),
            )
            for found, cure in founds.items()
        ),
        *(
            (NUMBER, "item.features.x", found, f"numbers, found {found}")
            for found in (
                "struct<a: int64>",
                "an array of boolean or double",
                "boolean or string",
            )
        ),
        (TEXT, "sources.items.title", "list<element: string>", "text or integers, found list<element: string>"),
        (
            VECTOR,
            "item.features.x",
            "list<element: list<element: double>>",
            "lists of numbers, found list<element: list<element: double>>",
        ),
        (
            TEXT,
            "session.context.features.x",
            "list<element: int64>",
            "text or integers, found list<element: int64>; give the feature the kind multivalued",
        ),
        (
            LIST,
            "session.context.features.x",
            "list<element: double>",
            f"lists of texts or integers, found list<element: double>; {FLOATS}",
        ),
    ],
)
def test_the_key_is_named_and_what_to_do_about_it(field: pa.Field, key: str, found: str, said: str) -> None:
    error = wrong_column("a.parquet", field, found=found, columns=columns_of(field, key=key))
    assert str(error) == f"a.parquet: column x ({key}): expected {said}"
