"""What documents link to is there, and the commands and overrides that they show are taken."""

import itertools
import re
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT, in_code, words_of

from features.spec.file import load_spec
from pipelines.beam.options import parse_beam_flags
from pipelines.cli import VERBS, dispatch
from stage.command_line import run_command
from stage.parser import Parser


def anchors(page: Path) -> set[str]:
    """Of the headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not re.match(r"\w+://", link):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_every_document_is_linked_to_from_another() -> None:
    linked = {
        target
        for page in DOCUMENTS
        for path in re.findall(r"\]\(([^)\s#]+)", page.read_text())
        if (target := (page.parent / path).resolve()) != page
    }
    assert {*DOCUMENTS} <= linked


PLACEHOLDERS = {"KEY=VALUE": "ssl.alpha=0.3", "ALPHA": "0.3", "SEED": "1", "NAME": "app"}


def commands_of(page: Path) -> list[list[str]]:
    """The arguments of each of our commands in the indented blocks, shell variables replaced by what they hold.

    What another command prints is taken for a number.
    """
    text = re.sub(r" > \S+", "", page.read_text().replace("\\\n", " "))
    text = re.sub(r"\$\([^)\n]*\)", "1", text)
    for name, quoted, bare in re.findall(r"^ {4}(\w+)=(?:\"([^\"\n]*)\"|([\w./-]+))$", text, re.MULTILINE):
        text = text.replace(f"${name} ", f"{quoted or bare} ")
    lines = re.findall(r"^(?: {4}|\t).*?\bssl-two-tower +([a-z][^\n\"]*(?:\"[^\n\"]*\"[^\n\"]*)*)", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def check_overrides(overrides: Iterable[str], *, spec: str | None = None, verb: str | None = None) -> None:
    """Refuses what the verb would refuse; a shipped spec stands for one of the reader's own."""
    if spec is None or "/" in spec:
        spec = "wikispeedia-links"
    filled = [re.sub("|".join(PLACEHOLDERS), lambda found: PLACEHOLDERS[found[0]], one) for one in overrides]
    assert load_spec(spec, filled, verb=verb)


MAKEFILE = ROOT / "Makefile"


def test_the_commands_that_documents_and_make_demo_have_are_ones_that_are_taken(
    parsed: Callable[[list[str]], tuple[Namespace, list[str]]],
) -> None:
    shown = {page: commands_of(page) for page in (*DOCUMENTS, MAKEFILE)}
    (demo,) = shown[MAKEFILE]
    assert (ROOT / demo[demo.index("--raw") + 1]).is_dir()
    assert all(shown[ROOT / page] for page in ("README.md", "docs/training.md", "docs/comparing.md"))
    assert "build-dataset" in [command[0] for command in shown[ROOT / "docs/publishing.md"]]
    engines = [word for command in shown[ROOT / "docs/engines.md"] for word in command if "--runner" in word]
    assert engines == ["--runner=PrismRunner", "--runner=SparkRunner", "--runner=FlinkRunner"]
    for page, commands in shown.items():
        for arguments in commands:
            values, left = parsed(arguments)
            if arguments[0] == "build-dataset":
                parse_beam_flags(left, Parser(prog="p", description="d", example="e"))
            else:
                assert left == [], (page, arguments)
            check_overrides(getattr(values, "overrides", ()), spec=getattr(values, "spec", None), verb=arguments[0])


def test_what_the_readme_evaluates_can_be_reported() -> None:
    commands = commands_of(ROOT / "README.md")
    runs = [dict(zip(command[1::2], command[2::2], strict=True)) for command in commands if command[0] == "evaluate"]
    assert runs
    for run in runs:
        assert (run["--model"], run["--dataset"]) == (f"{run['--output']}/model", f"{run['--output']}/dataset")
        assert ["report", "--run", run["--output"]] in commands


def test_the_overrides_that_prose_names_are_ones_that_are_taken() -> None:
    prose = {page: re.sub(r"^ {4}.*", "", page.read_text(), flags=re.MULTILINE) for page in DOCUMENTS}
    named = {page: re.findall(r"--set\s+([\w.]+=[^`\s]+)", text) for page, text in prose.items()}
    assert {"ssl.alpha=0", "ssl.augmentation=rfm", "train.temperature=0.07"} <= set(named[ROOT / "README.md"])
    for override in itertools.chain(*named.values()):
        check_overrides([override], spec="wikispeedia-sessions" if override.startswith("session.") else "synthetic")


def test_documents_say_which_commands_have_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for verb in VERBS:
        assert run_command(dispatch, [verb, "--help"]) == 0
        said[verb] = capsys.readouterr().out
    (without_json,) = re.findall(r"`--json` [\w ]*\(all commands but (.*?)\)", words_of("README.md"))
    (with_verify,) = re.findall(r"`--verify`, which (.*?) have", words_of("docs/outputs.md"))
    (with_skip_done,) = re.findall(r"`--skip-done`, which (.*?) have", words_of("docs/training.md"))
    assert set(in_code(without_json)) == {verb for verb in VERBS if "\n  --json " not in said[verb]}
    assert set(in_code(with_verify)) == {verb for verb in VERBS if "\n  --verify " in said[verb]}
    assert set(in_code(with_skip_done)) == {verb for verb in VERBS if "\n  --skip-done " in said[verb]}
