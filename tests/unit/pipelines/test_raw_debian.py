"""The Debian converter on a hand-written index, against rows written by hand; and its sample."""

import gzip
import hashlib
import lzma

import pytest
from raw_files import rows_of

from pipelines.raw_logs.convert import main
from pipelines.raw_logs.debian import tags
from pipelines.raw_logs.debian_sample import choose_sources
from stage.errors import StageError
from stage.manifest import Manifest

INDEX = """\
Package: game
Version: 1.0
Installed-Size: 100
Maintainer: Ann Other <ann@example.org>
Depends: game-data (= 1.0), libfoo1 (>= 2) | libfoo0,
 libbar:any, virtual-thing | libfoo1
Recommends: libfoo1
Description: A game of chance
Homepage: https://Games.example.org:8080/chance
Tag: role::program, use::{gameplaying, learning},
\tinterface::x11
Section: misc

Package: game-data
Source: game (1.0-1)
Version: 1.0
Installed-Size: 2000
Maintainer: Ann Other <ann@example.org>
Description: A game of chance (data)
Tag: role::program
Section: games

Package: libfoo1
Source: foo (2.1)
Version: 2.1
Maintainer: Foo Team
Pre-Depends: libbar
Description: Foo things
Homepage: http://[bad
Section: libs

Package: libfoo1
Source: foo (2.2)
Version: 2.2
Maintainer: Foo Team

this line is not a field
 nor: goes this one on with any
Version: 3

Package: libbar
Installed-Size: large
Suggests: game, ???
Section: libs
"""


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "Packages.xz"
    path.write_bytes(lzma.compress(INDEX.encode()))
    return path


def convert(index, output, *flags):
    main(["debian", "--input", str(index), "--output", str(output), *flags])


def test_interactions_are_first_alternatives_between_sources(index, tmp_path):
    convert(index, tmp_path / "raw")
    assert rows_of(tmp_path / "raw", "interactions") == [
        {"query_id": "game", "item_id": "foo", "event": "depends"},
        {"query_id": "game", "item_id": "libbar", "event": "depends"},
        {"query_id": "game", "item_id": "foo", "event": "recommends"},
        {"query_id": "foo", "item_id": "libbar", "event": "pre_depends"},
        {"query_id": "libbar", "item_id": "game", "event": "suggests"},
    ]


def test_items_sum_up_the_binaries_of_a_source(index, tmp_path):
    convert(index, tmp_path / "raw")
    foo, game, libbar = rows_of(tmp_path / "raw", "items")
    assert (
        game
        == {
            "item_id": "game",
            "title": "game",
            "section": "games",  # a tie: the first in the alphabet
            "maintainer": hashlib.sha256(b"Ann Other <ann@example.org>").hexdigest()[:12],
            "homepage_host": "games.example.org",
            "debtags": ["interface::x11", "role::program", "use::gameplaying", "use::learning"],
            "name_words": "game",
            "description_words": "A game of chance. A game of chance (data)",
            "installed_size": 2100,
        }
    )
    assert (foo["installed_size"], foo["homepage_host"], foo["debtags"]) == (None, None, [])
    assert (libbar["installed_size"], libbar["maintainer"], libbar["description_words"]) == (None, None, "")


def test_what_most_binaries_say_is_said_of_the_source_and_a_synopsis_once(tmp_path):
    binaries = [("a", "admin", "Foo"), ("b", "libs", "Foo"), ("c", "libs", "Bar")]
    paragraphs = [f"Package: {b}\nSource: foo-bar_2.x+\nSection: {s}\nDescription: {d}\n" for b, s, d in binaries]
    (tmp_path / "Packages").write_text("\n".join([*paragraphs, "Package: d\nDepends: a\n"]))
    convert(tmp_path / "Packages", tmp_path / "raw")
    _, foo = rows_of(tmp_path / "raw", "items")
    assert (foo["section"], foo["description_words"], foo["name_words"]) == ("libs", "Foo. Bar", "foo bar 2 x")


def test_no_name_of_a_person_is_left(index, tmp_path):
    convert(index, tmp_path / "raw")
    left = b"".join(gzip.decompress(file.read_bytes()) for file in (tmp_path / "raw").glob("*.gz"))
    assert b"Ann" not in left
    assert b"@" not in left


def test_manifest_counts_what_was_left_out(index, tmp_path):
    convert(index, tmp_path / "raw")
    manifest = Manifest.read(str(tmp_path / "raw"), "raw", verify=True)
    assert manifest.counts == {"interactions": 5, "items": 3}
    assert manifest.rejected == {
        "relation_within_source": 1,
        "relation_to_unknown_package": 1,
        "malformed_relation": 1,
        "further_version_of_package": 1,
        "malformed_line": 2,
        "paragraph_without_package": 1,
        "malformed_homepage": 1,
        "malformed_installed_size": 1,
    }


