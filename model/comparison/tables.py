"""The Markdown tables of a comparison."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from model.comparison.paper_gains import PAPER, SLICES, PaperGains
from model.comparison.variants import CFM, PLAIN, VARIANTS

Json = dict[str, Any]

_VALUES = {
    "overall/recall@10": "Recall@10",
    "overall/recall@50": "Recall@50",
    "overall/map@10": "MAP@10",
    "head/recall@10": "head Recall@10",
    "tail/recall@10": "tail Recall@10",
    "tail/recall@50": "tail Recall@50",
    "cold/recall@10": "cold Recall@10",
}
_COLD_VALUES = {
    "overall/recall@50": "Recall@50",
    "cold/recall@10": "cold Recall@10",
    "cold/recall@50": "cold Recall@50",
    "cold_among_cold/recall@10": "among the cold Recall@10",
    "cold_among_cold/recall@50": "among the cold Recall@50",
}
_WIDE = "intervals over queries and seeds:"
_TITLES = {"paper": "the paper's protocol", "tuned": "tuned"}


def tables(results: Json) -> str:
    """CFM's gains beside the paper's; then for each fraction and protocol values, gains over plain, and choices.

    Args:
        results: What results.json holds.
    """
    spec_name = results["spec"]
    parts = _beside_the_paper(results, PAPER[spec_name], spec_name=spec_name) if spec_name in PAPER else []
    for fraction, found in results["fractions"].items():
        for protocol, content in found["protocols"].items():
            share = "all training pairs" if float(fraction) == 1 else f"{float(fraction):.0%} of the training pairs"
            if "cold_items" in found:
                share += f", {found['cold_items']:.0%} of the items without any"
            parts.append(f"## {spec_name}, {share}, {_TITLES[protocol]}")
            parts.append(_described(found, content))
            rows = content["rows"]
            parts += _values_and_gains(rows, _VALUES, by_seed=True)
            parts += _gains_over_others(rows, _VALUES, of_variants=True)
            if "cold_items" in found:
                parts.append("Cold items, ranked among all items and among the cold ones alone:")
                parts += _values_and_gains(rows, _COLD_VALUES, by_seed=False)
                parts += _gains_over_others(rows, _COLD_VALUES, of_variants=False)
            columns = ("chosen", "trials", "seeds", "best step", "deviation of the seeds' Recall@10")
            parts.append(_table("", columns, rows=_choices(rows)))
    if not parts:
        parts.append(f"## {spec_name}: no row yet; a variant has one once its choice is trained with each seed")
    return "\n\n".join(parts) + "\n"


def _beside_the_paper(results: Json, paper: PaperGains, *, spec_name: str) -> list[str]:
    """A table of what CFM gains under each protocol and what it gained in the paper; nothing where there is no gain."""
    rows = []
    for fraction, found in results["fractions"].items():
        if "cold_items" in found:
            continue  # the paper has no such split
        gains = {
            name: content["rows"].get(CFM, {}).get("gains_seeds_too") for name, content in found["protocols"].items()
        }
        for slice_name, items in SLICES.items() if any(gains.values()) else ():
            reported = paper.gains.get((float(fraction), slice_name))
            ours = [_gain(gains[name][f"{slice_name}/recall@10"]) if gains.get(name) else "-" for name in _TITLES]
            rows.append((f"{float(fraction):.0%}", [items, "-" if reported is None else f"{reported:+.1%}", *ours]))
    if not rows:
        return []
    columns = ("items", f"the paper, on its {paper.dataset}", *(f"here, {title}" for title in _TITLES.values()))
    return [
        f"## {spec_name}, what CFM gains over {PLAIN} in Recall@10",
        "In brackets 95% intervals of a paired bootstrap over test queries and seeds.",
        _table("training pairs", columns, rows=rows),
    ]


def _described(found: Json, content: Json) -> str:
    pairs = found["test_pairs"]
    hours = sum(row["cpu_seconds"] for row in content["rows"].values()) / 3600
    again = [f"{name} ({row['choices']})" for name, row in content["rows"].items() if row.get("choices", 1) > 1]
    once = f" Test was read for more than one choice of {', '.join(again)}; the last one is shown." if again else ""
    return (
        f"{pairs['overall']:,} test pairs ({pairs['head']:,} head, {pairs['tail']:,} tail; {pairs['cold']:,} of all "
        f"cold). Means over seeds; in brackets 95% intervals of a paired bootstrap over test queries. "
        f"{hours:.1f} hours of one core.{once}"
    )


def _table(corner: str, columns: Iterable[str], *, rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    names = list(columns)
    lines = [f"| {' | '.join([corner, *names])} |", f"|{' --- |' * (len(names) + 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join([name, *cells])} |" for name, cells in rows)])


def _values_and_gains(rows: Json, keys: dict[str, str], *, by_seed: bool) -> list[str]:
    """Two tables of the same metrics, key -> title."""
    parts = [
        _table(
            "", keys.values(), rows=((n, [_value(row["metrics"].get(key)) for key in keys]) for n, row in rows.items())
        )
    ]
    over = f"Gain over {PLAIN}"
    parts += _gains(
        rows, keys, title=f"{over}, intervals over queries:", of=lambda row: row.get("gains"), by_seed=by_seed
    )
    parts += _gains(rows, keys, title=f"{over}, {_WIDE}", of=lambda row: row.get("gains_seeds_too"))
    return parts


def _gains_over_others(rows: Json, keys: dict[str, str], *, of_variants: bool) -> list[str]:
    """A table for each row that others' gains are shown over: variants, or models with their cold items corrected."""
    others = dict.fromkeys(other for row in rows.values() for other in row.get("gains_over", {}))
    return [
        part
        for other in others
        if (other in VARIANTS) == of_variants
        for part in _gains(rows, keys, title=f"Gain over {other}, {_WIDE}", of=partial(_gains_over, other))
    ]


