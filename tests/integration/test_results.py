"""The tables that are published follow from the trainings that are kept, and what documents quote stands in them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest
from places import ROOT

from model.comparison.results import read_results
from model.comparison.results_file import Results
from model.comparison.tables import tables
from model.comparison.variants import VARIANTS

KEPT = sorted(path.parent.name for path in (ROOT / "results").glob("*/studies"))
AGAINST = ("plain-id-dropout", "plain-id-dropout + cold correction at 2%", "cfm")
"""What gains are shown over that documents quote beside those of `tables.md`; told as `compare --against` tells it."""
SEEDS_TOO = "Gain over plain, intervals over queries and seeds:"
BESIDE_THE_PAPER = ("what CFM gains over plain in Recall@10", "In brackets")
COLD = "all training pairs, 10% of the items without any, tuned"
COLD_VALUES = "Cold items, ranked among all items and among the cold ones alone:"
QUOTED = {
    "results/README.md": [
        ("on wikispeedia-links", "wikispeedia-links", *BESIDE_THE_PAPER),
        ("and on debian", "debian", *BESIDE_THE_PAPER),
        ("links, all training pairs: Tuned", "wikispeedia-links", "all training pairs, tuned", "12,029 test pairs"),
        ("links, all training pairs: Gains", "wikispeedia-links", "all training pairs, tuned", SEEDS_TOO),
        (
            "links, 40% of the training pairs: Tuned, gains",
            "wikispeedia-links",
            "40% of the training pairs, tuned",
            SEEDS_TOO,
        ),
        ("pair: All training pairs, but a tenth", "wikispeedia-links-cold", COLD, COLD_VALUES),
        ("pair: Gains over plain", "wikispeedia-links-cold", COLD, SEEDS_TOO),
        ("ids unknown: The same split", "wikispeedia-links-cold-unknown", COLD, COLD_VALUES),
        ("ids unknown: Gains over plain", "wikispeedia-links-cold-unknown", COLD, SEEDS_TOO),
        ("(`--set split.seed=1`), gains over plain", "wikispeedia-links-cold-unknown-1", COLD, SEEDS_TOO),
        ("(`--set split.seed=2`)", "wikispeedia-links-cold-unknown-2", COLD, SEEDS_TOO),
        ("CFM's switches: On the third draw", "wikispeedia-links-cold-unknown-2", COLD, SEEDS_TOO),
        ("Richer features: On the third draw", "wikispeedia-links-text-cold-unknown-2", COLD, SEEDS_TOO),
        ("share: In wikispeedia-links", "wikispeedia-links-cold-unknown-2-unshared", COLD, SEEDS_TOO),
        (
            "histories: A query is what",
            "wikispeedia-sessions",
            "all training pairs, tuned",
            "Gain over plain, intervals over users and seeds:",
        ),
        ("known by their ids", "wikispeedia-users-cold-unknown", COLD, COLD_VALUES),
        ("known by their ids", "wikispeedia-users-cold-unknown", COLD, SEEDS_TOO),
        ("movielens: users with features", "movielens", "all training pairs, tuned", SEEDS_TOO),
        ("movielens: users with features", "movielens-cold-unknown", COLD, SEEDS_TOO),
        ("debian, all training pairs: Tuned", "debian", "all training pairs, tuned", "18,584 test pairs"),
        ("debian, all training pairs: Gains", "debian", "all training pairs, tuned", SEEDS_TOO),
        ("Tuned, gains over plain", "debian", "40% of the training pairs, tuned", SEEDS_TOO),
        ("Tuned, gains over plain", "debian", "10% of the training pairs, tuned", SEEDS_TOO),
        (
            "where neither has logQ",
            "debian",
            "10% of the training pairs, the paper's protocol",
            "Gain over plain-no-logq, intervals over queries and seeds:",
        ),
    ],
}
"""Page -> its quoted tables, in order: what the heading or the sentence before has, the directory, the heading in its
`tables.md` behind the spec's name, and how the sentence before the table there begins."""


