"""In session mode the latest lines of each user alone, so that no user makes a worker hold much.

A user's lines have to meet, and of a bot they may be half of a log. The latest of the latest of some parts are those of
the whole, so parts drop what is beyond before they are shuffled, and the result is the same whatever the parts are.

Shapes: n lines.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.hashing import hash_texts
from features.ranges import place_in_run

_TIE_SEED = 0x1A7E


def have_more_lines(lines: pa.Table, than: int) -> npt.NDArray[np.bool_]:
    """Which lines are of a user that has more of them here, bool [n]."""
    users = _users(lines)
    return (np.bincount(users) > than)[users]


def are_beyond_latest(lines: pa.Table, most: int) -> npt.NDArray[np.bool_]:
    """Which lines are beyond the latest of their user; at one time a hash of the item decides, then the place.

    Args:
        lines: Schema LINES, perhaps with more columns, the ids perhaps in dictionaries; timestamps not null.
        most: Lines that a user keeps.

    Returns:
        bool [n].
    """
    beyond = np.zeros(lines.num_rows, bool)
    users = _users(lines)
    of_busy = np.flatnonzero((np.bincount(users) > most)[users])
    if not len(of_busy):
        return beyond
    users, busy = users[of_busy], lines.select(["item_id", "timestamp", "place"]).take(pa.array(of_busy))
    time, place = (busy.column(name).cast(pa.int64()).to_numpy() for name in ("timestamp", "place"))
    tie = hash_texts(busy.column("item_id").combine_chunks(), _TIE_SEED)
    order = np.lexsort((place, tie, -time, users))
    beyond[of_busy[order[place_in_run(users[order]) >= most]]] = True
    return beyond


def _users(lines: pa.Table) -> npt.NDArray[np.int32]:
    """A number for each line's user, int32 [n]."""
    users: npt.NDArray[np.int32] = lines.column("query_id").combine_chunks().dictionary_encode().indices.to_numpy()
    return users
