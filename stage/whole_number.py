"""A flag's value that is a whole number."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """A parser of whole numbers of at least `least`; 2_000_000 is one."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise ArgumentTypeError(f"expected a whole number of at least {least}, got '{text}'")
        return value

    return parse
