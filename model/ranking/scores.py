"""Embeddings, whose products are scores, and how many scores are held at once by whoever scores many queries."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Embeddings: TypeAlias = NDArray[np.float32]
"""A row each."""
SCORES_AT_ONCE = 1 << 26
"""Bounds memory: 256 MB of float32. With a large corpus fewer queries are scored at a time, one at the least."""
