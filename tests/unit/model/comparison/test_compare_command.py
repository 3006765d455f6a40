import fcntl
import json
import re
from concurrent.futures import ThreadPoolExecutor as Threads
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model import compare
from model.compare import main
from model.comparison.peer_environments import models_in
from model.comparison.split_shape import SplitShape, pack_shape
from model.comparison.variants import default_names
from stage.errors import StageError, UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "plain,cmf"], "--variants: no variant 'cmf'; did you mean 'cfm'"),
        (["--against", "cmf"], "--against: no variant 'cmf'; did you mean 'cfm'"),
        (["--protocol", "paper,tune"], "--protocol: no protocol 'tune'; did you mean 'tuned'"),
        (["--train-fraction", "1,0"], "--train-fraction: expected shares above 0, up to 1, .* got '1,0'"),
        (["--train-fraction", "half"], "--train-fraction: expected shares"),
        *(
            ([flag, number], f"argument {flag}: expected a whole number of at least 1, got '{number}'")
            for flag, number in (
                *(("--seeds", number) for number in ("0", "-1", "1.5", "many")),
                *((flag, "0") for flag in ("--trials", "--most-steps", "--workers", "--threads")),
            )
        ),
        (
            ["--variants", "plain,implicit-als"],
            r"--variants: implicit-als needs --peers, and there \.peers/implicit/bin/python",
        ),
        (["--peers", "none"], "--peers: expected implicit or librecommender in the directory none, found neither"),
        (["--set", "ssl.alpha=0.3"], "--set ssl.alpha: compare decides this key; it is searched for"),
        (["--set", "train={epochs: 3}"], "--set train.epochs: compare decides this key; --most-steps bounds them"),
        (
            ["--set", "train.patience=3"],
            "--set train.patience: compare decides this key; it is two epochs, or 40 steps",
        ),
        (
            ["--set", "train.validate_every=3"],
            "--set train.validate_every: compare decides this key; it is four times an epoch, or every step if it has",
        ),
        (
            ["--set", "split.train_fraction=0.5"],
            "--set split.train_fraction: compare decides this key; --train-fraction says it",
        ),
        (["--variants", "plain,plain-no-logq"], "--variants: plain-no-logq is there under --protocol paper alone"),
        (
            ["--variants", "cfm-head", "--protocol", "paper"],
            "--variants: cfm-head is there under --protocol tuned alone",
        ),
        (["--variants", ","], "--variants: expected names of variants with commas between, got ','"),
        (
            ["--set", "evaluate.baselines=false"],
            "evaluate.baselines: expected true, since baselines stand in every table",
        ),
    ],
)
def test_wrong_use_is_said_before_anything_is_started(arguments, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        main(["--spec", "debian", "--raw", "none", "--output", str(tmp_path / "out"), *arguments])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [[], ["--tables-only"]])
def test_an_output_elsewhere_is_refused_before_anything_is_made(flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"^--output: expected a local directory, got gs://bucket/out$"):
        main(["--spec", "debian", "--raw", "none", "--output", "gs://bucket/out", *flags])
    assert not list(tmp_path.iterdir())


def test_of_two_peers_one_may_be_there(tmp_path):
    python = tmp_path / "peers/implicit/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    peers = models_in(str(tmp_path / "peers"))
    assert peers == {"als", "bpr"}
    assert default_names(peers=peers)[-2:] == ["implicit-als", "implicit-bpr"]
    given = ["--spec", "debian", "--raw", "none", "--output", str(tmp_path / "out")]
    common = [*given, "--peers", str(tmp_path / "peers")]
    with pytest.raises(UsageError, match=r"^--peers: expected --variants to name one of .*; got --variants plain,cfm$"):
        main([*common, "--variants", "plain,cfm"])
    with pytest.raises(UsageError, match=r"librecommender-cfm needs .*/peers/librecommender/bin/python; make peers"):
        main([*common, "--variants", "librecommender-cfm"])