@pytest.mark.parametrize("compress", [lambda content: content, gzip.compress, lzma.compress])
def test_compression_is_told_by_the_content(compress, tmp_path):
    (tmp_path / "Packages").write_bytes(compress(INDEX.encode()))
    convert(tmp_path / "Packages", tmp_path / "raw")
    assert len(rows_of(tmp_path / "raw", "items")) == 3


@pytest.mark.parametrize(("line", "malformed"), [(b"Description: \xff", 2), (b"no field", 2), (b"", 1)])
def test_what_a_malformed_line_goes_on_with_is_nobody_s_value(line, malformed, tmp_path):
    """The line behind it would make perl something that a depends on."""
    index = [b"Package: a", b"Depends: b", line, b" needs, perl", b"", b"Package: b", b"", b"Package: perl", b""]
    (tmp_path / "Packages").write_bytes(b"\n".join(index))
    convert(tmp_path / "Packages", tmp_path / "raw")
    assert rows_of(tmp_path / "raw", "interactions") == [{"query_id": "a", "item_id": "b", "event": "depends"}]
    assert Manifest.read(str(tmp_path / "raw"), "raw").rejected == {"malformed_line": malformed}


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_damaged_file_is_one_line(compress, tmp_path):
    content = bytearray(compress(INDEX.encode()))
    content[30:50] = bytes(20)
    (tmp_path / "Packages").write_bytes(content)
    with pytest.raises(StageError, match=r"Packages: cut off or damaged, download it again"):
        convert(tmp_path / "Packages", tmp_path / "raw")


def test_a_file_that_is_no_index_is_refused_with_the_reasons(tmp_path):
    (tmp_path / "Packages").write_text("hello\nworld\n")
    with pytest.raises(StageError, match=r"Packages: expected lines .*malformed_line 2 times, first at Packages:1"):
        convert(tmp_path / "Packages", tmp_path / "raw")


def test_braces_in_tags():
    assert tags("a::b, use::{x,y}") == ["a::b", "use::x", "use::y"]


TRIANGLE = [("a", "b"), ("b", "c"), ("c", "a")]


def test_sample_keeps_the_densest_part():
    tail = [("d", "a"), ("e", "d"), ("f", "e")]
    assert choose_sources(TRIANGLE + tail, "abcdef", size=3, seed=0) == {"a", "b", "c"}
    # One that is needed alone is as dense as one that needs.
    assert choose_sources([("a", "c"), ("b", "c"), ("a", "b"), *tail], "abcdef", size=3, seed=0) == {"a", "b", "c"}


def test_a_tenth_of_the_sample_is_cold():
    everyone = [f"s{n}" for n in range(10)] + [f"cold{n}" for n in range(50)]
    ring = [(f"s{n}", f"s{(n + 1) % 10}") for n in range(10)]
    chosen = choose_sources(ring, everyone, size=10, seed=0)
    assert len(chosen) == 10
    assert sum(name.startswith("cold") for name in chosen) == 1
    assert choose_sources(ring, everyone, size=10, seed=1) != chosen


def test_a_cold_source_is_one_that_no_other_needs_whatever_it_needs():
    ring = [(f"s{n}", f"s{(n + 1) % 10}") for n in range(10)]
    # By its one pair it would be the first to go.
    chosen = choose_sources([*ring, ("leaf", "s0")], [*(f"s{n}" for n in range(10)), "leaf"], size=10, seed=0)
    assert ("leaf" in chosen, len(chosen)) == (True, 10)


def test_the_seed_draws_the_sample_and_the_manifest_has_it(index, tmp_path):
    kept = set()
    for seed in "0123":
        convert(index, tmp_path / seed, "--sample-sources", "2", "--seed", seed)
        kept |= {row["item_id"] for row in rows_of(tmp_path / seed, "items")}
    assert kept == {"foo", "game", "libbar"}
    assert Manifest.read(str(tmp_path / "3"), "raw").job_options == {
        "source": "debian", "sample_sources": "2", "seed": "3",
    }  # fmt: skip


def test_sample_flag_leaves_relations_among_the_sample_alone(index, tmp_path):
    convert(index, tmp_path / "raw", "--sample-sources", "2")
    kept = {row["item_id"] for row in rows_of(tmp_path / "raw", "items")}
    rows = rows_of(tmp_path / "raw", "interactions")
    assert len(kept) == 2
    assert rows
    assert {row[key] for row in rows for key in ("query_id", "item_id")} == kept
    manifest = Manifest.read(str(tmp_path / "raw"), "raw")
    assert manifest.rejected["source_outside_sample"] == 1
    assert manifest.rejected["relation_outside_sample"] == 5 - len(rows)
