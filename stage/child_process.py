"""The end of a process that this one has started."""

import subprocess
from typing import Any

SECONDS_TO_SAVE = 120.0
"""An interrupted stage or worker may take so long to save and leave."""


def end(*processes: "subprocess.Popen[Any]", seconds: float = SECONDS_TO_SAVE) -> None:
    """Asks processes to leave (SIGTERM), waits for each, and kills the one that doesn't.

    Args:
        processes: Some may have ended before.
        seconds: That each may take.
    """
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
