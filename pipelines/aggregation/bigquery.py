"""What BigQuery is to give: a table, or the rows of a query, which a job reads through Beam's own connector.

Its rows have no order, and so no place. In its stead stands a hash of what a row says, the same in every run; it orders
the rejects, and is not written down.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xxhash

from features.data_window import DataWindow
from features.parsing.typed_rows import Row, parse_rows
from features.places import OFFSET_BITS
from features.spec.sources import Source
from features.spec.spec import Spec
from pipelines.aggregation.batches import Batch, to_batch
from pipelines.aggregation.columns import Columns, check_names
from pipelines.aggregation.input_files import InputFile
from stage.errors import UsageError
from stage.instant import from_microseconds


def find_bigquery(source: Source, *, key: str, number: int, window: DataWindow) -> InputFile:
    """A source in BigQuery, as the one file that it is to the job.

    Args:
        source: Of the spec.
        key: Its key there.
        number: Its number among the files.
        window: For the query.

    Raises:
        UsageError: If the query holds {data_start} or {data_end}, and the window is open.
    """
    if source.query is None:
        path = str(source.path)
        return InputFile(path=path, name=path, size=0, number=number, format="bigquery")
    query = source.query
    for name, instant in (("data_start", window.start), ("data_end", window.end)):
        if f"{{{name}}}" in query:
            if instant is None:
                raise UsageError(f"{key}.query: holds {{{name}}}, which needs --{name.replace('_', '-')}")
            query = query.replace(f"{{{name}}}", from_microseconds(instant).isoformat())
    return InputFile(path=f"{key}.query", name=f"{key}.query", size=0, number=number, format="bigquery", query=query)


def refuse_bigquery(spec: Spec, *, verb: str) -> None:
    """Fails for a job that is not Beam's.

    Raises:
        UsageError: If a source is in BigQuery.
    """
    for name, source in spec.sources.by_name.items():
        if source.is_bigquery:
            raise UsageError(f"sources.{name}: BigQuery is read by build-dataset alone, not by {verb}")


def batch_rows(rows: Sequence[Row], columns: Columns, *, file: InputFile) -> Batch:
    """Rows as BigQuery gives them, as a batch.

    Raises:
        StageError: If a required column isn't there.
    """
    if rows:
        check_names([*rows[0]], columns, path=file.path)
    parsed = parse_rows(rows, columns.schema, time=columns.time)
    said = [repr([row.get(name) for name in columns.schema.names]).encode() for row in rows]
    hashes = np.array([xxhash.xxh3_64_intdigest(one) >> (64 - OFFSET_BITS) for one in said], np.int64)
    bad = [replace(line, offset=int(hashes[line.offset])) for line in parsed.bad]
    return to_batch(replace(parsed, offsets=hashes[parsed.offsets], bad=bad), file, offset=0)
