"""The lines of JSON that surely give a row, told from the others by one regular expression in one pass.

It is cautious: a line that it doesn't match may be good as well, and has to be looked at by itself. It goes over bytes,
so texts may hold what is no UTF-8, and it is RE2's, so its time is in proportion to the bytes, whatever these say.
"""

from functools import lru_cache

import pyarrow as pa

_SPACE = r"[ \t]*"
_PLAIN = r'[^"\\\x00-\x1f]'
_TEXT = rf'"(?:{_PLAIN}|\\(?:["\\/bfnrt]|u(?:[0-9a-cA-CeEfF][0-9a-fA-F]|[dD][0-7])[0-9a-fA-F]{{2}}))*"'
"""Escaped surrogates are left to others: they must come in pairs."""
_INTEGER = "(?:0|-?[1-9][0-9]{0,17})"
"""One that fits 64 bits, as its length shows."""
_NUMBER = r"(?:NaN|-?Infinity|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)"
"""One that fits a double, as its length shows. NaN and infinities are none of JSON's, but pyarrow takes them."""


@lru_cache(maxsize=64)
def good_lines(columns: pa.Schema) -> str:
    """Matches lines, newline and all, that are one object with columns of the right types.

    A column may stand twice in it, though pyarrow takes that for an error.

    Args:
        columns: The columns that are read: string, float64, list<string> or list<float32>; int64, bool or list<int64>
            where such values are to be read as text.
    """
    names = [field.name for field in columns if _is_plain(field.name)]
    values = [_value_of(columns.field(name).type) for name in names]
    read = [_member(_key(name), f"(?:{value}|null)") for name, value in zip(names, values, strict=True)]
    unread = f'"{_other_than([name.encode() for name in names])}"'
    # Columns that nobody reads may hold anything, here a few levels of it.
    member = _one_of([*read, _member(unread, _anything(nesting=2))])
    return rf"^{_SPACE}\{{{_SPACE}(?:{member}(?:,{_SPACE}{member})*)?\}}[ \t\r\n]*$"


def _value_of(of: pa.DataType) -> str:
    if pa.types.is_integer(of) or pa.types.is_boolean(of):
        return _INTEGER if pa.types.is_integer(of) else "true|false"
    if pa.types.is_string(of):
        return _TEXT
    return _NUMBER if pa.types.is_floating(of) else _array(f"(?:{_value_of(of.value_type)}|null)")


def _anything(nesting: int) -> str:
    scalar = f"(?:{_TEXT}|{_NUMBER}|true|false|null)"
    if nesting == 0:
        return scalar
    inner = _anything(nesting - 1)
    member = _member(_TEXT, inner)
    return rf"(?:{scalar}|{_array(inner)}|\{{{_SPACE}(?:{member}(?:,{_SPACE}{member})*)?\}})"


def _array(part: str) -> str:
    return rf"\[{_SPACE}(?:{part}{_SPACE}(?:,{_SPACE}{part}{_SPACE})*)?\]"


def _member(key: str, value: str) -> str:
    return f"{key}{_SPACE}:{_SPACE}{value}{_SPACE}"


def _one_of(patterns: list[str]) -> str:
    return f"(?:{'|'.join(patterns)})"


def _is_plain(name: str) -> bool:
    """Whether a key of this name can be written without an escape."""
    return not any(character in '"\\' or character < " " for character in name)


def _key(name: str) -> str:
    return f'"{"".join(map(_byte, name.encode()))}"'


def _byte(byte: int) -> str:
    return f"\\x{byte:02x}"


def _other_than(names: list[bytes]) -> str:
    """Any text without escapes but these, as a tree of what may follow each byte."""
    following = sorted({name[0] for name in names if name})
    if not following:
        return f"{_PLAIN}+" if names else f"{_PLAIN}*"
    branches = [f"{_PLAIN[:-1]}{''.join(map(_byte, following))}]{_PLAIN}*"]
    for byte in following:
        branches.append(_byte(byte) + _other_than([name[1:] for name in names if name[:1] == bytes([byte])]))
    if b"" not in names:
        branches.append("")
    return _one_of(branches)
