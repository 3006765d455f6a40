"""`ssl-two-tower recommend`: from the shell, the items that an export recommends for queries.

Shapes: B queries, D dimensions of an embedding.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import compress
from typing import Any

from rich.table import Column, Table

from features.spec.features import SideName
from model.options.recommend import make_parser
from model.ranking.scores import Embeddings
from model.serving.asked_histories import history_of
from model.serving.retriever import Ask, Recommendation, Retriever
from stage.command_line import run_process
from stage.console import console, shortened
from stage.errors import UsageError


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the export is missing or incomplete.
        UsageError: If a query isn't JSON, or an id, of a history too, or a feature is unknown.
    """
    options = make_parser().parse_args(argv)
    asked = [parse_ask(text, "--query") for text in options.query]
    retriever = Retriever.open(options.export, verify=options.verify)
    if options.history is not None:
        if retriever.spec.session is None:
            raise UsageError("--history: this export is not of session mode, so its queries have no history")
        if not any(isinstance(query, str) for query in asked):
            raise UsageError('--history: goes with queries that are ids; a JSON object has its own, as "history"')
        # Without features an id tells nothing, and may be a new one.
        features_of = retriever.query if retriever.spec.query.features else lambda _: {}
        asked = [
            {**features_of(query), "history": options.history} if isinstance(query, str) else query for query in asked
        ]
    if retriever.spec.session is not None:
        retriever.check_items(one for query in asked if isinstance(query, Mapping) for one in history_of(query))
    say_unknown(options.exclude, retriever)
    exclude = [options.exclude] * len(asked)
    say_nothing_known(options.query, retriever.embed_queries(asked), retriever=retriever, what="query")
    show(options.query, retriever.recommend_all(asked, exclude=exclude, top_k=options.top_k), as_json=options.json)


def say_unknown(exclude: Sequence[str], retriever: Retriever) -> None:
    """Says which of the ids to leave out aren't in the export: they may be misspelt."""
    unknown = [one for one in exclude if not retriever.has_item(one)]
    if unknown:
        print(f"--exclude: not items of this export: {', '.join(unknown)}", file=sys.stderr)


def say_nothing_known(names: Sequence[str], embeddings: Embeddings, *, retriever: Retriever, what: SideName) -> None:
    """Says of what the model knows nothing: its features may be misspelt.

    Args:
        names: What was asked with, B.
        embeddings: Of these, float32 [B, D].
        retriever: What embedded them.
        what: "query" or "item".
    """
    for name in compress(names, retriever.nothing_known(embeddings, what)):
        print(f"{what} {shortened(name)}: the model knows nothing of it, so it gets what all such get", file=sys.stderr)


def parse_ask(text: str, flag: str) -> Ask:
    """An id, or the features in a JSON object; an id may be in braces, as GUIDs are.

    Raises:
        UsageError: If it looks like an object and isn't one.
    """
    if not re.match(r"\s*\{(\s*\}|.*:)", text, re.DOTALL):
        return text
    try:
        found: dict[str, Any] = json.loads(text, object_pairs_hook=_without_repeated_keys)
    except ValueError as error:
        raise UsageError(
            f"{flag}: expected an id or a JSON object of features, got {shortened(text)}: {error}"
        ) from None
    return found


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which Python would keep the last value of a key in silence.

    Raises:
        ValueError: If a key is repeated.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"'{key}' is repeated")
        found[key] = value
    return found


def show(names: Sequence[str], found: Sequence[Sequence[Recommendation]], *, as_json: bool) -> None:
    """Prints what was found for each name, best first."""
    if as_json:
        entries = [
            {"for": name, "items": [asdict(item) for item in items]} for name, items in zip(names, found, strict=True)
        ]
        print(json.dumps(entries, ensure_ascii=False))
        return
    for name, items in zip(names, found, strict=True):
        table = Table(
            "", Column("item", overflow="fold"), Column("title", overflow="fold"), "score", title=shortened(name)
        )
        for rank, item in enumerate(items, start=1):
            table.add_row(str(rank), item.item_id, shortened(item.title), f"{item.score:.4f}")
        console().print(table)


if __name__ == "__main__":
    run_process(main)
