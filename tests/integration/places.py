"""Where what tests read lies."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/data/debian-sample"
FULL_DATA = Path(os.environ.get("SSL_TWO_TOWER_DATA", ROOT / "../shared/data"))


def full_data(name: str) -> Path:
    """Of the full public data; the test skips where it isn't there."""
    path = FULL_DATA / name
    if not path.exists():
        pytest.skip(f"no full data: {path} is not there (SSL_TWO_TOWER_DATA says where)")
    return path