@pytest.mark.parametrize(
    ("features", "variants", "refused"),
    [
        (
            ("page", "topic"),
            "plain,rfm,cfm,no-masking,plain-id-dropout",
            "no-masking: ssl.augmentation: expected an item feature of kind multivalued or text",
        ),
        (
            ("page",),
            "plain,plain-id-dropout,cfm",
            "cfm: ssl.augmentation: the mask group of page covers every item feature",
        ),
    ],
)
def test_a_variant_that_the_items_have_no_features_for_is_refused_before_any_training(
    tiny_dataset, make_dataset, tmp_path, monkeypatch, features, variants, refused
):
    all_features = tiny_dataset.manifest.spec["item"]["features"]
    dataset = make_dataset(spec={"item": {"features": {name: all_features[name] for name in features}}})
    monkeypatch.setattr("model.compare.build_dataset", lambda *_, **__: dataset)
    with pytest.raises(UsageError, match=f"^--variants: leave out {re.escape(refused)}"):
        main(["--spec", "debian", "--output", str(tmp_path), "--variants", variants])
    assert not (tmp_path / "studies").exists()


class Comparison:
    """Has four things done, none of which is a training."""

    def __init__(self, *_, **__):
        pass

    def planned(self, *_):
        return 4

    def submit(self, threads, **_):
        return [threads.submit(int) for _ in range(4)]


def test_each_share_is_compared_as_the_options_say(tiny_dataset, tmp_path, monkeypatch):
    shares, pools, at_once, comparisons = [], [], [], []

    def build(spec, **where):
        shares.append((spec.split.train_fraction, where["raw"]))
        return tiny_dataset

    def pool(dataset, settings, **options):
        pools.append((dataset, settings.max_queries, options["workers"], options["threads"]))
        return SimpleNamespace(close=lambda: None)

    def comparison(_, spec, **options):
        comparisons.append([spec.split.train_fraction, *(options[name] for name in told)])
        return Comparison()

    told = ("trials", "seeds", "most_steps", "peers")
    monkeypatch.setattr("model.compare.build_dataset", build)
    monkeypatch.setattr("model.compare.WorkerPool", pool)
    monkeypatch.setattr("model.compare.ThreadPoolExecutor", lambda most: at_once.append(most) or Threads(most))
    monkeypatch.setattr("model.compare.FractionComparison", comparison)
    peers = str(tmp_path / "peers")
    Path(peers, "implicit/bin").mkdir(parents=True)
    Path(peers, "implicit/bin/python").touch()
    given = ["--raw", "logs", "--output", str(tmp_path / "out"), "--variants", "cfm,implicit-als", "--peers", peers]
    numbers = ["--trials", "3", "--seeds", "2", "--most-steps", "70", "--workers", "6", "--threads", "4"]
    ranked = ["--set", "evaluate.max_queries=7"]
    main(["--spec", "debian", *given, "--train-fraction", "1,0.4", *numbers, *ranked])
    assert shares == [(1, "logs"), (0.4, "logs")]
    assert (pools, at_once) == ([(tiny_dataset.directory, 7, 6, 4)] * 2, [6] * 2)
    assert comparisons == [[1, 3, 2, 70, peers], [0.4, 3, 2, 70, peers]]


