"""What a verb's parser makes of arguments, without the verb."""

from collections.abc import Callable
from typing import Any

import pytest

from pipelines.cli import dispatch
from stage.parser import Parser


class Parsed(Exception):  # noqa: N818  (nothing went wrong)
    """The arguments were taken."""


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], list[str]]:
    """What a verb's parser doesn't know of its arguments; the verb isn't run."""
    parse = Parser.parse_known_args

    def stop(parser: Parser, args: Any = None, namespace: Any = None) -> None:
        raise Parsed(parse(parser, args, namespace)[1])

    monkeypatch.setattr(Parser, "parse_known_args", stop)

    def find(arguments: list[str]) -> list[str]:
        with pytest.raises(Parsed) as parsed:
            dispatch(arguments)
        (left,) = parsed.value.args
        return left

    return find
