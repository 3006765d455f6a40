"""However a file is cut into ranges and blocks, each of its lines is read once, whole, at its place."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.parsing.utf8 import BOM
from pipelines.aggregation import blocks, input_files
from pipelines.aggregation.blocks import read_blocks
from pipelines.aggregation.input_files import FileRange, InputFile, ranges_of

contents = st.lists(
    st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"x")) | st.sampled_from([b"long" * 20, BOM]),
    max_size=8,
).flatmap(lambda lines: st.sampled_from([b"\n".join(lines), b"".join(line + b"\n" for line in lines)]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("blocks")


def write(folder, content, name="log.jsonl"):
    path = folder / name
    path.write_bytes(content)
    return InputFile(path=str(path), name=name, size=path.stat().st_size, number=0, format="jsonl")


def lines(content, at=0):
    """(offset, line with its newline) of each line from a byte on."""
    found = []
    while at < len(content):
        end = content.find(b"\n", at) + 1 or len(content)
        found.append((at, content[at:end]))
        at = end
    return found


def lines_of_file(content):
    """The same of a file, of which a mark of byte order at its start is no part."""
    return lines(content, at=len(BOM) if content.startswith(BOM) else 0)


@given(contents, st.integers(1, 30), st.integers(1, 30))
def test_any_ranges_and_blocks_give_every_line_once(folder, content, range_bytes, block_bytes):
    file = write(folder, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_files, "RANGE_BYTES", range_bytes)
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        found = [block for part in ranges_of([file]) for block in read_blocks(part)]
    assert [(offset + at, line) for offset, block in found for at, line in lines(block)] == lines_of_file(content)


@given(contents, st.integers(1, 30))
def test_a_compressed_file_gives_the_lines_and_places_of_the_plain_one(folder, content, block_bytes):
    file = write(folder, gzip.compress(content[:5]) + gzip.compress(content[5:]), "log.jsonl.gz")
    assert file.compression == "gzip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block_bytes)
        found = list(read_blocks(FileRange(file, 0, None)))
    assert [(offset + at, line) for offset, block in found for at, line in lines(block)] == lines_of_file(content)
