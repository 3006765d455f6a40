"""Arrays and variables by name, kept in a .npz file: weights and checkpoints."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from stage import storage
from stage.errors import StageError

Arrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]


class Unusable(StageError):  # noqa: N818  (what the file is, in a word)
    """A file was read, and isn't what is needed: reading it again won't help."""


def pack(path: str, arrays: Mapping[str, npt.ArrayLike | tf.Variable]) -> None:
    """Writes a .npz file, whole or not at all, one array in memory at a time.

    Its bytes are the same for the same arrays, and it holds no pickles.
    """
    in_order = dict(sorted(arrays.items()))
    storage.write_file(path, lambda file: np.savez(file, allow_pickle=False, **in_order))


def unpack(path: str) -> dict[str, npt.NDArray[np.generic]]:
    """Reads a .npz file.

    Raises:
        Unusable: If it is incomplete.
        StageError: If it is missing or can't be read.
    """
    return dict(unpack_each(path))


def unpack_each(path: str) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
    """Reads a .npz file, one array in memory at a time if who reads drops each; the names as `pack` sorted them.

    Raises:
        Unusable: As `unpack`.
        StageError: The same.
    """
    try:
        with storage.open_input(path) as file, zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                yield name.removesuffix(".npy"), _read_array(archive, name)
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:  # RuntimeError: encrypted, or newer
        raise Unusable(f"{path}: not a whole .npz file: {error}") from None
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def of_finished() -> Iterator[None]:
    """Adds what to do to what is said of a file of a finished model that can't be used."""
    try:
        yield
    except Unusable as error:
        raise StageError(
            f"{error}; restore the model's files, of which --verify names a damaged one, or train it again"
        ) from None


def _read_array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[np.generic]:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def check_fit(variables: Mapping[str, tf.Variable], arrays: Arrays, *, source: str) -> None:
    """Checks that `assign` could set the variables.

    Raises:
        Unusable: If an array is missing or of another shape.
    """
    for name, variable in variables.items():
        found = arrays.get(name)
        if found is None or found.shape != tuple(variable.shape):
            what = "nothing" if found is None else f"an array {list(found.shape)}"
            raise Unusable(
                f"{source}: expected {name} {list(variable.shape)}, found {what}: trained with another spec or version"
            )


def assign(variables: Mapping[str, tf.Variable], arrays: Arrays, *, source: str) -> None:
    """Sets variables by name; all or none.

    Raises:
        Unusable: If an array is missing or of another shape.
    """
    check_fit(variables, arrays, source=source)
    for name, variable in variables.items():
        variable.assign(arrays[name])
