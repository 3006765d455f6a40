"""What every command line takes: the nearest flag is named, --set repeats, switches have values or none."""

import os
import subprocess
import sys

import pytest

from stage.command_line import run_command
from stage.errors import UsageError
from stage.parser import Parser


def parser():
    made = Parser(prog="ssl-two-tower verb", description="Does it.", example="ssl-two-tower verb --output X")
    made.add_argument("--output", required=True)
    made.add_argument("--shards", type=int)
    made.add_set_option(["ssl"])
    return made


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--output", "x", "--shard=3"], "unknown argument --shard; did you mean '--shards'?"),
        (["--output", "x", "--out", "y"], "unknown argument --out; did you mean '--output'?"),
        (["--output", "x", "--zzzzzz"], "unknown argument --zzzzzz; see ssl-two-tower verb --help"),
        (["--output", "x", "stray"], "unknown argument stray; see ssl-two-tower verb --help"),
        (["--output", "x", "stray", "--shrads", "3"], "unknown argument --shrads; did you mean '--shards'?"),
        (
            ["--output", "x", "--train.epochs", "3"],
            "unknown argument --train.epochs; a key of the spec is set by --set train.epochs=VALUE, each by",
        ),
        (
            ["--output=x", "--set", "a.b=1", "c.d=2"],
            "unknown argument c.d; a key of the spec is set by --set c.d=VALUE",
        ),
        (
            ["--output=x", "--set", "split.test", "0.2"],
            "argument --set: expected KEY=VALUE, as in --set ssl.alpha=0, got 'split.test' (see ssl-two-tower verb",
        ),
        (["--output", "x", "shop.yaml"], "unknown argument shop.yaml; see ssl-two-tower verb --help"),
        ([], "the following arguments are required: --output (see ssl-two-tower verb --help)"),
        (["--outptu", "x", "--shards", "3"], "unknown argument --outptu; did you mean '--output'?"),
        (["--outptu=a/path/that/is/long"], "unknown argument --outptu; did you mean '--output'?"),
        (["--output", "x", "stray", "-n", "3"], "unknown argument -n; see ssl-two-tower verb --help"),
        (["--shards=3", "--other"], "the following arguments are required: --output (see ssl-two-tower verb --help)"),
        (["--output", "x", "--shards", "many"], "argument --shards: invalid int value: 'many' (see"),
        (["--output", "x", ""], "got an empty argument, as of a shell variable that isn't set; see ssl-two-tower verb"),
        (["--output", ""], "--output: expected a value, got an empty one, as of a shell variable that isn't set"),
        (["--output="], "--output: expected a value, got an empty one"),
        (["--output", "x", "", "stray"], "unknown argument stray; see ssl-two-tower verb --help"),
        (["--output", "x", "--verbose=maybe"], "argument --verbose: expected true or false, got 'maybe' (see"),
    ],
)
def test_wrong_use_is_refused_with_the_nearest_flag(capsys, argv, message):
    assert run_command(lambda arguments: print(parser().parse_args(arguments)), argv) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_a_flag_is_not_misspelt_for_being_like_one_that_is_missing():
    made = Parser(prog="p", description="d", example="e")
    made.add_argument("--model", required=True)
    made.add_argument("--models")
    with pytest.raises(UsageError, match=r"^the following arguments are required: --model \(see p --help\)$"):
        made.parse_args(["--models", "x"])


def test_no_key_is_advised_where_none_can_be_set():
    made = Parser(prog="p", description="d", example="e")
    with pytest.raises(UsageError, match=r"^unknown argument --train\.epochs; see p --help$"):
        made.parse_args(["--train.epochs=3"])


def test_an_empty_word_that_belongs_to_no_flag_is_for_the_command_to_refuse():
    made = Parser(prog="p", description="d", example="e")
    made.add_argument("source")
    assert made.parse_args([""]).source == ""


def test_an_empty_argument_beside_another_librarys_flags_is_named():
    with pytest.raises(UsageError, match="got an empty argument"):
        parser().refuse_unknown([""])


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("--runer=X", "did you mean '--runner'?"),
        ("--json", "see ssl-two-tower verb --help"),  # it is like --zone by 0.67
        ("--ouptut", "did you mean '--output'?"),  # our own, though Beam's is nearer
    ],
)
def test_flags_that_another_library_takes_are_near_too_but_ours_come_first(argument, advice):
    with pytest.raises(UsageError) as caught:
        parser().refuse_unknown([argument], also_known=["--runner", "--zone", "--ouptput"])
    assert str(caught.value) == f"unknown argument {argument.partition('=')[0]}; {advice}"


def test_help_shows_an_example_and_leaves_0(capsys):
    assert run_command(lambda argv: print(parser().parse_args(argv)), ["--help"]) == 0
    out = capsys.readouterr().out
    assert "example:\n  ssl-two-tower verb --output X" in out
    assert "--verbose" in out


def test_set_may_be_repeated():
    arguments = parser().parse_args(["--output", "x", "--set", "a=1", "--set=b=2"])
    assert arguments.overrides == ["a=1", "b=2"]
    assert parser().parse_args(["--output", "x"]).overrides == []


def test_set_says_which_sections_it_takes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    made = Parser(prog="ssl-two-tower verb", description="Does it.", example="ssl-two-tower verb")
    made.add_set_option(("a", "b"), example="b.c=1")
    assert run_command(lambda argv: print(made.parse_args(argv)), ["--help"]) == 0
    shown = "override a key of a section that this command reads (a, b), as in --set b.c=1; may be repeated"
    assert capsys.readouterr().out.count(shown) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], False), (["--overwrite"], True), (["--overwrite=true"], True), (["--overwrite=False", "--x"], False)],
)
def test_a_switch_is_a_flag_or_has_a_value_as_templates_give_it(arguments, expected):
    parser = Parser(prog="p", description="d", example="e")
    parser.add_switch("--overwrite", help="h")
    parser.add_switch("--x", help="h")
    assert parser.parse_args(arguments).overwrite is expected
    with pytest.raises(UsageError, match="--overwrite: expected true or false, got 'yes'"):
        parser.parse_args(["--overwrite=yes"])


@pytest.mark.parametrize(("unbuffered", "where"), [("", "stdout: "), ("1", "")])
def test_help_that_cannot_be_printed_is_an_error(unbuffered, where):
    program = """
from stage.command_line import run_process
from stage.parser import Parser

run_process(Parser(prog="p", description="d", example="e").parse_args)
"""
    with open("/dev/full", "wb") as full:
        found = subprocess.run(
            [sys.executable, "-c", program, "--help"],
            check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (found.returncode, found.stderr) == (1, f"error: {where}No space left on device\n")
