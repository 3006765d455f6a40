"""`ssl-two-tower gate`: whether a new model may replace the published one, both on the new test split."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from features.dataset import Dataset
from features.pseudonyms import digests_of
from features.spec.file import spec_of
from features.spec.spec import Spec
from model.network.finished_model import FinishedModel
from model.options.gate import make_parser
from model.ranking.bootstrap import Estimate
from model.ranking.candidates import Candidates, read_candidates
from model.ranking.champion import find_champion, open_model
from model.ranking.cut_off import DECIDES, warn_if_all_are_found, warn_if_chance_reaches
from model.ranking.metrics import RankedSplit
from model.ranking.ranking import embedding_scorer, rank_pairs
from model.ranking.split_scorers import SplitToRank, embed_split, read_split_to_rank
from model.ranking.verdict import SliceVerdict, Verdict, decide
from stage.command_line import run_process
from stage.console import print_widest
from stage.errors import StageError
from stage.manifest import Manifest
from stage.published import Published, nothing_published, served_models, served_number

_SAID = {
    "replaces": "publish: overall and tail recall@50 are surely within the margins, or better",
    "first_model": "publish: above the floors, with no published model that can be compared",
    "worse": "keep the champion: recall@50 is worse, or may be by more than the margin",
    "too_little_data": "publish nothing: too little data; take a longer test split, or wider margins (gate.margin, "
    "gate.tail_margin)",
    "below_floor": "publish nothing: below a floor, with no published model that can be compared",
    "older_interval": "keep the champion: the data of what is published ends later",
}


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If a model or the dataset isn't whole, they don't fit each other, or the challenger isn't of it.
        UsageError: If an option or a key is wrong.
    """
    options = make_parser().parse_args(argv)
    dataset = Dataset.open(options.dataset, verify=options.verify)
    challenger = FinishedModel.open(options.model, verify=options.verify)
    spec = spec_of(challenger.manifest, options.model, overrides=options.overrides, verb="gate")
    # Before the models are read: if another is published meanwhile, publish --after refuses rather than not.
    number = served_number(options.published)
    served = served_models(options.published)
    if (nothing := nothing_published(options.published)) is not None:
        print(f"{nothing}: the model is judged as a first one", file=sys.stderr, flush=True)
    among = None if options.candidates is None else read_candidates(options.candidates, dataset)
    champion, verdict = gate(
        challenger, dataset=dataset, served=served, spec=spec, candidates=among, verify=options.verify
    )
    if options.json:
        said = _to_json(verdict, options.model, champion=champion, served=number)
        of_number = next((one for one in served if one.number == number), None)
        said |= {
            "served_model": _to_export_again(of_number, verdict, challenger=challenger.manifest, champion=champion)
        }
        print(json.dumps(said | ({} if among is None else {"candidates": among.to_json()}), allow_nan=False))
    else:
        ranked = "" if among is None else f", exact ranking of {len(among.ids):,} candidates"
        _show(verdict, champion, drawn="queries" if spec.session is None else "users", ranked=ranked)


def gate(
    challenger: FinishedModel,
    *,
    dataset: Dataset,
    served: Sequence[Published],
    spec: Spec,
    candidates: Candidates | None = None,
    verify: bool = False,
) -> tuple[Published | None, Verdict]:
    """Ranks the test split by the challenger and by the champion, if there is one, and decides.

    Args:
        challenger: The new model.
        dataset: What it was trained on.
        served: The published model that is served and those before it, newest first.
        spec: The challenger's, with the sections gate and evaluate as wanted.
        candidates: The items that are ranked; None: all.
        verify: Compare the SHA-256 of every file of the champion.

    Returns:
        The champion, and the verdict.

    Raises:
        StageError: As `main`.
    """
    if challenger.manifest.inputs.get("dataset") != dataset.manifest.content_digest:
        raise StageError(
            f"{challenger.directory}: expected a model trained on {dataset.directory}, since another may know its test "
            "split"
        )
    if served and (ends := served[0].later_ends(challenger.manifest)):
        mine, theirs = ends
        print(f"{served[0].directory}: its data ends at {mine}, after the new model's ({theirs})", file=sys.stderr)
        return None, Verdict("older_interval", {})
    champion = find_champion(served, dataset, other_than=challenger.manifest)
    split = read_split_to_rank(dataset, "test", settings=spec.evaluate, candidates=candidates)
    on_offer = len(split.corpus) if candidates is None else len(candidates.ids)
    ranked = min(split.pairs.most_candidates(), on_offer)
    warn_if_all_are_found(ranked, so="the verdict says nothing of what a model recommends")
    if champion is None:
        warn_if_chance_reaches(spec.gate.floor, items=ranked)
    against = None if champion is None else _rank(open_model(champion, verify=verify), split)
    verdict = decide(
        _rank(challenger, split),
        against,
        slices=split.slices,
        users=split.pairs.users(),
        gate=spec.gate,
    )
    return champion, verdict