class Table(NamedTuple):
    heading: str
    sentence: str
    """The paragraph before it."""
    lines: list[str]


class Paragraph(NamedTuple):
    line: int
    text: str


@cache
def results_of(name: str) -> Results:
    directory = ROOT / "results" / name
    return read_results(str(directory), spec_name=name.partition("-cold")[0], against=AGAINST)


@pytest.mark.parametrize("name", KEPT)
def test_tables_are_those_of_the_kept_trainings(name: str) -> None:
    results = results_of(name).model_copy(deep=True)
    for of_fraction in results.fractions.values():
        for of_protocol in of_fraction.protocols.values():
            for row in of_protocol.rows.values():
                for other in AGAINST:
                    row.gains_over.pop(other, None)
    assert (ROOT / "results" / name / "tables.md").read_text() == tables(results)


def test_kept_trainings_are_of_the_variants_of_today() -> None:
    for path in (ROOT / "results").glob("*/studies/*/*/*.json"):
        for training in json.loads(path.read_bytes())["trainings"]:
            assert VARIANTS[path.stem].fixed.items() <= training["settings"].items(), path


def tables_of(text: str) -> list[Table]:
    """A page's tables."""
    found: list[Table] = []
    heading = sentence = before = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            if not before.startswith("|"):
                found.append(Table(heading, sentence, []))
            found[-1].lines.append(line)
        elif line:
            sentence = f"{sentence} {line}" if before and not before.startswith(("|", "#")) else line
        before = line
    return found


@pytest.mark.parametrize("page", QUOTED)
def test_a_table_that_is_quoted_is_the_one_that_it_is_said_to_be(page: str) -> None:
    quoted = [t for t in tables_of((ROOT / page).read_text()) if re.search(r"\[[-+.\d]+%?, ", "".join(t.lines))]
    for table, (said, name, heading, sentence) in zip(quoted, QUOTED[page], strict=True):
        assert said in f"{table.heading}: {table.sentence}"
        spec = name.partition("-cold")[0]
        published = [
            set(of_name.lines)
            for of_name in tables_of((ROOT / "results" / name / "tables.md").read_text())
            if of_name.heading == f"{spec}, {heading}" and of_name.sentence.startswith(sentence)
        ]
        assert any(set(table.lines) <= lines for lines in published), (said, table.lines)


