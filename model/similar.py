"""`ssl-two-tower similar`: from the shell, the items of an export that are nearest to others."""

from collections.abc import Sequence

from model.options.similar import make_parser
from model.recommend import parse_ask, say_nothing_known, say_unknown, show
from model.serving.retriever import Retriever
from stage.command_line import run_process


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the export is missing or incomplete.
        UsageError: If an item isn't JSON, or an id or a feature is unknown.
    """
    options = make_parser().parse_args(argv)
    asked = [parse_ask(text, "--item") for text in options.item]
    retriever = Retriever.open(options.export, verify=options.verify)
    say_unknown(options.exclude, retriever)
    say_nothing_known(options.item, retriever.embed_items(asked), retriever=retriever, what="item")
    found = [retriever.similar(item, exclude=options.exclude, top_k=options.top_k) for item in asked]
    show(options.item, found, as_json=options.json)


if __name__ == "__main__":
    run_process(main)
