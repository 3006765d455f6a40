"""Tables of results that are made up."""

from dataclasses import replace

from model.comparison.results_file import FractionResults, Gains, ProtocolResults, Results, Row
from model.comparison.tables import tables
from model.ranking.bootstrap import Estimate

KEYS = [f"{part}/{metric}" for part in ("overall", "head", "tail", "cold") for metric in ("recall@10", "recall@50")]
KEYS.append("overall/map@10")


def _estimates(value):
    return {key: Estimate(value, low=value - 0.05, high=value + 0.05) for key in KEYS}


def _over_plain(gain):
    wide = {key: replace(found, low=found.low - 0.1) for key, found in _estimates(gain).items()}
    return {"plain": Gains(gains=_estimates(gain), gain_by_seed=[gain, gain], gains_seeds_too=wide)}


def _row(value, *, gains_over=None, **changed):
    row = {"settings": {"ssl.alpha": 0.3}, "seeds": [0, 1], "trials": 8, "cpu_seconds": 60.0}
    row |= {"seed_deviation": 0.01, "metrics": _estimates(value), "best_steps": [40, 1200], "failures": []}
    return Row(**row | changed, gains_over=gains_over or {})


ROWS = {
    "popularity": _row(0.1, gains_over=_over_plain(-0.5), seeds=[None], trials=0, settings={}),
    "plain": _row(0.2),
    "cfm": _row(0.22, gains_over=_over_plain(0.1)),
}
ROWS["popularity"].gains_over["plain"].gain_by_seed.clear()
ROWS["cfm"].gains_over["plain"].gains_seeds_too["tail/recall@10"] = Estimate(0.3, low=0.2, high=0.4)


def _results(spec, *, cold_items=None, **rows):
    """Of one share of the training pairs, with rows by protocol."""
    protocols = {protocol: ProtocolResults(rows=found, trials={}) for protocol, found in rows.items()}
    pairs = {"overall": 9, "head": 4, "tail": 5, "cold": 1, "new_queries": 2}
    found = FractionResults(dataset="d", test_pairs=pairs, protocols=protocols, cold_items=cold_items)
    return Results(spec=spec, resamples=2000, fractions={"1": found})


BOTH = {"paper": ROWS, "tuned": {"plain": _row(0.2), "cfm": _row(0.2)}}


def _lines_of(text, heading):
    after = text.split(heading)[1].strip().splitlines()
    return after[: after.index("")] if "" in after else after


def test_what_cfm_gains_stands_beside_the_paper_s():
    lines = _lines_of(tables(_results("debian", **BOTH)), "of a paired bootstrap over test queries and seeds.")
    assert lines == [
        "| training pairs | items | the paper, on its app store | here, the paper's protocol | here, tuned |",
        "| --- | --- | --- | --- | --- |",
        "| 100% | all | +10.2% | +10.0% [-5.0%, +15.0%] | - |",
        "| 100% | head | +8.6% | +10.0% [-5.0%, +15.0%] | - |",
        "| 100% | tail | +51.5% | +30.0% [+20.0%, +40.0%] | - |",
    ]
    links = tables(_results("wikispeedia-links", **BOTH))
    assert "| 100% | all | +6.1% | +10.0%" in links
    assert "| 100% | tail | - | +30.0%" in links
    assert "what CFM gains" not in tables(_results("shop", **BOTH))
    # The paper has no items without training pairs.
    assert "what CFM gains" not in tables(_results("debian", cold_items=0.1, **BOTH))


def test_tables_of_session_mode_say_that_intervals_are_over_users():
    results = _results("shop", **BOTH)
    found = results.fractions["1"].model_copy(update={"test_users": 1234})
    text = tables(results.model_copy(update={"fractions": {"1": found}}))
    assert "9 test pairs of 1,234 users (4 head, 5 tail; 1 of all cold; 2 of users without a training pair)." in text
    assert "bootstrap over test users. " in text
    assert "Gain over plain, intervals over users:" in text
    assert "Gain over plain, intervals over users and seeds:" in text
    assert "queries" not in text


