"""What a build left, as a table for people or JSON for programs."""

from rich.table import Table

from features.dataset import EMPTY_HISTORY, WITHOUT_ROW
from features.split import SPLITS
from pipelines.aggregation.counts import rejects_of
from pipelines.build_warnings import is_empty, print_warnings
from stage.console import console
from stage.manifest import Manifest


def print_report(manifest: Manifest, directory: str, *, as_json: bool) -> None:
    """Prints the counts of a dataset, or of what aggregate-spark left, to stdout, and to stderr what they warn of."""
    print_warnings(manifest, directory)
    if as_json:
        print(manifest.to_json().decode(), end="")
        return
    kind = "examples" if manifest.stage == "dataset" else "pairs"
    made = {split: manifest.counts[f"{kind}/{split}"] for split in SPLITS}
    table = _table_of_lines(f"{manifest.stage.capitalize()} {directory}", manifest, made=sum(made.values()))
    for split, number in made.items():
        table.add_row(f"{split} {kind}", f"{number:,}")
    if EMPTY_HISTORY in manifest.counts:
        table.add_row("  with an empty history", f"{manifest.counts[EMPTY_HISTORY]:,}")
    _add_entities(table, manifest.counts)
    for vocabulary, terms in manifest.vocabularies.items():
        table.add_row(f"vocabulary {vocabulary}", "0" if is_empty(vocabulary, manifest.content) else f"{terms:,}")
    console().print(table)


def _table_of_lines(title: str, manifest: Manifest, *, made: int) -> Table:
    """What became of the lines, of which those that are kept made so many examples or pairs."""
    counts = manifest.counts
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    table.add_column("count", justify="right")
    table.add_row("lines read", f"{counts['lines/read']:,}")
    _add_rejected(table, manifest, source="log")
    for name, lines in counts.items():
        if name.startswith("filtered/"):
            table.add_row(f"  filtered: {name.removeprefix('filtered/')}", f"{lines:,}")
    table.add_row("  kept", f"{counts['lines/kept']:,}")
    if repeats := counts["lines/kept"] - made:
        table.add_row("    repeats of a pair", f"{repeats:,}")
    table.add_section()
    # Rows of a table are none of the log's lines, whose numbers add up.
    for name in ("items", "queries"):
        if rejects_of(name, manifest.rejected):
            table.add_row(f"rows of the table of {name}", f"{counts[f'{name}/read']:,}")
            _add_rejected(table, manifest, source=name)
            table.add_section()
    return table


def _add_rejected(table: Table, manifest: Manifest, *, source: str) -> None:
    for reason, lines in rejects_of(source, manifest.rejected).items():
        table.add_row(f"  rejected: {reason.removeprefix(f'{source}/')}", f"{lines:,}")


def _add_entities(table: Table, counts: dict[str, int]) -> None:
    table.add_section()
    table.add_row("queries", f"{counts['queries']:,}")
    if WITHOUT_ROW in counts:
        table.add_row("  without a row in the query table", f"{counts[WITHOUT_ROW]:,}")
    table.add_row("items", f"{counts['items']:,}")
    table.add_row("  without a training pair", f"{counts.get('items/cold', 0):,}", end_section=True)
