"""Whether a build on this machine has room, by the size of what it reads."""

from stage.errors import StageError
from stage.memory import available

PER_BYTE = 2.0
"""Peak memory of a local build per byte of input in JSON lines, about, above BASE."""
BASE = 1_900_000_000


def check_memory(input_bytes: int) -> None:
    """Fails before a local build starts that won't fit.

    Args:
        input_bytes: Size of its input in JSON lines, about.

    Raises:
        StageError: If it needs more memory than this machine, or its container, has free.
    """
    needed = BASE + PER_BYTE * input_bytes
    free = available()
    if free is not None and needed > free:
        raise StageError(
            f"this input needs about {needed / 2**30:.0f} GiB of memory for a build on one machine, which has "
            f"{free / 2**30:.0f} GiB free for it: the local runner keeps shuffles in memory. Run it on an engine "
            "that spills: --runner=DataflowRunner, SparkRunner or FlinkRunner; build-dataset and run take it"
        )
