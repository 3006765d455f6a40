"""Workers that are threads of this process, as the local runner's and those of LOOPBACK: their noise, and their end."""

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator

import grpc
from apache_beam.runners.worker import sdk_worker

from stage.errors import Interrupted, StageError


def silence_workers() -> None:
    """Silences what workers log and print of a failed step, unless --verbose: it is raised too.

    Also that an engine hung up on them, which it does whenever it is done.
    """
    if logging.root.manager.disable:
        logging.disable(logging.CRITICAL)
        threading.excepthook = _ignore_hanging_up
        sdk_worker.print = _do_nothing


@contextlib.contextmanager
def end_without_workers() -> Iterator[None]:
    """Has a process whose job fails on an engine end without waiting for the workers.

    A worker's thread may still run TensorFlow, under which Python can't end: it aborts (SIGABRT).
    """
    codes: list[int] = []
    # Handlers run last in, first out: this one after those that Beam registers from here on, which stop the engine.
    atexit.register(_end, codes)
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        codes.append(Interrupted.exit_code if isinstance(error, KeyboardInterrupt) else StageError.exit_code)
        if logging.root.manager.disable:
            # What a worker still does fails, since an interpreter that ends takes no more work.
            threading.excepthook = _do_nothing
        raise


def _end(codes: list[int]) -> None:
    if codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0])


def _ignore_hanging_up(args: threading.ExceptHookArgs) -> None:
    if not isinstance(args.exc_value, grpc.RpcError):
        threading.__excepthook__(args)


def _do_nothing(*_: object, **__: object) -> None:
    pass
