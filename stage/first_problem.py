"""What pydantic finds wrong with a file, in a few words."""

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """The first of the problems: the key, and what is wrong with it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
