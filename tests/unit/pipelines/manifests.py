"""A manifest with other fields."""

from pathlib import Path
from typing import Any

from stage.manifest import Manifest


def rewrite(directory: Path, **fields: Any) -> Manifest:
    manifest = Manifest.find(str(directory))
    assert manifest is not None
    changed = manifest.model_copy(update=fields)
    changed.write(str(directory))
    return changed
