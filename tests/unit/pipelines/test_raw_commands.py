"""`convert` and `generate` as commands: usage, outputs that exist, determinism, what is printed; and real data."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest
from places import SAMPLE, full_data

from pipelines.raw_logs import convert, generate, raw_output
from stage.command_line import run_command
from stage.errors import StageError
from stage.manifest import Manifest

INDEX = "Package: a\nDepends: b\n\nPackage: b\n"
GENERATE = "--interactions 3000 --queries 50 --items 40 --seed 7".split()  # noqa: SIM905


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "Packages"
    path.write_text(INDEX)
    return str(path)


def files_of(directory):
    return {file.name: file.read_bytes() for file in Path(directory).glob("*.gz")}


@pytest.mark.parametrize(
    "case",
    [
        (convert.main, ["debiam", "--input", "x", "--output", "y"], 2, "did you mean 'debian'?"),
        (convert.main, ["debian", "--output", "y"], 2, "--input"),
        (convert.main, ["debian", "--input", "x", "--outptu", "y"], 2, "--output"),
        (
            convert.main,
            ["debian", "--input", "nowhere/Packages.xz", "--output", "y"],
            1,
            "nowhere/Packages.xz: there is no",
        ),
        (convert.main, ["debian", "--input", ".", "--output", "y"], 1, ".: expected a file, got a directory"),
        (
            convert.main,
            ["wikispeedia", "--input", "nowhere", "--output", "y"],
            1,
            "nowhere: expected the directory of SNAP",
        ),
        (convert.main, ["wikispeedia", "--input", "x", "--output", "y", "--sample-sources", "3"], 2, "only debian"),
        (convert.main, ["debian", "--input", "x", "--output", "y", "--by-day"], 2, "only wikispeedia"),
        (convert.main, ["debian", "--input", "x", "--output", "y", "--seed", "3"], 2, "expected --sample-sources"),
        (
            convert.main,
            ["debian", "--input", "y/x", "--output", "y"],
            2,
            "--input: expected a place outside of --output",
        ),
        *(
            (
                generate.main,
                ["--interactions", "9", "--queries", "1", "--items", items, "--output", "y"],
                2,
                "--items, --queries: expected as many as memory holds, got more: ",
            )
            for items in ("100000000000000", f"1{'0' * 22}")
        ),
        (convert.main, ["debian", "--input", "x", "--output", "y", "--sample-sources", "0"], 2, "at least 1, got '0'"),
        (
            generate.main,
            ["--interactions", "many", "--queries", "1", "--items", "10", "--output", "y"],
            2,
            "got 'many'",
        ),
        (generate.main, ["--interactions", "9", "--queries", "1", "--items", "9", "--output", "y"], 2, "at least 10"),
        (generate.main, ["--interactions", "9", "--queries", "1", "--itmes", "9", "--output", "y"], 2, "--items"),
    ],
)
def test_wrong_use_is_one_line(case, capsys, tmp_path, monkeypatch):
    command, arguments, exit_code, message = case
    monkeypatch.chdir(tmp_path)
    assert run_command(command, arguments) == exit_code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "y").exists()


def test_a_finished_output_is_made_again_only_with_overwrite(index, tmp_path, capsys):
    arguments = ["debian", "--input", index, "--output", str(tmp_path / "raw")]
    assert run_command(convert.main, arguments) == 0
    assert run_command(convert.main, arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run_command(convert.main, [*arguments, "--overwrite"]) == 0
    Manifest.read(str(tmp_path / "raw"), "raw", verify=True)


def test_a_conversion_that_another_one_has_followed_writes_no_more(tmp_path):
    first, second = (raw_output.RawOutput.start(str(tmp_path / "raw"), overwrite=False) for _ in range(2))
    second.write_rows("items", [{"item_id": "a"}])
    expected = "raw: another run was started into it meanwhile and has taken it over"
    with pytest.raises(StageError, match=expected):
        first.finish(inputs={}, options={})
    assert not (tmp_path / "raw" / "manifest.json").exists()
    second.finish(inputs={}, options={})
    with pytest.raises(StageError, match=expected):
        first.write_rows("items", [{"item_id": "b"}])
    assert Manifest.read(str(tmp_path / "raw"), "raw", verify=True).run_id == second.run_id


def test_the_same_input_gives_the_same_bytes(index, tmp_path):
    for output in ("one", "two"):
        convert.main(["debian", "--input", index, "--output", str(tmp_path / output)])
        generate.main([*GENERATE, "--output", str(tmp_path / f"{output}-made-up")])
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert len(files_of(tmp_path / "one")) == 2
    assert files_of(tmp_path / "one-made-up") == files_of(tmp_path / "two-made-up")
    assert len(files_of(tmp_path / "one-made-up")) == 3


def test_parts_hold_the_lines_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(raw_output, "LINES_PER_PART", 2)
    output = raw_output.RawOutput.start(str(tmp_path / "raw"), overwrite=False)
    output.write_rows("items", [{"item_id": str(n)} for n in range(5)])
    files = files_of(tmp_path / "raw")
    assert sorted(files) == [f"items-0000{n}-of-00003.jsonl.gz" for n in range(3)]
    lines = b"".join(gzip.decompress(files[name]) for name in sorted(files))
    assert lines == b'{"item_id":"0"}\n{"item_id":"1"}\n{"item_id":"2"}\n{"item_id":"3"}\n{"item_id":"4"}\n'
    assert output.content == {"items": hashlib.sha256(lines).hexdigest()}


def test_json_summary_is_read_by_programs(index, tmp_path, capsys):
    convert.main(["debian", "--input", index, "--output", str(tmp_path / "raw"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"interactions": 1, "items": 2}
    assert found["left_out"] == {}


def test_the_shipped_sample_is_whole_and_small():
    manifest = Manifest.read(str(SAMPLE), "raw", verify=True)
    assert manifest.counts["items"] == 3000
    assert sum(file.size for file in manifest.files) < 2_000_000
    assert b"@" not in b"".join(gzip.decompress(content) for content in files_of(SAMPLE).values())


def test_the_shipped_sample_is_what_the_converter_makes(tmp_path):
    index = full_data("debian/Packages.trixie.xz")
    convert.main(["debian", "--input", str(index), "--output", str(tmp_path / "raw"), "--sample-sources", "3000"])
    made, shipped = files_of(tmp_path / "raw"), files_of(SAMPLE)
    # Uncompressed: another version of zlib may compress to other bytes.
    assert {n: gzip.decompress(c) for n, c in made.items()} == {n: gzip.decompress(c) for n, c in shipped.items()}


def test_full_wikispeedia_leaves_every_line_of_the_public_files(tmp_path):
    convert.main(["wikispeedia", "--input", str(full_data("wikispeedia")), "--output", str(tmp_path / "raw")])
    manifest = Manifest.read(str(tmp_path / "raw"), "raw")
    # Lines of links.tsv; pages of all paths that are neither < nor the first; lines of articles.tsv.
    assert manifest.counts == {"interactions-link": 119_882, "interactions-click": 244_091, "items": 4_604}
    assert set(manifest.rejected) == {"path_without_click"}
