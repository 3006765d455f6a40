"""The processes that train one model together, as TF_CONFIG names them; the first is the chief.

Each runs one replica a device. All make the same updates from the same global batches, so they hold the same weights.
The chief alone validates and writes; the others hear from it what they decide by.
"""

import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from features.spec.training import Train
from model.network.tensorflow_error import reason_of
from model.training import replicas
from model.training.processors import use_both_of_two_processors
from model.training.tf_config import ALONE, Worker, read_tf_config
from stage.errors import Interrupted, StageError, UsageError

T = TypeVar("T")

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)
"""What TensorFlow raises where another worker ended."""
_PERHAPS_LOST = (tf.errors.InternalError, tf.errors.UnknownError)
"""The same, or an error of this worker's own that would come again, such as NCCL's."""
_TOLD_AGAIN_SECONDS = 60
"""After so long a worker says once more for whom it waits."""
_START_AGAIN = "start all of them again by the same command, which resumes from the latest checkpoint"


class Workers:
    """What a process knows of those that it trains with.

    Attributes:
        strategy: In whose scope everything that is trained is made.
        own: This process; number 0 is the chief.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None, own: Worker = ALONE) -> None:
        """One process without a strategy by default."""
        self.strategy = strategy or tf.distribute.get_strategy()
        self.own = own
        self._interrupted = threading.Event()
        self._gather = tf.function(self._gather_replicas, input_signature=[tf.TensorSpec([None], tf.int32)])

    @property
    def is_chief(self) -> bool:
        """Whether this is the process that validates and writes."""
        return self.own.number == 0

    @property
    def replicas(self) -> int:
        """How many devices train together, over all processes."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def local_replicas(self) -> range:
        """Numbers of the replicas of this process."""
        here = self.replicas // self.own.of
        return range(self.own.number * here, (self.own.number + 1) * here)

    def by_chief(self, work: Callable[[], T]) -> T:
        """Lets the chief alone do something, while the others wait for what comes of it.

        Args:
            work: Returns what JSON holds.

        Returns:
            The chief's result, on every worker.

        Raises:
            StageError: The chief's, on every worker.
        """
        if self.own.of == 1:
            return work()
        failure: Exception | None = None
        news: dict[str, Any] = {}
        if self.is_chief:
            try:
                news = {"result": work()}
            except (StageError, OSError) as error:
                failure, news = error, {"failure": str(error)}
        heard = self._from_chief(json.dumps(news))
        if failure is not None:
            raise failure
        if "failure" in heard:
            raise StageError(f"the chief failed: {heard['failure']}")
        return heard["result"]

    def check_alike(self, what: str, value: str) -> None:
        """Makes sure that all workers were given the same.

        Raises:
            StageError: If the chief's is another.
        """
        of_chief = self.by_chief(lambda: value)
        if of_chief != value:
            raise StageError(
                f"worker {self.own.number}: expected the chief's {what} ({of_chief}), found {value}; "
                "all workers take the same command and see the same directories"
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Defers interruptions until all workers know of them, and says in one line that a worker was lost.

        Raises:
            Interrupted: If another worker ended, or can't be reached.
            StageError: If TensorFlow failed in a way that may mean that, or an error of this worker's.
        """
        if self.own.of == 1:
            yield
            return
        before = _signal_handlers()
        try:
            for number, handler in before.items():
                signal.signal(number, handler if handler == signal.SIG_IGN else lambda *_: self._interrupted.set())
            yield
        except _LOST as error:
            raise Interrupted(f"{self._lost()} ({reason_of(error)}); {_START_AGAIN}") from error
        except _PERHAPS_LOST as error:
            raise StageError(f"{self._lost()}, or TensorFlow failed ({reason_of(error)}); {_START_AGAIN}") from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop_if_interrupted(self) -> None:
        """Called by all workers between two steps: all stop there if one of them was interrupted.

        Raises:
            KeyboardInterrupt: If so.
        """
        if self.own.of == 1:
            return
        if np.any(self._gather(tf.constant([int(self._interrupted.is_set())], tf.int32))):
            raise KeyboardInterrupt

    def _lost(self) -> str:
        return f"worker {self.own.number}: another worker ended or can't be reached"

    def _from_chief(self, text: str) -> dict[str, Any]:
        codes = list(text.encode()) if self.is_chief else []
        return json.loads(bytes(self._gather(tf.constant(codes, tf.int32)).numpy().tolist()))

    def _gather_replicas(self, values: tf.Tensor) -> tf.Tensor:
        """Puts together what the first replica of each worker says."""

        def gather() -> tf.Tensor:
            speaks = replicas.number() == self.local_replicas.start
            return replicas.of_all(values if speaks else values[:0])

        return self.strategy.experimental_local_results(self.strategy.run(gather))[0]


def connect(train: Train, *, gpus: int | None = None) -> Workers:
    """Finds the workers that TF_CONFIG names, and this machine's GPUs; waits until all workers are there.

    To be called before TensorFlow did anything else. Says on stderr what this process trains on.

    Args:
        train: The section of the spec.
        gpus: So many must be there; by default it trains on the CPU where there are none.

    Raises:
        UsageError: If TF_CONFIG is wrong, or the replicas don't share out the input streams.
        Interrupted: If a worker that was there is gone.
        StageError: If GPUs are missing, a worker can't be reached, or this one's port is taken.
    """
    config = os.environ.get("TF_CONFIG", "").strip()
    own = read_tf_config(config)
    if not config:
        os.environ.pop("TF_CONFIG", None)  # MirroredStrategy takes an empty or blank one for JSON
    found = tf.config.list_physical_devices("GPU")
    if gpus is not None and len(found) < gpus:
        # No wrong use: another node, or this one later, may show them.
        raise StageError(
            f"--gpus: expected {gpus} or more, TensorFlow sees {len(found)}; see whether nvidia-smi runs here, "
            "whether LD_LIBRARY_PATH names the directory of libcuda.so.1 (on GKE /usr/local/nvidia/lib64), and what "
            "--verbose logs"
        )
    if not found:
        use_both_of_two_processors()
    devices = max(1, len(found))
    if train.input_streams % (own.of * devices):
        raise UsageError(
            f"train.input_streams: expected a multiple of the replicas ({own.of} workers, {devices} devices each), "
            f"got {train.input_streams}"
        )
    where = f"worker {own.number} of {own.of}: " if own.of > 1 else ""
    print(f"{where}trains on {_describe(found)}", file=sys.stderr, flush=True)
    if own.of > 1:
        _meet(own.addresses, own=own.number)
        try:
            return Workers(tf.distribute.MultiWorkerMirroredStrategy(), own)
        except tf.errors.OpError as error:
            failure = Interrupted if isinstance(error, _LOST) else StageError
            raise failure(f"worker {own.number}: can't join the others of TF_CONFIG ({reason_of(error)})") from None
    return Workers(tf.distribute.MirroredStrategy() if devices > 1 else None)


def _describe(gpus: Sequence[tf.config.PhysicalDevice]) -> str:
    """The devices that train, in words."""
    names = Counter(tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus)
    return ", ".join(f"{count} x {name}" for name, count in names.items()) or "the CPU: TensorFlow sees no GPU"


def _meet(addresses: Sequence[str], *, own: int) -> None:
    """Waits until every worker is there, which TensorFlow does too, but without hearing a signal.

    Each listens at its address until it has reached all others. Who comes later finds TensorFlow listening there.

    Args:
        addresses: HOST:PORT of each worker.
        own: Number of this one.

    Raises:
        StageError: If this worker's port is taken.
    """
    missing = [n for n in range(len(addresses)) if n != own]
    here = ("", int(addresses[own].rpartition(":")[2]))
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        listening = socket.create_server(here, family=family, backlog=len(addresses), dualstack_ipv6=both)
    except OSError as error:
        raise StageError(f"TF_CONFIG: worker {own} can't listen at {addresses[own]}: {error.strerror}") from None
    with listening:
        still, told = "", -math.inf
        while missing:
            if time.monotonic() >= told + _TOLD_AGAIN_SECONDS:
                others = ", ".join(addresses[n] for n in missing)
                print(
                    f"worker {own} of {len(addresses)}: {still}waiting for the others ({others})",
                    file=sys.stderr,
                    flush=True,
                )
                still, told = "still ", time.monotonic()
            missing = [n for n in missing if not _answers(addresses[n])]
            if missing:
                time.sleep(0.2)


def _answers(address: str) -> bool:
    """Whether somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def _signal_handlers() -> dict[int, Any]:
    """How SIGINT and SIGTERM are answered; nothing where another thread than this answers them."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