def _rank(model: FinishedModel, split: SplitToRank) -> RankedSplit:
    print(f"gate: ranking by {model.directory}", file=sys.stderr, flush=True)
    scorer = embedding_scorer(*embed_split(model, split), model=model.directory)
    return rank_pairs(split.pairs, scorer, among=split.among)


def _to_json(verdict: Verdict, challenger: str, *, champion: Published | None, served: int | None) -> dict[str, Any]:
    return {
        "publish": verdict.passes,
        "verdict": verdict.outcome,
        "challenger": challenger,
        "champion": None if champion is None else champion.directory,
        "served": served,
        DECIDES: {name: asdict(found) for name, found in verdict.slices.items()},
    }


def _to_export_again(
    served: Published | None, verdict: Verdict, *, challenger: Manifest, champion: Published | None
) -> str | None:
    """Where the served model lies, if it ranked the split, as either one, and knows ids as the dataset does.

    So it fits the dataset. As a champion alone it may be of other pseudonyms.
    """
    if served is None or verdict.outcome == "older_interval":
        return None
    ranked = served.model in (challenger.content_digest, None if champion is None else champion.model)
    fits = ranked and digests_of(served.manifest) == digests_of(challenger)
    return served.manifest.job_options.get("model") if fits else None


def _show(verdict: Verdict, champion: Published | None, *, drawn: str, ranked: str) -> None:
    if verdict.slices:
        print_widest([_table(verdict, champion, below=below, ranked=ranked) for below in (" ", "\n")])
    for slice_name, found in verdict.slices.items():
        if found.finding == "too_little_data":
            print(f"{slice_name}: {_lacking(found, drawn=drawn)}")
    print(_SAID[verdict.outcome])


def _lacking(found: SliceVerdict, *, drawn: str) -> str:
    low, high = found.difference.low, found.difference.high
    if found.users < found.needed or low is None or high is None:
        return f"{found.users:,} {drawn} have a pair, too few: expected {found.needed:,} or more"
    return f"the interval is {high - low:.4f} wide, too wide: expected at most the margin, {found.bound:g}"


def _table(verdict: Verdict, champion: Published | None, *, below: str, ranked: str) -> Table:
    """The slices; `below` stands between a difference and its interval, and between the words of a finding.

    Args:
        verdict: The verdict.
        champion: Against whom.
        below: A space or a newline.
        ranked: Ends the title: what was ranked, if not all items.
    """
    bound = "floor" if champion is None else "margin"
    name = "no champion" if champion is None else champion.directory
    table = Table(title=f"test {DECIDES}, against {name}{ranked}")
    for column in ("", "challenger", "champion", "difference", bound, ""):
        table.add_column(column, no_wrap=True)
    for slice_name, found in verdict.slices.items():
        values = [_number(found.challenger), _number(found.champion), _interval(found.difference, below=below)]
        table.add_row(slice_name, *values, f"{found.bound:g}", found.finding.replace("_", below))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(found: Estimate, *, below: str) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{found.value:+.4f}{below}({found.low:+.4f} to {found.high:+.4f})"


if __name__ == "__main__":
    run_process(main)
