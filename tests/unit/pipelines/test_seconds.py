"""Seconds in public files."""

from pipelines.raw_logs.seconds import as_seconds


def test_seconds_are_decimal_digits_of_a_time_before_2200() -> None:
    texts = ["0", "012", "7258118399", "7258118400", "9" * 5000, "\u00b2", "1.5", "-1", " 1", ""]
    assert [as_seconds(text) for text in texts] == [0, 12, 7_258_118_399, *[None] * 7]