def test_items_so_few_that_each_ranking_finds_all_are_warned_of(tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("model.compare.build_dataset", lambda *_, **__: tiny_dataset)
    monkeypatch.setattr("model.compare.FractionComparison", Comparison)
    for cut_off, warns in ((59, False), (60, True)):
        monkeypatch.setattr("model.ranking.cut_off.CUT_OFF", cut_off)
        main(["--spec", "debian", "--output", str(tmp_path), "--variants", "cfm"])
        said = "nothing can be chosen by Recall@60: each search ends with the first settings that it tries"
        assert (said in capsys.readouterr().err) == warns


def test_a_key_that_holds_for_all_variants_is_warned_of(tiny_dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("model.compare.build_dataset", lambda *_, **__: tiny_dataset)
    monkeypatch.setattr("model.compare.FractionComparison", Comparison)
    main(["--spec", "debian", "--output", str(tmp_path), "--variants", "cfm"])
    assert "warning" not in capsys.readouterr().err
    set_for_all = ["--set", "train.item_id_dropout=0.2", "--set", "ssl.seed_per=item"]
    main(["--spec", "debian", "--output", str(tmp_path), "--variants", "cfm", *set_for_all])
    said = (
        'warning: The spec sets ssl.seed_per="item", train.item_id_dropout=0.2 for every variant that doesn\'t set it'
    )
    assert said in capsys.readouterr().err


def test_tables_are_written_at_most_every_ten_minutes_and_at_the_end(tiny_dataset, tmp_path, monkeypatch):
    seconds = iter([0, 600, 601, 601, 1201, 1202, 1202])  # begun, then 600 s, 601 s (written), and so on
    written = []
    monkeypatch.setattr("model.compare.build_dataset", lambda *_, **__: tiny_dataset)
    monkeypatch.setattr("model.compare.FractionComparison", Comparison)
    monkeypatch.setattr("model.compare.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    write = compare.write_output
    monkeypatch.setattr("model.compare.write_output", lambda *a, **o: written.append(o["plots"]) or write(*a, **o))
    main(["--spec", "debian", "--output", str(tmp_path), "--variants", "cfm"])
    assert (written, next(seconds, None)) == ([False, False, False, True], None)


def test_other_people_s_models_take_no_histories(tmp_path):
    python = tmp_path / "peers/implicit/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    for options in (["--peers", str(tmp_path / "peers")], ["--variants", "plain,implicit-bpr"]):
        with pytest.raises(UsageError, match="other people's models, which take no histories, since the spec has"):
            main(["--spec", "wikispeedia-sessions", "--output", str(tmp_path / "output"), *options])


def test_tables_of_nothing_are_an_error(tmp_path):
    with pytest.raises(StageError, match=f"^{tmp_path}/studies: expected stored trainings, found none"):
        main(["--output", str(tmp_path), "--tables-only"])
    assert not list(tmp_path.iterdir())


def _pack(training_pairs):
    slices = {name: np.ones(training_pairs, bool) for name in ("overall", "head", "tail", "cold", "new_queries")}
    return pack_shape(SplitShape(np.zeros(training_pairs, int), slices)).model_dump()


@pytest.fixture
def outputs(tmp_path):
    """Two comparisons that have got no further than the shapes of their splits."""
    for name in ("links", "shop"):
        path = tmp_path / name / "studies/fraction-1/shapes.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"dataset": "d", "validation": _pack(2), "test": _pack(3)}))
        (tmp_path / name / "results.json").write_text(json.dumps({"spec": name}))
    return [str(tmp_path / name) for name in ("links", "shop")]


def test_tables_of_several_outputs_need_no_spec(outputs, capsys):
    main(["--output", *outputs, "--tables-only"])
    assert re.findall("^## .*:", capsys.readouterr().out, re.MULTILINE) == ["## links:", "## shop:"]
    main(["--output", *outputs, "--tables-only", "--json", "--against", "cfm,plain-mixed + cold correction at 2%"])
    said = capsys.readouterr()
    names = ("cfm", "plain-mixed + cold correction at 2%")
    assert said.err.splitlines() == [
        f"{output}: no row of {name}, so no gains over it" for output in outputs for name in names
    ]
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [results["spec"] for results in found] == ["links", "shop"]
    assert found[0]["fractions"]["1"]["test_pairs"]["overall"] == 3
    assert json.loads(Path(outputs[0], "results.json").read_text()) == found[0]


def test_the_spec_s_name_must_be_known_and_the_one_that_is_stored(outputs):
    with pytest.raises(UsageError, match=r"^--spec: expected links, of which .*/links is, got debian"):
        main(["--output", *outputs, "--tables-only", "--spec", "debian"])
    with pytest.raises(UsageError, match=r"^--spec: expected links, of which .*/links is, got debian"):
        main(["--output", outputs[0], "--raw", "none", "--spec", "debian", "--train-fraction", "0.1"])
    Path(outputs[0], "results.json").unlink()
    with pytest.raises(UsageError, match=r"/links/results\.json: expected the name of the spec .* give --spec"):
        main(["--output", outputs[0], "--tables-only"])
    main(["--output", outputs[0], "--tables-only", "--spec", "debian"])
    assert Path(outputs[0], "tables.md").read_text().startswith("## debian: no row yet")


def _test_split(pairs, *, users=None, **slices):
    """Of 3 pairs in all; pairs of each query, and the slices that don't have all of them."""
    every = {name: np.ones(3, bool) for name in ("overall", "head", "tail", "cold", "new_queries")}
    users = None if users is None else np.array(users)
    shape = SplitShape(np.repeat(np.arange(len(pairs)), pairs), every | slices, users)
    return {"test": pack_shape(shape).model_dump()}


def test_shares_with_two_test_splits_are_two_comparisons(outputs):
    first, second = (Path(outputs[0], f"studies/fraction-{share}/shapes.json") for share in ("1", "0.1"))
    shapes, some = json.loads(first.read_text()), np.array([True, False, True])
    second.parent.mkdir()
    second.write_text(json.dumps(shapes | {"dataset": "e"} | _test_split([3], cold=some)))
    main(["--output", outputs[0], "--tables-only"])  # with fewer training pairs other items are cold
    for other in (_test_split([2, 1]), _test_split([3], head=some), {"cold_items": 0.1}):
        second.write_text(json.dumps(shapes | other))
        refused = f"^{second}: expected the test split of {first}, .*; give each an --output of its own"
        with pytest.raises(StageError, match=refused):
            main(["--output", outputs[0], "--tables-only"])
    first.write_text(json.dumps(shapes | _test_split([1, 1, 1], users=[0, 0, 1])))
    second.write_text(json.dumps(shapes | _test_split([1, 1, 1], users=[0, 1, 1])))
    with pytest.raises(StageError, match=f"^{second}: expected the test split of {first}"):
        main(["--output", outputs[0], "--tables-only"])


def test_a_stray_file_among_the_studies_is_left_alone(outputs, capsys):
    main(["--output", outputs[0], "--tables-only"])
    before = Path(outputs[0], "results.json").read_bytes()
    for name in (".DS_Store", "notes.txt", "old/shapes.json", "fraction-1 copy/shapes.json", "fraction-0.1"):
        path = Path(outputs[0], "studies", name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("of nobody here")
    main(["--output", outputs[0], "--tables-only"])
    assert Path(outputs[0], "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "results.json",
            "{",
            r"/results\.json: not as compare writes it \(JSONDecodeError.*; delete it, and give --spec",
        ),
        ("results.json", "[1]", r"/results\.json: not as compare writes it \(TypeError"),
        ("studies/fraction-1/shapes.json", "{", r"/shapes\.json: not the pairs of .* splits: the file: Invalid JSON"),
        (
            "studies/fraction-1/shapes.json",
            "{}",
            r"/shapes\.json: not the pairs of .*: dataset: Field required; delete it",
        ),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(outputs, name, content, message):
    Path(outputs[0], name).write_text(content)
    with pytest.raises(StageError, match=message):
        main(["--output", outputs[0], "--tables-only"])


def test_tables_alone_take_no_option_of_a_run(outputs):
    given = ["--protocol", "tuned", "--train-fraction", "0.4", "--variants", "cfm", "--set", "train.batch_size=64"]
    said = "whatever --variants, --protocol, --train-fraction, --set says; leave it out"
    with pytest.raises(UsageError, match=f"^--tables-only: tables are of all that is stored, {said}"):
        main(["--output", *outputs, "--tables-only", *given])
    for flag in ("--raw", "--peers"):
        with pytest.raises(UsageError, match=f", whatever {flag} says"):
            main(["--output", *outputs, "--tables-only", flag, "there"])
    for flag in ("--seeds", "--trials", "--most-steps", "--workers", "--threads"):
        with pytest.raises(UsageError, match=f", whatever {flag} says"):
            main(["--output", *outputs, "--tables-only", flag, "1"])


def test_training_needs_a_spec_and_one_output(tmp_path):
    with pytest.raises(UsageError, match=r"^--spec: expected a shipped spec's name or a path, got nothing"):
        main(["--output", str(tmp_path)])
    with pytest.raises(UsageError, match=r"^--output: expected one directory, or --tables-only with several"):
        main(["--spec", "debian", "--output", str(tmp_path), str(tmp_path / "b")])


@pytest.mark.parametrize("options", [["--tables-only"], ["--spec", "debian", "--raw", "none"]])
def test_a_second_comparison_in_the_same_output_is_refused(outputs, options):
    with open(Path(outputs[0], ".lock"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StageError, match=f"^{outputs[0]}: another comparison works there"):
            main(["--output", outputs[0], *options])
