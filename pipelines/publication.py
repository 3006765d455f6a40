"""What writes a directory of published models: a number that is whole, the pointer to it, and the end of old ones.

On local disk publishers take turns by a lock, a number is made under another name and renamed, and a name that begins
with a dot is what a killed one left. gs:// knows neither: there a number belongs to who created its record, the
manifest comes last, and CURRENT is written only over what was read.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from pipelines.nightly_runs import MADE
from stage import storage
from stage.errors import StageError
from stage.manifest import NAME, UNFINISHED, Manifest, new_run_id
from stage.output import refuse_file
from stage.published import CURRENT, RECORD, Record, current_number, miswritten_numbers, numbers, parse_current
from stage.shared_file import change_file, locked

_LOCK = ".lock"
_UNDER_WAY = ".publishing"
_LEAVING = ".removing"
_GRAPH = "saved_model.pb"


@contextlib.contextmanager
def publishing(base: str) -> Iterator[None]:
    """A publisher's turn: on local disk no other one publishes meanwhile.

    Raises:
        StageError: If the directory can't be written.
    """
    if _on_gs(base):
        yield
        return
    with locked(storage.resolve(base)[1], name=_LOCK):
        for name in (_UNDER_WAY, _LEAVING):
            storage.delete(storage.join(base, name))
        yield


def refuse_foreign(base: str) -> None:
    """Lets no model be published beside other numbers, which would pass for old ones, and no first one in a run.

    Raises:
        StageError: If such is there.
        UsageError: If a file is.
    """
    refuse_file(base)
    found = _foreign_in(base)
    if found is not None:
        raise StageError(f"{base}: expected a directory for published models alone, found {found}; give another --to")


def _foreign_in(base: str) -> str | None:
    """What of a directory no publish made; None if nothing, or if it only lies beside published models."""
    names, there = storage.names(base), numbers(base)
    if names & {NAME, UNFINISHED}:
        return "the output of another command"
    if miswritten := miswritten_numbers(base):
        return storage.join(base, miswritten[0])
    foreign = [number for number in there if _is_foreign(storage.join(base, str(number)))]
    if foreign:
        # Another publisher may have removed it meanwhile.
        return next((storage.join(base, str(number)) for number in numbers(base) if number in foreign), None)
    if there or CURRENT in names:
        return None
    return next((storage.join(base, name) for name in MADE if name in names), None)


def add_copy(
    source: str,
    manifest: Manifest,
    *,
    base: str,
    rolled_back_to: int | None = None,
    rolled_back_from: tuple[str, ...] = (),
) -> int:
    """Copies an export to the next number.

    Args:
        source: The export, or a published model.
        manifest: Its manifest.
        base: P.
        rolled_back_to: As of `Record`.
        rolled_back_from: As of `Record`.

    Returns:
        The new number.

    Raises:
        StageError: If a file can't be read or written, or isn't what the manifest says.
    """
    record = Record(
        # Beyond what CURRENT holds too, which never goes back, even where that number was removed by hand.
        number=max([*numbers(base), current_number(base) or 0]) + 1,
        run_id=new_run_id(),
        rolled_back_to=rolled_back_to,
        rolled_back_from=rolled_back_from,
    )
    if not _on_gs(base):
        partial = storage.join(base, _UNDER_WAY)
        # A published file never changes, so that a second name of it is as good as a copy, and takes no room.
        copy = storage.copy if rolled_back_to is None else storage.link_or_copy
        try:
            storage.write_bytes(storage.join(partial, RECORD), _to_json(record))
            _copy(source, manifest, target=partial, copy=copy)
            storage.rename(partial, storage.join(base, str(record.number)))
        except BaseException:  # a full disk has room again
            with contextlib.suppress(StageError):
                storage.delete(partial)
            raise
        return record.number
    while not _claim(base, record):
        record = record.model_copy(update={"number": record.number + 1})
    _copy(source, manifest, target=storage.join(base, str(record.number)))
    return record.number


def point_to(base: str, number: int, *, after: int | None = None) -> None:
    """Has CURRENT hold a number, unless that is what it holds.

    Args:
        base: P.
        number: N.
        after: What it must hold before, 0 for nothing; by default anything below N.

    Raises:
        StageError: If another publisher came to a later one, or to another than `after`, or the file can't be written.
    """
    path = storage.join(base, CURRENT)

    def change(content: bytes | None) -> bytes | None:
        served = 0 if content is None else parse_current(content, path)
        if served > number or (served < number and after not in (None, served)):
            raise StageError(f"{path}: {served} was published at the same time as {number}; run the same command again")
        return f"{number}\n".encode() if served < number else None

    change_file(path, change)


def remove_old(base: str, whole: Mapping[int, str], *, keep: int) -> None:
    """Removes all numbers but the newest `keep`, and the newest one of each of the newest `keep` models.

    A number that is not whole goes once all that stay are newer; what was never published stays.

    Args:
        base: P.
        whole: Numbers that are whole -> the digest of its model.
        keep: How many stay: rollbacks make numbers, not models.

    Raises:
        StageError: If one can't be removed.
    """
    newest_of: dict[str, int] = {}
    for number in sorted(whole, reverse=True):
        newest_of.setdefault(whole[number], number)
    stay = {*sorted(whole)[-keep:], *list(newest_of.values())[:keep]}
    for number in numbers(base):
        directory = storage.join(base, str(number))
        is_old = number not in stay and (number in whole or number < min(stay))
        if is_old and not _is_foreign(directory):
            # No reader takes it for whole from here on.
            if _on_gs(base):
                storage.delete(storage.join(directory, NAME))
                storage.clear(directory, keep=RECORD)
            else:
                leaving = storage.join(base, _LEAVING)
                storage.rename(directory, leaving)
                directory = leaving
            storage.delete(directory)


def _is_foreign(directory: str) -> bool:
    """Whether no publish made it: a number's record comes first, and goes last."""
    return not storage.exists(storage.join(directory, RECORD))


def _claim(base: str, record: Record) -> bool:
    """Creates the record of a number; whether nobody had it."""
    path = storage.join(base, str(record.number), RECORD)
    change_file(path, lambda content: _to_json(record) if content is None else None)
    # A write that was repeated after a lost answer finds its own work.
    return storage.read_bytes(path) == _to_json(record)


def _copy(source: str, manifest: Manifest, *, target: str, copy: Callable[[str, str], None] = storage.copy) -> None:
    """Copies what the manifest names, checks the copy's sizes, and writes the manifest."""
    # TensorFlow Serving loads a directory once the graph is there, so all else comes before it.
    for name in sorted((file.name for file in manifest.files), key=lambda name: name == _GRAPH):
        copy(storage.join(source, name), storage.join(target, name))
    manifest.check_files(target)
    storage.copy(storage.join(source, NAME), storage.join(target, NAME))


def _to_json(record: Record) -> bytes:
    return (record.model_dump_json(indent=1) + "\n").encode()


def _on_gs(base: str) -> bool:
    return base.startswith("gs://")
