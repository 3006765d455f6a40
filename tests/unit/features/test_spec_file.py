"""Specs: where they come from, and what they may hold."""

from pathlib import Path

import pytest
from refused_specs import TREE, refused

from features import specs
from features.spec.features import columns_read
from features.spec.file import build_spec, gate_of, load_spec, shipped_names, spec_of
from stage.errors import StageError, UsageError
from stage.manifest import Manifest

SHIPPED = Path(specs.__file__).parent


@pytest.mark.parametrize("named", [("split.test=0.2", "split.method=time"), ("split.method=time", "split.test=0.2")])
def test_shares_of_a_split_by_hash_are_refused_by_time_unless_they_are_the_default(named):
    by_time = ["sources.interactions.timestamp=at", "split.validation_seconds=9"]
    with pytest.raises(UsageError, match=r"split\.test: goes with a split by hash alone, got method time"):
        build_spec(TREE, [*by_time, *named], source="s")
    spec = build_spec(TREE, [*by_time, *named, "split.test=0.1"], source="s")
    # As a manifest has it, with every default.
    assert build_spec(spec.model_dump(mode="json"), source="s") == spec


def test_a_whole_number_is_a_number_and_a_number_without_a_fraction_a_whole_one():
    told = ["ssl.alpha=1", "train.epochs=3.0", "ssl.batch_size=null", "model.normalize=yes", "train.batch_size=0064"]
    told += ["split.seed=0", "train.validation_queries=1_000", "sources.interactions.positive_events=['010', a:b]"]
    spec = build_spec(TREE, told, source="s")
    assert (spec.ssl.alpha, spec.train.epochs, spec.ssl.batch_size, spec.model.normalize) == (1.0, 3, None, True)
    assert (spec.train.batch_size, spec.split.seed, spec.train.validation_queries) == (64, 0, 1000)
    assert spec.sources.interactions.positive_events == ["010", "a:b"]


def test_where_text_is_meant_a_value_is_text_as_it_is_written():
    events = "on, 4, 0x10, 1.50, 1:00, NULL, 2024-01-27, '5', 'null'"
    told = [f"sources.interactions.positive_events=[{events}]", "item.features={no: {kind: numeric}}", "name=3"]
    spec = build_spec(TREE, told, source="s")
    assert spec.sources.interactions.positive_events == [
        "on", "4", "0x10", "1.50", "1:00", "NULL", "2024-01-27", "5", "null"
    ]  # fmt: skip
    assert (list(spec.item.features), spec.name) == (["no"], "3")


@pytest.mark.parametrize("gap", ["1:00:00", "0x400", "1e3s", "yes", "~1"])
def test_what_is_no_number_as_people_write_it_is_none(gap):
    assert refused(f"session={{gap: {gap}}}") == f"--set session.gap: expected a whole number, got '{gap}'"


def test_a_recorded_spec_with_an_unknown_key_says_which_version_wrote_it(monkeypatch):
    monkeypatch.setattr("features.spec.file.versions", lambda: {"ssl-two-tower": "9.2"})
    tree = build_spec(TREE, source="s").model_dump(mode="json")
    of_then = {**tree, "ssl": {**tree["ssl"], "sharpness": 3}, "gate": {"keap": 1}}
    manifest = Manifest(stage="model", run_id="r", spec=of_then, versions={"ssl-two-tower": "9.1"})
    said = "; ssl-two-tower 9.1 wrote it, this is 9.2: use that one, or make the model again"
    for overrides in ([], ["split.seed=3"]):
        with pytest.raises(UsageError) as refused_whole:
            spec_of(manifest, "old", overrides=overrides)
        text = str(refused_whole.value)
        assert text.startswith("old/manifest.json: ssl.sharpness: no such key; known: alpha, ")
        assert text.endswith(f", warmup_epochs (and 1 more){said}")
    with pytest.raises(UsageError) as refused_gate:
        gate_of(manifest, "old", overrides=[], verb="publish")
    assert str(refused_gate.value) == f"old/manifest.json: gate.keap: no such key; did you mean 'keep'?{said}"
    manifest.versions["ssl-two-tower"] = "9.2"
    with pytest.raises(UsageError, match=r"\(and 1 more\); make the model again$"):
        spec_of(manifest, "old")
    # What is wrong with an override isn't another version's, wherever it shows.
    own = manifest.model_copy(update={"spec": tree})
    with pytest.raises(UsageError, match=r"split: expected validation_start or validation_seconds with method time$"):
        spec_of(own, "old", overrides=["split.method=time"])
    with pytest.raises(UsageError, match=r"^--set ssl\.sharpnes: no such key; known: [a-z_, ]+$"):
        spec_of(own, "old", overrides=["ssl.sharpnes=1"], verb="train")


