"""The Markdown tables of a comparison."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from model.comparison.decided_keys import describe_held
from model.comparison.paper_gains import PAPER, PAPER_SLICES, PaperGains
from model.comparison.reported_metrics import OF_COLD_ITEMS, REPORTED
from model.comparison.results_file import FractionResults, Gains, ProtocolResults, Results, Row
from model.comparison.split_shape import NEW_QUERIES
from model.comparison.variants import CFM, PLAIN, VARIANTS, Protocol
from model.ranking.bootstrap import Estimate

_Rows: TypeAlias = dict[str, Row]
_Estimates: TypeAlias = dict[str, Estimate]

_TITLES: dict[Protocol, str] = {"paper": "the paper's protocol", "tuned": "tuned"}


def tables(results: Results) -> str:
    """CFM's gains beside the paper's; then for each fraction and protocol values, gains over plain, and choices."""
    parts = _beside_the_paper(results, PAPER[results.spec]) if results.spec in PAPER else []
    for fraction, found in results.fractions.items():
        for protocol, content in found.protocols.items():
            share = "all training pairs" if float(fraction) == 1 else f"{percent(fraction)} of the training pairs"
            if found.cold_items is not None:
                share += f", {percent(found.cold_items)} of the items without any"
            parts.append(f"## {results.spec}, {share}, {_TITLES[protocol]}")
            parts.append(_described(found, content))
            rows, whose = content.rows, _resampled(found)
            parts += _values_and_gains(rows, REPORTED, whose=whose, by_seed=True)
            parts += _gains_over_others(rows, REPORTED, whose=whose, corrected_too=False)
            if found.cold_items is not None:
                parts.append("Cold items, ranked among all items and among the cold ones alone:")
                parts += _values_and_gains(rows, OF_COLD_ITEMS, whose=whose, by_seed=False)
                parts += _gains_over_others(rows, OF_COLD_ITEMS, whose=whose, corrected_too=True)
            columns = ("chosen", "trials", "seeds", "best step", "deviation of the seeds' Recall@10")
            parts.append(_table("", columns, rows=_choices(rows)))
    if not parts:
        parts.append(f"## {results.spec}: no row yet; a variant has one once its choice is trained with each seed")
    return "\n\n".join(parts) + "\n"


def percent(share: str | float) -> str:
    """A share as tables name it, whole: 12.5%, 0.1%."""
    return f"{100 * float(share):g}%"


def _beside_the_paper(results: Results, paper: PaperGains) -> list[str]:
    """A table of what CFM gains under each protocol and what it gained in the paper; nothing where there is no gain."""
    rows = []
    for fraction, found in results.fractions.items():
        if found.cold_items is not None:
            continue  # the paper has no such split
        gains = {
            protocol: over_plain[CFM].gains_seeds_too
            for protocol, content in found.protocols.items()
            if CFM in (over_plain := _gains_over(PLAIN, content.rows))
        }
        for slice_name, items in PAPER_SLICES.items() if any(gains.values()) else ():
            reported = paper.gains.get((float(fraction), slice_name))
            ours = [_gain(gains.get(protocol, {}).get(f"{slice_name}/recall@10")) for protocol in _TITLES]
            rows.append((percent(fraction), [items, "-" if reported is None else f"{reported:+.1%}", *ours]))
    if not rows:
        return []
    columns = ("items", f"the paper, on its {paper.dataset}", *(f"here, {title}" for title in _TITLES.values()))
    return [
        f"## {results.spec}, what CFM gains over {PLAIN} in Recall@10",
        "In brackets 95% intervals of a paired bootstrap over test queries and seeds.",
        _table("training pairs", columns, rows=rows),
    ]


def _described(found: FractionResults, content: ProtocolResults) -> str:
    pairs = found.test_pairs
    whose = _resampled(found)
    users = "" if found.test_users is None else f" of {found.test_users:,} users"
    failed = content.without_row or {}
    seconds = sum(row.cpu_seconds for row in content.rows.values()) + sum(row.cpu_seconds for row in failed.values())
    time = f"{seconds / 3600:.1f} hours" if seconds >= 360 else f"{seconds / 60:.1f} minutes"
    again = [f"{name} ({row.choices})" for name, row in content.rows.items() if (row.choices or 1) > 1]
    once = f" Test was read for more than one choice of {', '.join(again)}; the last one is shown." if again else ""
    said = "; ".join(f"{name} ({'; '.join(row.failures)})" for name, row in failed.items())
    nothing = f" Without a row, since its choice came to nothing with any seed: {said}." if said else ""
    held = "" if found.held_for_all is None else f" {describe_held(found.held_for_all)}"
    return (
        f"{pairs['overall']:,} test pairs{users} ({pairs['head']:,} head, {pairs['tail']:,} tail; {pairs['cold']:,} of "
        f"all cold; {pairs[NEW_QUERIES]:,} of {whose} without a training pair). Means over seeds; in brackets 95% "
        f"intervals of a paired bootstrap over test {whose}. {time} of one core.{once}{nothing}{held}"
    )


def _resampled(found: FractionResults) -> str:
    """What the intervals are over."""
    return "queries" if found.test_users is None else "users"


def _table(corner: str, columns: Iterable[str], *, rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    names = list(columns)
    lines = [f"| {' | '.join([corner, *names])} |", f"|{' --- |' * (len(names) + 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join([name, *cells])} |" for name, cells in rows)])


def _values_and_gains(rows: _Rows, keys: dict[str, str], *, whose: str, by_seed: bool) -> list[str]:
    """Three tables of the same metrics, key -> title."""
    values = ((name, [_value(row.metrics.get(key)) for key in keys]) for name, row in rows.items())
    over_plain = _gains_over(PLAIN, rows)
    gains = {name: found.gains for name, found in over_plain.items()}
    wide = {name: found.gains_seeds_too for name, found in over_plain.items()}
    seeds = {name: _by_seed(found.gain_by_seed) for name, found in over_plain.items()} if by_seed else None
    return [
        _table("", keys.values(), rows=values),
        *_gains(gains, keys, title=f"Gain over {PLAIN}, intervals over {whose}:", by_seed=seeds),
        *_gains(wide, keys, title=f"Gain over {PLAIN}, intervals over {whose} and seeds:"),
    ]


def _gains_over_others(rows: _Rows, keys: dict[str, str], *, whose: str, corrected_too: bool) -> list[str]:
    """A table for each other variant that gains are shown over, and for each with its cold items corrected."""
    parts: list[str] = []
    for other in dict.fromkeys(other for row in rows.values() for other in row.gains_over if other != PLAIN):
        if corrected_too or other in VARIANTS:
            gains = {name: found.gains_seeds_too for name, found in _gains_over(other, rows).items()}
            parts += _gains(gains, keys, title=f"Gain over {other}, intervals over {whose} and seeds:")
    return parts


def _gains_over(other: str, rows: _Rows) -> dict[str, Gains]:
    """Of each row that has gains over another."""
    return {name: row.gains_over[other] for name, row in rows.items() if other in row.gains_over}


def _gains(
    gains: Mapping[str, _Estimates],
    keys: dict[str, str],
    *,
    title: str,
    by_seed: Mapping[str, str] | None = None,
) -> list[str]:
    """A titled table of gains, if there are any; "-" where a row has no such interval."""
    cells = [
        (name, [*(_gain(found.get(key)) for key in keys), *([by_seed[name]] if by_seed else [])])
        for name, found in gains.items()
    ]
    columns = [*keys.values(), *(["Recall@10, seed by seed"] if by_seed else [])]
    return [title, _table("", columns, rows=cells)] if cells else []


def _value(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _gain(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None or estimate.low is None:
        return "-"
    high = "any" if estimate.high is None else f"{estimate.high:+.1%}"
    return f"{estimate.value:+.1%} [{estimate.low:+.1%}, {high}]"


def _by_seed(gains: Sequence[float]) -> str:
    return f"{min(gains):+.1%} to {max(gains):+.1%}" if gains else "-"


def _as_given(value: object) -> object:
    """A setting as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else value


def _choices(rows: _Rows) -> Iterable[tuple[str, Sequence[str]]]:
    for name, row in rows.items():
        if row.seeds == [None]:
            yield name, ["nothing to choose", "-", "-", "-", "-"]
            continue
        found = {key: value for key, value in sorted(row.settings.items()) if value is not None}
        settings = ", ".join(f"{key}={_as_given(value)}" for key, value in found.items())
        spread = row.seed_deviation
        seeds = str(len(row.seeds))
        if row.failures:
            seeds += f" ({'; '.join(row.failures)})"
        yield (
            name,
            [
                settings,
                str(row.trials or "-"),
                seeds,
                _range(row.best_steps),
                "-" if spread is None else f"{spread:.4f}",
            ],
        )


def _range(steps: Sequence[int]) -> str:
    """From the first best step to the last; "-" for a model that knows no steps."""
    if not any(steps):
        return "-"
    return f"{min(steps):,} to {max(steps):,}" if min(steps) < max(steps) else f"{steps[0]:,}"
