"""What a training will take of memory, said before it is taken.

Embedding tables and their optimizer slots dominate: layers are some megabytes, a batch too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from features.dataset import EncodedFeature
from features.spec import Spec
from model.row_optimizer import slot_numbers
from stage.errors import StageError

_BYTES = 4  # of a float32, or an int32


@dataclass(frozen=True)
class TableSize:
    """What one embedding table takes."""

    vocabulary: str
    rows: int
    table: int
    """Bytes."""
    slots: int
    """Bytes of its optimizer slots."""
    hashes: int = 0
    """Bytes that say which rows each term is hashed to."""


def table_sizes(features: Sequence[EncodedFeature], spec: Spec) -> list[TableSize]:
    """The tables that a model of these features has, the largest first.

    Args:
        features: Of both towers.
        spec: The sections model and train.
    """
    dim, slots = spec.model.embedding_dim, slot_numbers(spec.train.optimizer, dim=spec.model.embedding_dim)
    sizes = []
    for name, codes in {f.vocabulary: f.codes for f in features if f.vocabulary is not None}.items():
        hashed = spec.model.hashed_tables.get(name)
        rows, hashes = (codes, 0) if hashed is None else (hashed.rows, codes * hashed.hashes)
        sizes.append(TableSize(name, rows, rows * dim * _BYTES, rows * slots * _BYTES, hashes * _BYTES))
    return sorted(sizes, key=lambda size: (-size.table, size.vocabulary))


def describe(sizes: Sequence[TableSize], *, optimizer: str) -> str:
    """A line per table and, where there are several, one for all, for people."""
    everything = TableSize(
        "all tables", *(sum(getattr(s, k) for s in sizes) for k in ("rows", "table", "slots", "hashes"))
    )
    shown = [*sizes, everything] if len(sizes) > 1 else sizes
    width = max((len(size.vocabulary) for size in shown), default=0)
    return "\n".join(
        f"{size.vocabulary:<{width}}  {size.rows:>13,} rows  {_megabytes(size.table):>12}"
        f"  + {_megabytes(size.slots):>12} for {optimizer}"
        + (f"  + {_megabytes(size.hashes):>12} for hashes" if size.hashes else "")
        for size in shown
    )


def check_fits(sizes: Sequence[TableSize], *, host: int | None, device: int | None) -> None:
    """Refuses a training that would run out of memory.

    Tables and slots are once where TensorFlow computes, and once more on the host when a checkpoint is read. They are
    saved one at a time, each copied where it is.

    Args:
        sizes: The tables.
        host: Bytes available to programs; None: unknown.
        device: Bytes that TensorFlow may use of a GPU; None: there is no GPU, so that the host holds both.

    Raises:
        StageError: If they don't fit, with what makes them smaller.
    """
    need = sum(size.table + size.slots for size in sizes)
    hashes = sum(size.hashes for size in sizes)  # in no checkpoint
    on_host = need + hashes if device is not None else 2 * need + hashes
    on_device = need + hashes + max((size.table for size in sizes), default=0)
    memories = [("this machine", host, on_host), ("the GPU", device, on_device)]
    for memory, available, wanted in memories:
        if available is not None and wanted > available:
            largest = sizes[0]
            raise StageError(
                f"embedding tables and their optimizer slots need {_megabytes(wanted)} of memory on {memory}, "
                f"{_megabytes(available)} are available; the largest is {largest.vocabulary} with {largest.rows:,} "
                "rows: lower its top_k or raise its min_count, hash it to fewer rows by model.hashed_tables, lower "
                "model.embedding_dim, or set train.optimizer to rowwise_adagrad"
            )


def available_on_device() -> int | None:
    """Bytes that TensorFlow may use of this machine's smallest GPU; None without one."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    from tensorflow.python.client import device_lib  # noqa: PLC0415  (nothing public says it)

    return min((d.memory_limit for d in device_lib.list_local_devices() if d.device_type == "GPU"), default=None)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
