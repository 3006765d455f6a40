"""In session mode the lines of users with many in a part of the log, which meet in two steps.

Each part of a log drops what is beyond a user's latest `max_lines`, but of a bot every part keeps as many, and a large
log has thousands of parts. So such lines meet first by user and by some of the parts, and go on as the latest of these;
with as many groups as each has parts, neither step holds more than about the root of what all parts keep.
"""

from collections.abc import Iterator
from math import isqrt

import pyarrow as pa

from features.latest_lines import have_more_lines
from features.shards import shard_of, shard_of_place
from pipelines.aggregation.packing import Keyed, key_each

_FEW, _FRACTION = 64, 256
"""A user with no more than 64 lines in a part, or a 256th of `max_lines`, is none of these: few lines are shuffled
twice, and a thousand parts bring no more than 64,000 of any other user together, or four times `max_lines`."""


def groups_of_parts(shards: int) -> int:
    """Groups that the parts of a log form for each shard. A log has about as many parts as shards (64 MiB of log)."""
    return isqrt(shards)


def take_busy(lines: pa.Table, *, most: int, shards: int) -> tuple[pa.Table, Iterator[Keyed]]:
    """Takes the lines of busy users out of a part of the log.

    Args:
        lines: A part, at least a row, schema GROUPED_LINES, perhaps with more columns.
        most: Lines that a user keeps.
        shards: How many there are.

    Returns:
        The other lines, and those of busy users by shard x groups + group.
    """
    groups = groups_of_parts(shards)
    busy = have_more_lines(lines, max(_FEW, most // _FRACTION))
    if groups == 1 or not busy.any():
        return lines, iter(())
    # Any group will do, if the same part always has the same.
    group = shard_of_place(lines.column("place")[0].as_py(), groups)
    rows = lines.filter(pa.array(busy))
    shard = shard_of(rows.column("query_id").combine_chunks(), shards)
    return lines.filter(pa.array(~busy)), iter(key_each(rows, shard * groups + group))
