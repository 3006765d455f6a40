"""Pseudonyms: ids replaced by a keyed hash when they are read, so that no output can be joined with the raw log."""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from features.spec.sources import Pseudonymise
from stage import storage
from stage.errors import StageError
from stage.manifest import Manifest

INPUT = "pseudonyms"
"""Their name among the inputs of a manifest."""
_OF_NO_ID = b"columns"
"""Keeps a digest from being the pseudonym of an id."""


@dataclass(frozen=True)
class Pseudonyms:
    """Which ids are replaced, and by what key.

    Whoever can read a job's steps, as where Dataflow stages them, could read the key in them. A key on gs:// isn't in
    them: the workers read it there.
    """

    columns: tuple[str, ...] = ()
    key: bytes = field(default=b"", repr=False)
    key_file: str | None = field(default=None, compare=False)
    """Where workers read the key too; None: it is in the job's steps."""

    def __reduce__(self) -> tuple[Callable[..., "Pseudonyms"], tuple[object, ...]]:
        """Pickled with the key only if it has to be."""
        if self.key_file is None:
            return Pseudonyms, (self.columns, self.key)
        return _read, (self.columns, self.key_file)

    @property
    def digests(self) -> dict[str, str]:
        """INPUT -> a digest of columns and key, that shows no more of the key than pseudonyms do; empty without any."""
        if not self.columns:
            return {}
        columns = " ".join(sorted(self.columns)).encode()
        return {INPUT: hashlib.blake2b(columns, key=self.key, person=_OF_NO_ID, digest_size=16).hexdigest()}

    def replace(self, rows: pa.Table) -> pa.Table:
        """Rows with the ids replaced by BLAKE2b under the key, 32 hex digits."""
        for name in self.columns:
            if name in rows.column_names:
                ids = self.of(rows.column(name).combine_chunks())
                rows = rows.set_column(rows.schema.get_field_index(name), name, ids)
        return rows

    def of_table(self, column: str) -> "Pseudonyms":
        """Those of a table of entities, where the ids of this column of the log are called `id`."""
        return replace(self, columns=("id",)) if column in self.columns else Pseudonyms()

    def of(self, ids: pa.Array) -> pa.Array:
        """Pseudonyms of some ids, string [n]."""
        distinct = ids.dictionary_encode()
        hashed = [self._hash(value) for value in distinct.dictionary.to_pylist()]
        return pa.array(hashed, pa.string()).take(distinct.indices)

    def _hash(self, value: str) -> str:
        return hashlib.blake2b(value.encode(), key=self.key, digest_size=16).hexdigest()


def digests_of(manifest: Manifest) -> dict[str, str]:
    """INPUT -> what a manifest says of the pseudonyms, also for what is made from it; empty without any."""
    return {name: found for name, found in manifest.inputs.items() if name == INPUT}


def told_of(section: Pseudonymise | None, column: Literal["query_id", "item_id"]) -> str:
    """What is said of ids behind what has them if they are pseudonyms there; empty if they aren't."""
    hidden = section is not None and column in section.columns
    return ", whose ids are pseudonyms (sources.pseudonymise)" if hidden else ""


def load_pseudonyms(section: Pseudonymise | None) -> Pseudonyms:
    """Reads the key.

    Raises:
        StageError: If there is none, or it isn't 16 to 64 bytes long.
    """
    if section is None:
        return Pseudonyms()
    columns = tuple(section.columns)
    if section.key_env is not None:
        if (key := os.environ.get(section.key_env)) is None:
            raise StageError(
                f"sources.pseudonymise: expected a key of 16 to 64 bytes in environment variable {section.key_env}, "
                "which is not set"
            )
        return Pseudonyms(columns, _checked(os.fsencode(key), f"environment variable {section.key_env}"))
    found = _read(columns, section.key_file or "")
    return found if "://" in (section.key_file or "") else replace(found, key_file=None)


def _read(columns: tuple[str, ...], key_file: str) -> Pseudonyms:
    # An editor's or echo's newline is no part of the key; any other byte is, since a key may be random bytes.
    key = re.sub(rb"\r?\n\Z", b"", storage.read_bytes(key_file))
    return Pseudonyms(columns, _checked(key, f"file {key_file}"), key_file)


def _checked(key: bytes, where: str) -> bytes:
    if not 16 <= len(key) <= 64:
        raise StageError(f"sources.pseudonymise: expected a key of 16 to 64 bytes in {where}, found {len(key)}")
    return key