def test_a_spec_is_read_from_a_file_by_its_path(tmp_path):
    path = tmp_path / "mine.yml"
    text = (SHIPPED / "synthetic.yaml").read_text().replace('"2024-01-27T00:00:00Z"', "2024-01-27T00:00:00Z")
    path.write_text(text.replace("name: synthetic", "name: mine"))
    spec = load_spec(str(path), ["split.seed=7"], verb="build-dataset")
    assert (spec.name, spec.split.seed) == ("mine", 7)
    assert spec.split.validation_start == "2024-01-27T00:00:00Z"  # a time needs no quotes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "name: [",
            "not YAML: while parsing a flow node expected the node content, but found '<stream end>' at line 1",
        ),
        ("- a", "expected a mapping of sections, got a list; docs/spec.md has all keys"),
        ("a", "expected a mapping of sections, got a value; docs/spec.md has all keys"),
        ("", "expected a mapping of sections, got an empty file; docs/spec.md has all keys"),
        ("name: x", "sources: expected a value, got none (and 1 more)"),
        ("name: x\n1: y\nsources: 3", "1: no such key"),
        ("name: {x: y}", "name: expected text, got {'x': 'y'}"),
        (
            "name: x\nssl: {alpha: 1}\nssl: {}",
            "not YAML: the key ssl stands twice, in the mapping",
        ),
        ("x: !!int abc", "not YAML: the value is no tag:yaml.org,2002:int at line 1, column 4"),
        ("x: !!bool abc", "not YAML: the value is no tag:yaml.org,2002:bool at line 1"),
        ("x: !!timestamp abc", "not YAML: the value is no tag:yaml.org,2002:timestamp at line 1"),
        ("name: x\na: &x [*x]", "not YAML: found unconstructable recursive node at line 2, column 4"),
        ("a: &x {b: {c: *x}}", "not YAML: found unconstructable recursive node at line 1, column 4"),
        ("a: " + "[" * 3_000 + "]" * 3_000, "not YAML: lists or mappings lie too deep in others"),
        *(
            (
                content,
                f"{where}: expected a value, found nothing: give it one, {{}} for a section's defaults, or null where",
            )
            for content, where in (
                ("name: x\nsession:\nssl: {}", "line 2: session"),
                ("sources:\n  pseudonymise:   # a key\n", "line 2: pseudonymise"),
                ("train: {epochs: 1, patience: }", "line 1: patience"),
            )
        ),
    ],
)
def test_a_file_that_is_no_spec_is_refused_by_its_name(tmp_path, content, message):
    path = tmp_path / "s.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        load_spec(str(path))
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_null_stands_for_none_in_a_file_and_in_an_override_where_nothing_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text((SHIPPED / "synthetic.yaml").read_text() + "session: null\n")
    assert load_spec(str(path), ["session=null"]).session is None
    for nothing in ("session=", "session= ", "session={gap: }"):
        with pytest.raises(UsageError, match=r"--set session: .*expected a value, found nothing: "):
            load_spec(str(path), [nothing])


def test_a_spec_that_is_nowhere_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UsageError) as caught:
        load_spec("wikispedia-links")
    assert str(caught.value) == (
        "--spec: expected a shipped spec or a path to a YAML file, got 'wikispedia-links'; "
        "did you mean 'wikispeedia-links'?"
    )
    with pytest.raises(UsageError, match="--spec: there is no file"):
        load_spec(str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match=f"^--spec: expected a YAML file, {tmp_path}/ is a directory$"):
        load_spec(f"{tmp_path}/")


@pytest.mark.parametrize(("name", "code"), [("disk/one.yaml", 1), ("none.yaml", 2), ("file/one.yaml", 2)])
def test_a_spec_whose_directory_is_not_there_may_come(name, code, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    for path in (name, f"./{name}", f"{tmp_path}/{name}"):
        with pytest.raises(StageError, match=f"^--spec: .*{path}") as caught:
            load_spec(path)
        assert caught.value.exit_code == code


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_spec_comes_back_from_what_a_manifest_keeps(name):
    spec = load_spec(name)
    assert build_spec(spec.model_dump(mode="json"), source="m") == spec


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_spec("debian").ssl.alpha = 1.0


def test_tables_of_their_own_may_use_a_name_in_two_ways():
    query = "query.features={page: {kind: id, vocabulary: page}, words: {kind: text, column: categories}}"
    spec = build_spec(TREE, ["sources.queries={path: x, id: title}", query], source="s.yaml")
    assert columns_read("query.features", spec.query) == {"query.features.words": ("categories", "text")}


@pytest.mark.parametrize("text", ["x: {path: a/{date}.csv}", "x: {date}.csv"])
def test_of_a_path_by_days_without_quotes_it_is_told_that_it_needs_them(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"not YAML: .*\^; in YAML a path with \{date\} needs quotes$"):
        load_spec(str(tmp_path / "s.yaml"))