def test_baselines_stand_in_every_table():
    text = tables(_results("shop", **BOTH))
    gains = _lines_of(text, "Gain over plain, intervals over queries:")
    assert [line.split(" | ")[0] for line in gains] == ["| ", "| ---", "| popularity", "| cfm"]
    assert gains[2].startswith("| popularity | -50.0% [-55.0%, -45.0%] |")
    assert gains[2].endswith("| - |")
    assert "| popularity | nothing to choose | - | - | - | - |" in text
    assert "| cfm | ssl.alpha=0.3 | 8 | 2 | 40 to 1,200 | 0.0100 |" in text
    wide = _lines_of(text, "Gain over plain, intervals over queries and seeds:")
    assert wide[3].startswith("| cfm | +10.0% [-5.0%, +15.0%] |")


def test_above_the_tables_stands_what_they_are_of_and_what_they_took():
    text = tables(_results("shop", paper=ROWS, tuned={"plain": _row(0.2, cpu_seconds=360.0, choices=3)}))
    about = "9 test pairs (4 head, 5 tail; 1 of all cold; 2 of queries without a training pair). Means over seeds; in "
    about += "brackets 95% intervals of a paired bootstrap over test queries. "
    assert text.startswith(f"## shop, all training pairs, the paper's protocol\n\n{about}3.0 minutes of one core.\n\n")
    again = "Test was read for more than one choice of plain (3); the last one is shown."
    assert f"\n\n## shop, all training pairs, tuned\n\n{about}0.1 hours of one core. {again}\n\n" in text


def test_what_is_not_known_is_a_dash():
    bare, none = Estimate(0.5, None, None), Estimate(None, None, None)
    row = _row(
        0,
        seeds=[0],
        seed_deviation=None,
        best_steps=[0],
        settings={"train.logq": 1.0, "ssl.temperature": None, "ssl.alpha": 0.3, "ssl.complement": False},
        metrics={KEYS[0]: bare, KEYS[1]: none},
        gains_over={
            "plain": Gains(
                gains={KEYS[0]: bare, KEYS[1]: none, "overall/map@10": Estimate(0.1, 0.05, None)},
                gains_seeds_too={},
                gain_by_seed=[0.1, 0.12, 0.08],
            )
        },
    )
    text = tables(_results("shop", tuned={"plain": _row(0.2), "so": row}))
    values, gains = (_lines_of(text, title) for title in ("of one core.", "intervals over queries:"))
    assert values[3] == "| so | 0.500 | - | - | - | - | - | - | - |"
    assert gains[0].endswith("| cold Recall@50 | Recall@10, seed by seed |")
    assert gains[2] == "| so | - | - | +10.0% [+5.0%, any] | - | - | - | - | - | +8.0% to +12.0% |"
    assert "| so | ssl.alpha=0.3, ssl.complement=false, train.logq=1.0 | 8 | 1 | - | - |" in text


def test_a_seed_that_diverged_is_named():
    row = _row(0.2, failures=["seed 3: the loss was not finite"], best_steps=[40, 40])
    text = tables(_results("shop", tuned={"plain": row}))
    assert "| plain | ssl.alpha=0.3 | 8 | 2 (seed 3: the loss was not finite) | 40 | 0.0100 |" in text


def test_gains_over_a_variant_are_of_cold_items_too():
    gains = Gains(
        gains={}, gains_seeds_too=_estimates(0.3) | {"cold/recall@50": Estimate(0.4, 0.1, None)}, gain_by_seed=[]
    )
    over = _over_plain(0.5) | {"cfm": gains, "plain + cold correction": gains}
    rows = ROWS | {"rfm": _row(0.3, gains_over=over)}
    title = "Gain over cfm, intervals over queries and seeds:"
    assert tables(_results("shop", tuned=rows)).count(title) == 1
    before, cold = tables(_results("shop", cold_items=0.1, tuned=rows)).split("Cold items, ranked among all items")
    assert _lines_of(before, title)[2].startswith("| rfm | +30.0% [+25.0%, +35.0%] |")
    assert _lines_of(cold, title)[2].endswith("| +30.0% [+25.0%, +35.0%] | +40.0% [+10.0%, any] | - | - |")
    corrected = "Gain over plain + cold correction, "
    assert (corrected in before, corrected in cold) == (False, True)


def test_without_a_row_the_tables_say_so():
    assert tables(_results("shop")).startswith("## shop: no row yet")
