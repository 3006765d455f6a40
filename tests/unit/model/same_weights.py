"""Arrays of two models, or of two checkpoints."""

from collections.abc import Mapping

import numpy as np


def assert_same_weights(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], within: float = 0) -> None:
    """They have the same names, and the same values; a checkpoint's history, which has times, may be another."""
    assert found.keys() == expected.keys()
    for name in expected.keys() - {"history"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=within, err_msg=name)