def _gains_over(other: str, row: Json) -> Json | None:
    found: Json | None = row.get("gains_over", {}).get(other, {}).get("gains_seeds_too")
    return found


def _gains(
    rows: Json, keys: dict[str, str], *, title: str, of: Callable[[Json], Json | None], by_seed: bool = False
) -> list[str]:
    """A titled table of the rows that have such gains, if any has."""
    found = [(name, row, of(row)) for name, row in rows.items()]
    cells = [
        (name, [_gain(gains.get(key)) for key in keys] + ([_by_seed(row["gain_by_seed"])] if by_seed else []))
        for name, row, gains in found
        if gains
    ]
    columns = [*keys.values(), *(["Recall@10, seed by seed"] if by_seed else [])]
    return [title, _table("", columns, rows=cells)] if cells else []


def _value(estimate: Json | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _gain(estimate: Json | None) -> str:
    if estimate is None or estimate["value"] is None or estimate["low"] is None:
        return "-"
    high = "any" if estimate["high"] is None else f"{estimate['high']:+.1%}"
    return f"{estimate['value']:+.1%} [{estimate['low']:+.1%}, {high}]"


def _by_seed(gains: Sequence[float]) -> str:
    return f"{min(gains):+.1%} to {max(gains):+.1%}" if gains else "-"


def _choices(rows: Json) -> Iterable[tuple[str, Sequence[str]]]:
    for name, row in rows.items():
        if row["seeds"] == [None]:
            yield name, ["nothing to choose", "-", "-", "-", "-"]
            continue
        found = {key: value for key, value in sorted(row["settings"].items()) if value is not None}
        settings = ", ".join(f"{key.removeprefix('train.')} {value}" for key, value in found.items())
        spread = row["seed_deviation"]
        seeds = str(len(row["seeds"]))
        if row["failures"]:
            seeds += f" ({'; '.join(row['failures'])})"
        yield (
            name,
            [
                settings,
                str(row["trials"] or "-"),
                seeds,
                _range(row["best_steps"]),
                "-" if spread is None else f"{spread:.4f}",
            ],
        )


def _range(steps: Sequence[int]) -> str:
    """From the first best step to the last; "-" for a model that knows no steps."""
    if not any(steps):
        return "-"
    return f"{min(steps):,} to {max(steps):,}" if min(steps) < max(steps) else f"{steps[0]:,}"
