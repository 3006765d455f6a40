"""Processes that this one starts: a verb of ours, waited for, and the end of any, also with this one."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from stage.errors import Interrupted, StageError, UsageError
from stage.interrupts import interrupts_held

SECONDS_TO_SAVE = 120.0
"""An interrupted stage or worker may take so long to save and leave."""
_LOOK_EVERY = 2.0
"""Seconds between two looks at whether a process's parent is there."""


def run_verb(
    verb: str, arguments: Sequence[str], *, stdout: int | None = None, process_group: int | None = None
) -> None:
    """Runs a verb of the command line in a process of its own and waits for it.

    Args:
        verb: The command.
        arguments: Its own.
        stdout: As `subprocess.Popen` takes it.
        process_group: As `subprocess.Popen` takes it.

    Raises:
        StageError: If it failed; it has said why on stderr.
        SystemExit: If it was used wrongly: it has said how, so nobody need say more.
        Interrupted: If it, or this process, was interrupted.
    """
    # Our stderr by its number: descriptor 2 itself is silenced, against native code.
    # -P: a features.py where somebody works is none of ours.
    command = [sys.executable, "-P", "-m", "pipelines.cli", verb, *arguments]
    with interrupts_held() as release:
        process = subprocess.Popen(command, stdout=stdout, stderr=sys.stderr.fileno(), process_group=process_group)
        try:
            release()
            code = process.wait()
        except KeyboardInterrupt:
            # Ctrl-C reached the verb too, unless its process group is another; SIGTERM reached this process alone.
            # A second one doesn't leave it alone while it saves.
            with contextlib.suppress(KeyboardInterrupt), interrupts_held():
                end(process)
            code = Interrupted.exit_code
    if code == Interrupted.exit_code:
        raise Interrupted(f"{verb}: interrupted; the same command goes on from here")
    if code == UsageError.exit_code:
        raise SystemExit(code)
    if code != 0:
        how = f"was killed by signal {-code}" if code < 0 else "failed, see above"
        raise StageError(f"{verb} {how}; mend the cause, and the same command goes on from here")


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


def end_with_parent() -> None:
    """Has this process get SIGTERM once the one that started it is gone, which may have been killed."""

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