def test_what_readme_sums_up_of_cold_items_is_in_the_tables_and_bold_where_it_is_significant() -> None:
    rows = re.findall(r"^\|.*\]\(results/(.*)/tables\.md\) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 6
    for name, cells in rows:
        values, gains = (
            {line.split(" | ")[0]: line.split(" | ") for line in table.lines}
            for said in (COLD_VALUES, SEEDS_TOO)
            for table in tables_of((ROOT / "results" / name / "tables.md").read_text())
            if table.sentence == said and "among the cold Recall@50" in table.lines[0]
        )
        overall, cold = (gains["| "].index(column) for column in ("Recall@10", "cold Recall@50"))
        found = values["| plain"][values["| "].index("cold Recall@50")]
        told = [f"{float(found.split()[0]):.1%}"]
        for variant in ("| cfm", "| plain-id-dropout"):
            for cell in (gains[variant][cold], gains[variant][overall]):
                gain, low, high = re.fullmatch(r"(.*) \[(.*)%, (.*)%\]", cell).groups()
                told.append(f"**{gain}**" if float(low) * float(high) > 0 else gain)
        assert cells.split(" | ") == told, name


def paragraphs_of(text: str) -> list[Paragraph]:
    """A page's prose: without tables, headings and commands; a point of a list is a paragraph of its own."""
    found: list[Paragraph] = []
    goes_on = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith(("|", "#", "    ")):
            goes_on = False
        elif goes_on and not line.startswith("- "):
            found[-1] = Paragraph(found[-1].line, f"{found[-1].text} {line.strip()}")
        else:
            found.append(Paragraph(number, line))
            goes_on = True
    return found


INTERVAL = re.compile(r"\[[-+][\d.]+%, (?:[-+][\d.]+%|any)\]")
SHARE = re.compile(r"[-+]?\d+(?:\.\d+)?%")


def quoted_gains(text: str) -> Iterator[tuple[int, list[str], str]]:
    """Line of its paragraph, the shares between it and the interval before, and the interval, for each in prose."""
    for paragraph in paragraphs_of(text):
        end = 0
        for interval in INTERVAL.finditer(paragraph.text):
            yield paragraph.line, SHARE.findall(paragraph.text[end : interval.start()]), interval[0]
            end = interval.end()


@pytest.mark.parametrize("page", ["README.md", *QUOTED, "docs/design/evaluation.md"])
def test_a_gain_that_prose_quotes_is_in_some_table(page: str) -> None:
    """One of the shares before an interval is its gain, which prose may give without a sign; or there is none."""
    gains: defaultdict[str, set[str]] = defaultdict(set)
    for name in KEPT:
        for gain, interval in re.findall(rf"\| ([-+][\d.]+%) ({INTERVAL.pattern})", tables(results_of(name))):
            gains[interval] |= {gain, gain[1:]}
    quoted = list(quoted_gains((ROOT / page).read_text()))
    assert quoted
    unknown = [
        f"{page}:{line}: {' '.join(shares)} {interval}"
        for line, shares, interval in quoted
        if interval not in gains or (shares and not gains[interval] & set(shares))
    ]
    assert unknown == []


OF_ONE_COMMAND = [
    "wikispeedia-links-cold-unknown",
    "wikispeedia-links-cold",
    "wikispeedia-links-cold-unknown-1",
    "wikispeedia-links-cold-unknown-2",
    "wikispeedia-links-cold-unknown-2-unshared",
    "wikispeedia-links-text-cold-unknown-2",
    "wikispeedia-links-text",
    "wikispeedia-sessions",
    "wikispeedia-users-cold-unknown",
    "movielens",
    "movielens-cold-unknown",
]
"""In the order of the commands in docs/comparing.md."""


def effort_of(name: str) -> tuple[str, str]:
    """How many trainings are kept, those of the two baselines left out, and their hours of one core."""
    studies = [json.loads(path.read_bytes()) for path in (ROOT / "results" / name / "studies").glob("*/*/*.json")]
    seconds = [training["cpu_seconds"] for study in studies for training in study["trainings"]]
    return f"{len(seconds):,}", f"{sum(seconds) / 3600:.1f}"


def test_the_trainings_and_hours_that_documents_quote_are_those_of_the_kept_trainings() -> None:
    row = r"^\| \[([\w-]+)\]\(\1/tables\.md\) \|.*\| ([\d,]+) \| ([\d.]+) \|$"
    table = re.findall(row, (ROOT / "results/README.md").read_text(), re.MULTILINE)
    assert sorted(table) == [(name, *effort_of(name)) for name in KEPT]
    numbers = [(int(trainings.replace(",", "")), float(hours)) for _, trainings, hours in table]
    trainings, hours = (sum(column) for column in zip(*numbers, strict=True))
    text = " ".join((ROOT / "results/README.md").read_text().split())
    assert f"In all {trainings:,} trainings, {hours:.1f} hours of one core:" in text
    text = " ".join((ROOT / "README.md").read_text().split())
    assert f"of {trainings:,} trainings, {hours:.1f} hours of one core." in text
    page = (ROOT / "docs/comparing.md").read_text()
    told = re.findall(r"  # ([\d.]+) hours$", page.partition("Those of cold-unknown, ")[2], re.MULTILINE)
    assert told == [effort_of(name)[1] for name in OF_ONE_COMMAND]
    text = " ".join(page.split())
    took = re.findall(
        r"`--variants plain,rfm-no-complement,cfm,plain-id-dropout` took ([\d,]+), or ([\d.]+) hours", text
    )
    assert took == [effort_of("wikispeedia-links-cold-unknown-1")]
