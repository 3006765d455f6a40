"""Names that a glob leaves out, as Spark and Hive do: what their writers leave beside the data, such as _SUCCESS."""

import re

_HIDDEN = (".", "_")


def is_pattern(path: str) -> bool:
    """Whether a path is a glob rather than the name of one file."""
    return re.search(r"[*?[]", path) is not None


def is_hidden(path: str, pattern: str) -> bool:
    """Whether a glob took a name that begins with . or _, be it of a directory, without asking for such names.

    Args:
        path: What it matched.
        pattern: The glob; parts before its first pattern may be named as they like.
    """
    parts = pattern.split("/")
    start = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    hidden = {name[0] for name in path.split("/")[start:] if name.startswith(_HIDDEN)}
    return not hidden <= {part[0] for part in parts[start:] if part}
