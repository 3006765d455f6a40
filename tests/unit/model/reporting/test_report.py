"""The report of a small run: trained, evaluated, written."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from manifests import rewrite
from negated_model import negate

from model import evaluate, report
from model.api import load_dataset, read_examples
from model.reporting.page import _number
from model.training.training_history import read_history
from stage.command_line import run_command
from stage.errors import StageError
from stage.manifest import Manifest


class Texts(HTMLParser):
    """Tags, and the texts of cells, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def page(run: Path) -> Texts:
    return Texts((run / "report.html").read_text(encoding="utf-8"))


def test_the_slices_are_those_of_metrics_json(run: Path, page: Texts) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    names = ["recall@10", "recall@50", "map@10", "map@50", "ndcg@10", "mrr"]
    for name in ("overall", "head", "tail", "cold", "cold_among_cold"):
        start = page.rows.index([name.replace("_", " "), *names])
        rankings = [metrics, metrics["baselines"]["popularity"], metrics["baselines"]["co_occurrence"]]
        for row, ranking in zip(page.rows[start + 1 : start + 4], rankings, strict=True):
            assert row[1:] == [f"{ranking[name][metric]:.4f}" for metric in names], (name, row)
    text = (run / "report.html").read_text()
    assert "Items that a query is known to have are left out of its candidates." in text
    assert "<p>Of the test split.</p>" in text


def test_features_say_what_the_entities_hold(page: Texts) -> None:
    # 60 items of 6 topics and 12 words; item 7 has no words and no size.
    found = {row[0]: row[1:] for row in page.rows if row and row[0].startswith(("item/", "query/"))}
    assert found == {
        "item/page": ["id", "60", "60", "100.0%", "4.000"],
        "item/topic": ["categorical", "6", "6", "100.0%", "1.700"],
        "item/words": ["text", "12", "12", "98.3%", "2.000"],
        "item/size": ["numeric", "59", "-", "98.3%", "3.000"],
        "query/page": ["id", "60", "60", "100.0%", "-"],
        "query/topic": ["categorical", "6", "6", "100.0%", "-"],
    }


