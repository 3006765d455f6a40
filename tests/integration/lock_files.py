"""What pip's lock files hold."""

import re
from pathlib import Path


def locked(path: Path) -> set[tuple[str, str]]:
    """Names and versions; where Pythons differ in what they can have, all of them."""
    return set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", path.read_text(), re.MULTILINE))
