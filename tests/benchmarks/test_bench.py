"""That the benchmarks, which no other test runs, still find what they measure."""

from importlib import import_module
from pathlib import Path

import pytest
from bench import GROUPS

HERE = Path(__file__)
OF_A_PEER = "librecommender_two_tower"
"""Runs in an environment that has no other of these."""
NAMES = {path.stem for path in HERE.parent.glob("*.py")} - {HERE.stem, OF_A_PEER}


@pytest.mark.parametrize("name", sorted(NAMES | {*GROUPS}))
def test_it_can_be_imported(name: str) -> None:
    module = import_module(name)
    assert name not in GROUPS or callable(module.measure)
