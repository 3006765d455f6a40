"""The nearest name, in an error."""

import pytest

from stage.errors import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("alfa", ["alpha", "seed"], "; did you mean 'alpha'?"),
        ("zzz", ["seed", "alpha"], "; known: alpha, seed"),
        ("zzz", [], ""),
        ("", ["alpha"], "; known: alpha"),
    ],
)
def test_the_nearest_name_is_named_or_all_of_them(name, known, expected):
    assert did_you_mean(name, iter(known)) == expected


def test_other_words_stand_in_where_no_name_is_near():
    assert did_you_mean("alfa", ["alpha"], otherwise="; see --help") == "; did you mean 'alpha'?"
    assert did_you_mean("zzz", ["alpha"], otherwise="; see --help") == "; see --help"
    assert did_you_mean("alfa", ["alpha"], otherwise="", likeness=0.8) == ""
    assert did_you_mean("sku-1", ["sky-1", "SKU-1"], likeness=0.8) == "; did you mean 'SKU-1'?"
