"""The console command: verbs, help, exit codes."""

import re
import runpy
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from places import ROOT, SAMPLE

from features.spec.file import load_spec
from features.spec.sections_read import SECTIONS_READ
from pipelines.cli import VERBS, _check_directories, dispatch
from stage.command_line import run_command
from stage.errors import StageError
from stage.manifest import Manifest, StageName

Parse = Callable[[list[str]], tuple[Namespace, list[str]]]


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_each_verb_has_help_with_an_example_that_it_takes(
    verb: str, capsys: pytest.CaptureFixture[str], parsed: Parse
) -> None:
    assert run_command(dispatch, [verb, "--help"]) == 0
    program, *arguments = shlex.split(capsys.readouterr().out.partition("example:\n")[2])
    assert (program, arguments[0]) == ("ssl-two-tower", verb)
    assert parsed(arguments)[1] == []


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_module_of_each_verb_is_a_command_too(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(dispatch, [verb, "--help"]) == 0
    shown = capsys.readouterr().out
    monkeypatch.setattr("stage.command_line.ignore_signals", lambda: None)  # for this process goes on
    monkeypatch.setattr(sys, "argv", ["-m", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(VERBS[verb].module, run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == shown


def test_a_comparison_has_8_trials_and_five_seeds_unless_told_otherwise(parsed: Parse) -> None:
    options, _ = parsed(["compare", "--output", "o"])
    assert (options.trials, options.seeds, options.most_steps) == (8, 5, 4000)
    assert (options.protocol, options.train_fraction, options.workers, options.threads) == (["tuned"], [1.0], 1, 1)


def test_the_help_names_each_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(dispatch, ["--help"]) == 0
    shown = capsys.readouterr().out
    for verb, known in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(known.summary)}$", shown, flags=re.MULTILINE)


def test_help_of_a_verb_may_be_asked_for_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for asked in ("run --help", "help run", "--help run", "-h run --json", "help --verbose run", "--help", "help -h"):
        assert run_command(dispatch, asked.split()) == 0
        shown[asked] = capsys.readouterr().out
    *of_run, whole, alone = shown.values()
    assert len({*of_run}) == 1
    assert of_run[0].startswith("usage: ssl-two-tower run ")
    assert whole == alone != of_run[0]
    assert run_command(dispatch, ["help", "evalute"]) == 2
    assert capsys.readouterr().err.startswith("error: no verb 'evalute'; did you mean 'evaluate'?")


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(dispatch, ["--version"]) == 0
    assert capsys.readouterr().out == f"ssl-two-tower {version('ssl-two-tower')}\n"


@pytest.mark.parametrize("verbose", ["--verbose", "--verbose=true", "--verbose=false"])
def test_verbose_may_stand_before_the_verb_and_before_its_source(
    verbose: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([verbose, "convert", "debain"], ["convert", verbose, "debain"]):
        assert run_command(dispatch, [*arguments, "--input", "x", "--output", "y"]) == 2
        assert "expected a known SOURCE, got 'debain'; did you mean 'debian'?" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(SECTIONS_READ))
def test_the_override_that_a_verb_s_help_shows_is_one_that_it_takes(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run_command(dispatch, [verb, "--help"]) == 0
    (override,) = re.findall(r"as in --set (\S+);", capsys.readouterr().out)
    assert load_spec("synthetic", [override], verb=verb)  # refuses those of others


@pytest.mark.parametrize("verb", sorted(SECTIONS_READ))
def test_an_override_of_no_key_is_an_error_in_one_line(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(dispatch, [verb, "--help"]) == 0
    _, *arguments = shlex.split(capsys.readouterr().out.partition("example:\n")[2])
    code, said = run_command(dispatch, [*arguments, "--set", "no.key=1"]), capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    if "--spec" in arguments:
        assert (code, said.err.startswith("error: --set no.key: no such section; known: ")) == (2, True)
    else:  # its directories aren't there
        assert code == 1


@pytest.mark.parametrize("verb", ["build-dataset", "aggregate-spark", "run"])
def test_the_help_of_each_instant_says_in_which_zone_it_is(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run_command(dispatch, [verb, "--help"]) == 0
    told = re.findall(r"^  --(\S+) TIME .*ISO 8601, UTC unless it names a zone", capsys.readouterr().out, re.MULTILINE)
    assert told == ["data-start", "data-end", "test-start"]


def test_without_spark_it_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    source = ["--spec", "debian", "--raw", str(SAMPLE)]
    assert run_command(dispatch, ["aggregate-spark", *source, "--output", str(tmp_path / "aggregate")]) == 1
    expected = (
        "error: aggregate-spark needs pyspark, found none: pip install '.[spark]' in a checkout of ssl-two-tower\n"
    )
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "aggregate").exists()


def test_another_module_that_is_not_there_is_no_missing_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pipelines.spark.job", None)
    source = ["--spec", "debian", "--raw", str(SAMPLE)]
    with pytest.raises(ModuleNotFoundError, match=r"pipelines\.spark\.job"):
        dispatch(["aggregate-spark", *source, "--output", str(tmp_path / "aggregate")])


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("scipy", "run needs scipy, found none: pip install '.[train]'"),
        ("optuna", "compare needs optuna, found none: pip install '.[compare]'"),
        ("matplotlib", "compare needs matplotlib, found none: pip install '.[compare]'"),
        ("scipy", "compare needs scipy, found none: pip install '.[compare]'"),
        ("matplotlib", "report needs matplotlib, found none: pip install '.[report]'"),
        ("sklearn", "report needs scikit-learn, found none: pip install '.[report]'"),
    ],
)
def test_without_an_extra_nothing_is_begun_that_needs_it(
    module: str,
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verb = line.partition(" ")[0]
    import_module(VERBS[verb].module)  # not what fails here
    monkeypatch.setitem(sys.modules, module, None)
    source = ["--run"] if verb == "report" else ["--spec", "debian", "--output"]
    assert run_command(dispatch, [verb, *source, str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err == f"error: {line} in a checkout of ssl-two-tower\n"
    assert not (tmp_path / "x").exists()


def test_a_verb_whose_module_lacks_a_package_of_an_extra_says_so() -> None:
    lacking = "import sys; sys.modules['scipy'] = None; import pipelines.cli; sys.exit(pipelines.cli.main())"
    command = [sys.executable, "-c", lacking, "report", "--run", "r"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    line = "error: report needs scipy, found none: pip install '.[report]' in a checkout of ssl-two-tower\n"
    assert (found.returncode, found.stderr) == (1, line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: expected a verb"),
        (
            ["--json", "validate", "--dataset", "d"],
            "error: expected a verb first, got '--json'; options come after it: ssl-two-tower validate --json ...\n",
        ),
        (
            ["--output", "run", "train"],
            "error: expected a verb first, got '--output'; options come after it: ssl-two-tower VERB --output ...\n",
        ),
        (["--hepl"], "error: expected a verb first, got '--hepl'; did you mean '--help'?\n"),
        (["evalute"], "error: no verb 'evalute'; did you mean 'evaluate'?; see ssl-two-tower --help"),
        (["run", "--sepc", "debian"], "error: unknown argument --sepc; did you mean '--spec'?"),
        (["run", "--raw", "x"], "error: the following arguments are required: --spec, --output"),
        (["run", "--spec", "debain", "--output", "x"], "error: --spec: expected a shipped spec or a path"),
        (
            ["train", "--dataset", "d", "--output", "o", "--gpus", "0"],
            "error: argument --gpus: expected a whole number of at least 1, got '0' (see ssl-two-tower train --help)",
        ),
        (
            ["report", "--run", "r", "--queries", "0"],
            "error: argument --queries: expected a whole number of at least 1, got '0' (see ssl-two-tower report --h",
        ),
        (["run", "--spec", "debian", "--output", "x", "--json"], "error: unknown argument --json; see ssl-two-tower r"),
        (
            ["run", "--spec", "debian", "--output", "x", "--seed", "3"],
            "error: unknown argument --seed; did you mean --set split.seed=VALUE or --set mutual_information.seed=V",
        ),
        (
            ["compare", "--spec", "debian", "--raw", "r", "--output", "x", "--seed", "3"],
            "error: unknown argument --seed; did you mean '--seeds'?\n",
        ),
        (
            ["train", "--dataset", "d", "--output", "o", "--embedding-dim=64"],
            "error: unknown argument --embedding-dim; did you mean --set model.embedding_dim=VALUE?\n",
        ),
        (["run", "--spec", "debian", "--output", "x", "--runer=DirectRunner"], "error: unknown argument --runer; did"),
        (["run", "--spec", "debian", "--output", "x", "--runner=Flnkrunner"], "error: --runner: no runner 'Fl"),
        (
            ["run", "--spec", "debian", "--output", "x", "--num_workers=abc"],
            "error: argument --num_workers: invalid int value: 'abc' (see ssl-two-tower run --help)",
        ),
        (
            ["build-dataset", "--spec", "debian", "--output", "x", "--runner"],
            "error: argument --runner: expected one argument (see ssl-two-tower build-dataset --help)",
        ),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(dispatch, arguments) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(message)
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        "run --spec debian --output file",
        "compare --spec debian --output file",
        "build-dataset --spec debian --raw sample --output file",
        "train --dataset dataset --output file",
        "export --model model --dataset dataset --output file",
        "publish --export export --to file",
    ],
)
def test_a_file_where_the_output_is_to_be_is_refused_before_anything_else_is_said(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = load_spec("debian").model_dump(mode="json")
    stages: tuple[StageName, ...] = ("dataset", "model", "export")
    for stage in stages:
        Manifest(stage=stage, run_id="r", spec=spec, inputs={"model": "its digest"}).write(stage)
    Path("sample").symlink_to(SAMPLE)
    Path("file").write_text("kept")
    assert run_command(dispatch, command.split()) == 2
    assert capsys.readouterr() == ("", "error: file: expected a directory, found a file; give another one\n")
    assert Path("file").read_text() == "kept"


def test_starting_it_imports_no_stage() -> None:
    code = "import sys, pipelines.cli; print(sorted(m for m in sys.modules if m.partition('.')[0] in heavy))"
    heavy = "heavy = {'tensorflow', 'apache_beam', 'keras', 'model'};"
    found = subprocess.run([sys.executable, "-c", heavy + code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


ANSWERS = """
import contextlib, io, sys
from pathlib import Path
from features.spec.file import load_spec
from pipelines.cli import VERBS, dispatch
from stage.errors import StageError, UsageError
from stage.manifest import Manifest

for verb in VERBS:
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        dispatch([verb, "--help"])
    assert shown.getvalue().startswith(f"usage: ssl-two-tower {verb} "), verb
    try:
        # Whether an unknown flag is one of Beam's, Beam must be asked.
        dispatch([verb] if verb in ("run", "build-dataset") else [verb, "--nonsense", "x"])
        raise AssertionError(verb)
    except UsageError:
        pass
spec = load_spec("debian").model_dump(mode="json")
Manifest(stage="dataset", run_id="r", spec=spec).write("D")
Manifest(stage="model", run_id="r", spec=spec).write("M")
for arguments, said in (
    ("train --dataset D --output O --set train.epoch=1", "no such key; did you mean 'epochs'?"),
    ("train --dataset D --output O --set split.seed=1", "train doesn't read the section split; give it to "),
    ("evaluate --model M --dataset D --output O --set evaluate.max_querys=1", "no such key; did you mean 'max_"),
    ("evaluate --model M --dataset D --output O --set train.epochs=1", "evaluate doesn't read the section train; "),
    ("export --model M --dataset D --output O --set export.topk=1", "no such key; did you mean 'top_k'?"),
    ("gate --model M --dataset D --published P --set gate.margn=1", "no such key; did you mean 'margin'?"),
):
    try:
        dispatch(arguments.split())
        raise AssertionError(arguments)
    except UsageError as error:
        assert f"{arguments.split()[-1][:-2]}: {said}" in str(error), error
for arguments in (
    "train --dataset nope --output O",
    "train --dataset D --warm-start nope --output O",
    "evaluate --model nope --dataset D --output O",
    "export --model nope --dataset D --output O",
    "gate --model nope --dataset D --published P",
    "recommend --export nope --query q",
    "recommend-all --export nope --known D --output O",
    "recommend-all --export E --known nope --output O",
    "similar --export nope --item i",
    "report --run R --model nope",
):
    try:
        dispatch(arguments.split())
        raise AssertionError(arguments)
    except StageError as error:
        assert str(error).startswith("nope: expected a finished "), error
for directory, stage in (("E", "export"), ("P", "export"), ("R", "recommendations")):
    Manifest(stage=stage, run_id="r", spec=spec).write(directory)
Path("P/published.json").touch()
for arguments, said in (
    ("export --model M --dataset D --output E", "E: is finished already; --overwrite makes it again"),
    ("export --model M --dataset D --output P --overwrite", "P: is a published model; give another --output, and "),
    ("recommend-all --export E --output R", "R: is finished already; --overwrite makes it again"),
    ("recommend-all --export E --output D --overwrite", "D: expected to find nothing, or recommendations to make "),
):
    try:
        dispatch(arguments.split())
        raise AssertionError(arguments)
    except StageError as error:
        assert str(error).startswith(said), error
print(sorted({module.partition(".")[0] for module in sys.modules} & {"apache_beam", "keras", "pyspark", "tensorflow"}))
"""


def test_no_help_and_no_refusal_of_flags_keys_directories_or_outputs_waits_for_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    found = subprocess.run([sys.executable, "-c", ANSWERS], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout == "[]\n"


def test_published_models_stand_for_an_export(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("3")
    _check_directories(Namespace(export=str(tmp_path)))
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(StageError, match=r": expected a finished export, but the directory has no manifest.json"):
        _check_directories(Namespace(export=str(tmp_path)))


@pytest.mark.parametrize(
    ("module", "needed", "flag"),
    [
        ("model.options.recommend", ["--export", "e", "--query", "q"], "--exclude"),
        ("model.options.recommend", ["--export", "e", "--query", "q"], "--history"),
        ("model.options.recommend", ["--export", "e"], "--query"),
        ("model.options.similar", ["--export", "e"], "--item"),
        ("model.options.compare", [], "--output"),
        ("pipelines.remove_runs", ["--runs", "r", "--published", "p", "--before", "2026-01-01"], "--keep"),
    ],
)
def test_a_flag_of_several_values_adds_up_when_it_is_repeated(module: str, needed: list[str], flag: str) -> None:
    found = import_module(module)
    parser = found.make_parser() if hasattr(found, "make_parser") else found._parser()
    values = parser.parse_args([*needed, flag, "a", "b", flag, "c"])
    assert getattr(values, flag.removeprefix("--"))[-3:] == ["a", "b", "c"]
