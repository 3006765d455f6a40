"""Arrow's booleans as NumPy's."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def flags_of(flags: pa.Array) -> npt.NDArray[np.bool_]:
    """Booleans of which none is null, bool [n]."""
    return flags.to_numpy(zero_copy_only=False)
