"""Whether a build on this machine has room."""

from stage.errors import StageError
from stage.memory import available


def check_memory(needed: int) -> None:
    """Fails before a local build starts that won't fit.

    Args:
        needed: Its peak memory in bytes, about, as its source says.

    Raises:
        StageError: If this machine, or its container, has less free.
    """
    free = available()
    if free is not None and needed > free:
        raise StageError(
            f"this input needs about {needed / 2**30:.0f} GiB of memory for a build on one machine, which has "
            f"{free / 2**30:.0f} GiB free for it: the local runner keeps shuffles in memory. Run it on an engine "
            "that spills: --runner=DataflowRunner, SparkRunner or FlinkRunner; build-dataset and run take it"
        )