def test_a_seed_points_at_its_mask_group(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    row = re.search(r'<th scope="row" tabindex="0">size</th>(.*?)</tr>', text, flags=re.DOTALL)
    assert row is not None
    cells = re.findall(r'<td class="(grouped)?"(?:.*? / ([\d.]+)\)")?>([\d.-]+)(?:<small>([\d.]+))?', row.group(1))
    group = re.search(r'<td class="group">(.*?)</td>', row.group(1))
    assert group is not None
    names = ["page", "topic", "words", "size"]
    # How strongly a cell is coloured, its nats, and those of chance.
    shown = [("0.75", "3.00", "0.30"), ("0.125", "0.50", "0.05"), ("0.175", "0.70", "0.07"), ("", "-", "")]
    assert [tuple(rest) for _, *rest in cells] == shown
    assert {name for name, (grouped, *_) in zip(names, cells, strict=True) if grouped} == set(
        group.group(1).split(", ")
    )
    assert group.group(1).startswith("size, ")


def test_mask_groups_are_those_of_the_model_s_spec(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    spec = Manifest.read(str(copy / "model"), "model").spec
    rewrite(copy / "model", spec=spec | {"ssl": spec["ssl"] | {"mask_id": False}})
    assert run_command(report.main, ["--run", str(copy), "--overwrite"]) == 0
    groups = [
        re.findall(r'<td class="group">(.*?)</td>', (directory / "report.html").read_text(encoding="utf-8"))
        for directory in (run, copy)
    ]
    assert groups[0] == ["page, size, words", "topic, page, words", "words, page, topic", "size, page, words"]
    assert groups[1] == ["never a seed", "topic, words", "words, topic", "size, words"]


def test_names_are_text(run: Path, page: Texts) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert [tag for tag, _ in page.tags].count("script") == 2  # the data and the page's own
    assert all("onerror" not in attributes for _, attributes in page.tags)
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    svgs = [base64.b64decode((p or "").removeprefix("data:image/svg+xml;base64,"), validate=True) for p in pictures]
    assert any(b"&lt;/script&gt;" in svg for svg in svgs)  # the map's legend has topics
    for svg in svgs:
        assert {node.tag.rpartition("}")[2] for node in ElementTree.fromstring(svg).iter()}.isdisjoint(
            {"img", "script"}
        )


def test_what_is_recommended(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    data = json.loads(text.partition('id="neighbours">')[2].partition("</script>")[0])
    dataset, metrics = load_dataset(str(run / "dataset")), json.loads((run / "metrics.json").read_bytes())
    known: dict[str, set[str]] = {}
    trained: dict[str, set[str]] = {}
    for split in ("train", "validation"):
        for batch in read_examples(dataset, split):
            for query, item in zip(batch["query_id"].numpy(), batch["item_id"].numpy(), strict=True):
                known.setdefault(query.decode(), {query.decode()}).add(item.decode())
                if split == "train":
                    trained.setdefault(query.decode(), set()).add(item.decode())
    assert data["rankings"] == [str(run / "model"), "popularity", "co-occurrence"]
    (table,) = dataset.entities("items")
    rows = {row["id"]: [row["id"], row["title"], row["train_count"]] for row in table.to_pylist()}
    assert data["items"] == [rows[item] for item, _, _ in data["items"]]
    assert [query["title"] for query in data["queries"]] == [rows[query["id"]][1] for query in data["queries"]]
    assert [query["id"] for query in data["queries"]] == sorted(query["id"] for query in data["queries"])
    counts = {item: count for item, _, count in data["items"]}
    hits = [0, 0, 0]
    for query in data["queries"]:
        relevant = {data["items"][place][0] for place in query["relevant"]}
        assert {data["items"][place][0] for place in query["known"]} <= trained[query["id"]]
        assert query["known_count"] == len(trained[query["id"]])
        assert len(query["known"]) == min(12, query["known_count"])
        for ranking, places in enumerate(query["found"]):
            items = [data["items"][place][0] for place in places]
            assert len(items) <= 10
            assert not known[query["id"]] & set(items)
            hits[ranking] += len(relevant & set(items))
        popular = [counts[data["items"][place][0]] for place in query["found"][1]]
        assert popular == sorted(popular, reverse=True)
    assert max(query["known_count"] for query in data["queries"]) > 12
    # Every query of the split is here, so the hits are recall@10, ties included.
    rankings = [metrics, metrics["baselines"]["popularity"], metrics["baselines"]["co_occurrence"]]
    assert [n / metrics["overall"]["pairs"] for n in hits] == [
        pytest.approx(ranking["overall"]["recall@10"], abs=1e-9) for ranking in rankings
    ]


def test_fewer_queries_on_request(run: Path, tmp_path: Path) -> None:
    arguments = ["--run", str(run), "--output", str(tmp_path / "r.html"), "--queries", "3"]
    assert run_command(report.main, arguments) == 0
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    data = json.loads(text.partition('id="neighbours">')[2].partition("</script>")[0])
    assert len(data["queries"]) == 3
    (table,) = load_dataset(str(run / "dataset")).entities("items")
    counts = dict(zip(table["id"].to_pylist(), table["train_count"].to_pylist(), strict=True))
    assert {item: count for item, _, count in data["items"]}.items() < counts.items()
    queries = json.loads((run / "metrics.json").read_bytes())["overall"]["queries"]
    assert f"<p>3 queries of the {queries} that were ranked of the test split." in text


def test_deciles_are_parts_of_the_whole(run: Path, page: Texts) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    start = page.rows.index(["decile", "pairs", str(run / "model"), "popularity", "co-occurrence"]) + 1
    rows = page.rows[start : start + 11]
    assert [row[0] for row in rows] == ["cold", *map(str, range(1, 11))]
    pairs = [int(row[1]) for row in rows]
    assert (sum(pairs), pairs[0]) == (metrics["overall"]["pairs"], metrics["cold"]["pairs"])
    for column, ranking in enumerate((metrics, *metrics["baselines"].values()), start=2):
        hits = [n * float(row[column]) for n, row in zip(pairs, rows, strict=True) if n]
        assert sum(hits) == pytest.approx(ranking["overall"]["recall@10"] * sum(pairs), abs=0.01)
    (items,) = load_dataset(str(run / "dataset")).entities("items")
    counts = sorted(items["train_count"].to_pylist(), reverse=True)
    share = f"{100 * sum(counts[:6]) / sum(counts):.0f}%"
    assert f"The tenth of the items with the most has {share} of all examples." in (run / "report.html").read_text()


def test_it_is_of_the_split_and_by_the_settings_that_metrics_json_says(run: Path, tmp_path: Path) -> None:
    for name in ("dataset", "model"):
        (tmp_path / name).symlink_to(run / name)
    asked = ["--model", str(tmp_path / "model"), "--dataset", str(tmp_path / "dataset"), "--output", str(tmp_path)]
    keys = ["--set", "evaluate.exclude_known=false", "--set", "evaluate.max_queries=20"]
    assert run_command(evaluate.main, [*asked, "--split", "validation", *keys]) == 0
    assert run_command(report.main, ["--run", str(tmp_path)]) == 0
    overall = json.loads((tmp_path / "metrics.json").read_bytes())["overall"]
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"<caption>{overall['pairs']} pairs of 20 queries</caption>" in text
    assert "Of the validation split, and there of a sample of at most 20 queries (evaluate.max_queries).</p>" in text
    assert "may have been trained on" not in text
    assert "Items that a query is known to have are among its candidates." in text
    shown = next(row for row in Texts(text).rows if row and row[0] == str(tmp_path / "model"))
    assert shown[1] == f"{overall['recall@10']:.4f}"


def test_nothing_is_loaded_from_elsewhere(page: Texts) -> None:
    for tag, attributes in page.tags:
        for key in ("src", "href", "action", "srcset"):
            assert (attributes.get(key) or "#").startswith(("#", "data:")), (tag, attributes)


def test_the_policy_lets_the_page_s_own_script_run(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    script = text.partition("<script>")[2].partition("</script>")[0]
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in text


@pytest.mark.slow
def test_the_same_run_gives_the_same_page(run: Path) -> None:
    before = (run / "report.html").read_bytes()
    assert run_command(report.main, ["--run", str(run), "--overwrite"]) == 0
    assert (run / "report.html").read_bytes() == before


def test_another_model_stands_beside_it(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that ranks as the run's own does, but the last first; of a dataset that was split otherwise."""
    other = shutil.copytree(run / "model", tmp_path / "other")
    spec = Manifest.read(str(other), "model").spec
    negate(other, inputs={"dataset": "another"}, spec=spec | {"split": spec["split"] | {"seed": 7}})
    asked = ["--model", str(other), "--dataset", str(run / "dataset"), "--output", str(tmp_path)]
    assert run_command(evaluate.main, asked) == 0
    arguments = ["--run", str(run), "--model", str(other), "--output", str(tmp_path / "r.html")]
    capsys.readouterr()
    assert run_command(report.main, arguments) == 0
    assert f"warning: {other} is of another dataset than {run}/dataset and may" in capsys.readouterr().err
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    said = f"{other} is of another dataset and may have been trained on pairs of this split: split.seed was 7, is 0."
    assert text.count("may have been trained on") == text.count(said) == 1
    page = Texts(text)
    pictures = {attributes["alt"]: attributes["src"] or "" for tag, attributes in page.tags if tag == "img"}
    curve = base64.b64decode(pictures["Recall@10 on validation, by step"].partition(",")[2])
    assert str(other).encode() in curve
    rows = page.rows
    names = ["recall@10", "recall@50", "map@10", "map@50", "ndcg@10", "mrr"]
    for model, directory in ((run / "model", run), (other, tmp_path)):
        metrics = json.loads((directory / "metrics.json").read_bytes())
        slices = [metrics[name] for name in ("overall", "head", "tail", "cold", "cold_among_cold")]
        shown = [row[1:] for row in rows if row and row[0] == str(model)]
        assert shown == [["-" if of[name] is None else f"{of[name]:.4f}" for name in names] for of in slices]
    mine, others = (next(row for row in rows if row and row[0] == str(model)) for model in (run / "model", other))
    assert float(mine[1]) > 2 * float(others[1])


def test_counts_that_a_build_warns_of_are_shown(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    counts = Manifest.read(str(copy / "dataset"), "dataset").counts
    rewrite(copy / "dataset", counts={**counts, "positive/<b>": 0, "queries/without_row": 41})
    assert run_command(report.main, ["--run", str(copy), "--overwrite"]) == 0
    rows = Texts((copy / "report.html").read_text(encoding="utf-8")).rows
    start = rows.index(["positive event", "lines"])
    assert rows[start + 1] == ["<b>", "0"]
    assert ["queries without a row in the query table", "41"] in rows


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run_command(report.main, arguments)
    return code, capsys.readouterr().err.strip()


def test_refusals_are_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.report.write_report", lambda *_, **__: pytest.fail("it was ranked"))
    code, said = refused(capsys, "--run", str(run))
    assert (code, said) == (1, f"error: {run}/report.html: is there already; --overwrite makes it again")
    code, said = refused(capsys, "--run", str(run / "dataset"))
    expected = f"got one of them, {run}/dataset; give the directory above it"
    assert (code, said) == (2, f"error: --run: expected what run left, with dataset and model in it, {expected}")
    code, said = refused(capsys, "--run", str(run), "--model", str(run / "model"), "--overwrite")
    assert (code, said) == (2, "error: --model: expected other models than the run's, each once")
    code, said = refused(capsys, "--run", str(run), "--model", "co-occurrence", "--overwrite")
    expected = "got co-occurrence; give it as ./co-occurrence"
    assert (code, said) == (2, f"error: --model: expected another name than a baseline's, {expected}")
    code, said = refused(capsys, "--run", str(run), "--output", str(tmp_path))
    expected = f"error: --output: expected a file, such as {tmp_path}/report.html, got a directory"
    assert (code, said.partition(" (see")[0]) == (2, expected)
    (tmp_path / "file").touch()
    code, said = refused(capsys, "--run", str(run), "--output", str(tmp_path / "file" / "report.html"))
    assert code == 1
    assert said.startswith(f"error: {tmp_path}/file")
    code, said = refused(capsys, "--run", str(tmp_path))
    assert code == 1
    assert said.startswith(f"error: {tmp_path}/dataset: expected a finished dataset")


def test_it_is_not_written_into_what_it_is_made_from(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.report.write_report", lambda *_, **__: "page")
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "link").symlink_to("model")
    for name in ("metrics.json", "model/new.html", "link/history.json", "dataset/mutual_information.json"):
        code, said = refused(capsys, "--run", str(copy), "--output", f"{copy}/{name}", "--overwrite")
        expected = "error: --output: expected a place outside of what the report is made from, got "
        assert (code, said) == (2, f"{expected}{copy}/{name}")
    assert not (copy / "model" / "new.html").exists()


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Callable[[str, bytes | None], Path]:
    """The run without its report, with one file other than it was."""

    def copy(name: str, content: bytes | None) -> Path:
        shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report.html"))
        path = tmp_path / "run" / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        return tmp_path / "run"

    return copy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected the metrics of a finished run, but it is not there; ssl-two-tower evaluate --model"),
        (b"[]", "not as evaluate writes it"),
        (
            b'{"settings": {"top": 1}}',
            "not as evaluate writes it (settings: top: no such key; known: baselines, ",
        ),
        (b'{"split": "test", "settings": {}, "digests": {}}', "expected metrics of this run's model and dataset"),
    ],
)
def test_metrics_of_something_else(
    copied: Callable[[str, bytes | None], Path],
    content: bytes | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = copied("metrics.json", content)
    code, said = refused(capsys, "--run", str(directory))
    assert code == 1
    assert said.startswith(f"error: {directory}/metrics.json: {message}")
    assert "\n" not in said
    page = directory / "report.html"
    assert not page.exists()
    page.write_text("of the run before")
    assert refused(capsys, "--run", str(directory), "--overwrite") == (code, said)
    assert page.read_text() == "of the run before"


def test_numbers_are_shown_as_they_are_read() -> None:
    assert [_number(value) for value in (1234567, 0.5, None)] == ["1,234,567", "0.5000", "-"]


def test_steps_of_a_history_are_whole_numbers(tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text('[{"step": "8", "main_loss": 1.5}, {"step": 16.0}]')
    assert read_history(str(tmp_path)) == [{"step": 8, "main_loss": 1.5}, {"step": 16}]
    (tmp_path / "history.json").write_text('[{"step": "soon"}]')
    with pytest.raises(StageError, match=r"history\.json: expected what train writes, one entry per validation"):
        read_history(str(tmp_path))
