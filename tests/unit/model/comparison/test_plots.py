"""What is drawn of results that are made up, read off matplotlib's own axes."""

import pytest
from matplotlib.figure import Figure

from model.comparison.plots import write_plots
from model.comparison.results_file import FractionResults, Gains, ProtocolResults, Results, Row, TriedSettings
from model.comparison.variants import VARIANTS
from model.ranking.bootstrap import Estimate


def _tried(recall_50, tail_recall_50, **settings):
    keys = {f"ssl.{key}": value for key, value in settings.items()}
    return TriedSettings(settings=keys, seeds=1, recall_50=recall_50, tail_recall_50=tail_recall_50, failures=[])


def _row(head=None, tail=None):
    gains_over = {}
    if head is not None:
        value = {"head/recall@10": head, "tail/recall@10": tail, "overall/recall@10": (9, 9, 9)}
        gains = {key: Estimate(mean, low=low, high=high) for key, (mean, low, high) in value.items()}
        gains_over = {"plain": Gains(gains={}, gains_seeds_too=gains, gain_by_seed=[])}
    row = {"seeds": [0, 1], "seed_deviation": 0.0, "metrics": {}, "settings": {}, "trials": 1, "best_steps": [1, 1]}
    return Row(**row, failures=[], cpu_seconds=1.0, gains_over=gains_over)


PAPER = ProtocolResults(
    rows={
        "popularity": _row((-0.9, -0.9, -0.9), (-0.9, -0.9, -0.9)),
        "plain": _row(),
        "cfm": _row((0.1, 0.05, 0.2), (0.5, 0.25, 1.0)),
    },
    trials={
        "plain": [_tried(0.5, 0.25)],
        "cfm": [
            _tried(0.6, 0.3, alpha=1.0, dropout_rate=0.3),
            _tried(0.7, 0.4, alpha=0.1, dropout_rate=0.3),
            _tried(0.8, 0.1, alpha=0.1, dropout_rate=0.1),
            _tried(None, None, alpha=3.0, dropout_rate=0.3),
        ],
    },
)
TUNED = ProtocolResults(
    rows={"plain": _row(), "rfm": _row((-0.25, -0.5, 0.0), (0.0, -0.1, 0.1))},
    trials={"rfm": [_tried(0.65, 0.35, alpha=0.1), _tried(0.55, 0.45, alpha=1.0)]},
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Name of a plot -> the panels of its figure."""
    shares = {"1": {"paper": PAPER}, "0.1": {"paper": PAPER, "tuned": TUNED}}
    fractions = {share: FractionResults(dataset="d", test_pairs={}, protocols=found) for share, found in shares.items()}
    results, figures, save = Results(spec="shop", resamples=2000, fractions=fractions), [], Figure.savefig

    def keep(figure, *args, **named):
        figures.append(figure)
        save(figure, *args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        directory = tmp_path_factory.mktemp("plots")
        write_plots(results, str(directory))
    paths = sorted(directory.iterdir())  # as they are drawn
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    return {path.stem: figure.axes for path, figure in zip(paths, figures, strict=True)}


def _axes_of(panel):
    return panel.get_xlabel(), panel.get_ylabel()


def test_each_share_has_a_panel(drawn):
    assert list(drawn) == ["alpha", "dropout_rate", "head_and_tail", "overall_and_tail"]
    for panels in drawn.values():
        assert [panel.get_title() for panel in panels] == ["100% of the training pairs", "10% of the training pairs"]


def test_overall_and_tail_has_every_trial(drawn):
    full, tenth = drawn["overall_and_tail"]
    of_paper = {
        "plain, paper": [[0.5, 0.25]],
        "cfm, paper": [[0.6, 0.3], [0.7, 0.4], [0.8, 0.1]],
    }
    assert {points.get_label(): points.get_offsets().tolist() for points in full.collections} == of_paper
    assert {points.get_label(): points.get_offsets().tolist() for points in tenth.collections} == {
        **of_paper,
        "rfm, tuned": [[0.65, 0.35], [0.55, 0.45]],
    }
    assert _axes_of(tenth) == ("Recall@50, validation", "tail Recall@50, validation")


@pytest.fixture
def with_every_variant(tmp_path, monkeypatch):
    """The panel of overall and tail, where all variants have a trial under both protocols."""
    trials = {name: [_tried(0.5, 0.25)] for name in VARIANTS}
    both = {protocol: ProtocolResults(rows={}, trials=trials) for protocol in ("paper", "tuned")}
    fractions = {"1": FractionResults(dataset="d", test_pairs={}, protocols=both)}
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    write_plots(Results(spec="shop", resamples=2000, fractions=fractions), str(tmp_path))
    (figure,) = figures
    figure.draw_without_rendering()  # places the labels
    return figure.axes[0]


def test_every_variant_has_a_look_of_its_own(with_every_variant):
    looks = []
    for points in with_every_variant.collections:
        shape = points.get_paths()[0].vertices.tolist()
        looks.append(str([shape, points.get_edgecolors().tolist(), points.get_facecolors().tolist()]))
    assert len(looks) == len(set(looks)) == 2 * len(VARIANTS)


def test_a_long_legend_is_below_the_label_of_its_axis(with_every_variant):
    label, legend = with_every_variant.xaxis.label, with_every_variant.get_legend()
    assert 0 < legend.get_window_extent().y0 < legend.get_window_extent().y1 < label.get_window_extent().y0


def test_head_and_tail_has_gains_in_percent_with_their_intervals(drawn):
    _, panel = drawn["head_and_tail"]
    found = {}
    for container in panel.containers:
        line, _, (bars,) = container.lines
        ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
        found[container.get_label()] = [(*at, *end) for at, end in zip(line.get_xydata().tolist(), ends, strict=True)]
    # Variant by variant, each with places for head and tail under both protocols: value, then low and high.
    assert found.keys() == {"head, paper", "tail, paper", "head, tuned", "tail, tuned"}
    assert found["head, paper"] == [pytest.approx((-0.3, 10, 5, 20))]
    assert found["tail, paper"] == [pytest.approx((-0.1, 50, 25, 100))]
    assert found["head, tuned"] == [pytest.approx((1.1, -25, -50, 0))]
    assert found["tail, tuned"] == [pytest.approx((1.3, 0, -10, 10))]
    assert [(tick.get_position()[0], tick.get_text()) for tick in panel.get_xticklabels()] == [(0, "cfm"), (1, "rfm")]
    assert _axes_of(panel)[1] == "gain over plain in Recall@10, %"


def test_grids_have_their_values(drawn):
    """Alpha at the first dropout rate, the dropout rate at the best alpha; what came to nothing has no point."""
    for name, points, scale in (
        ("alpha", [[0.1, 0.7], [1.0, 0.6]], "log"),
        ("dropout_rate", [[0.1, 0.8], [0.3, 0.7]], "linear"),
    ):
        for panel in drawn[name]:
            assert {line.get_label(): line.get_xydata().tolist() for line in panel.lines} == {"cfm": points}
            assert _axes_of(panel) == (f"ssl.{name}", "Recall@50, validation")
            assert panel.get_xscale() == scale
