"""What an export will take of memory, said before it is taken."""

from features.spec.spec import Spec
from stage.errors import StageError
from stage.memory import megabytes

_BYTES = 4  # of a float32


def check_export_fits(items: int, spec: Spec, *, host: int | None) -> None:
    """Refuses an export that would run out of memory.

    Every item's embedding is there twice: as it was made, and in the graph or in an HNSW index. In an IVF-PQ index a
    number of it takes a byte, and two more numbers share one. Ids, titles and features come on top.

    Args:
        items: Of the corpus.
        spec: The sections model and export.
        host: Bytes available to programs; None: unknown.

    Raises:
        StageError: If they don't fit, with what makes them smaller.
    """
    numbers = items * spec.model.hidden[-1]
    is_whole = items <= max(spec.export.max_exact_items, spec.export.max_hnsw_items)
    need = 2 * _BYTES * numbers if is_whole else _BYTES * numbers + numbers * 3 // 2
    if host is not None and need > host:
        smaller = f"; export.max_hnsw_items (and max_exact_items) below {items:,} compress them" if is_whole else ""
        raise StageError(
            f"embeddings of {items:,} items, and what searches them, need {megabytes(need)} of memory on this "
            f"machine, {megabytes(host)} are available; a model with a lower last number of model.hidden needs "
            f"less{smaller}"
        )
