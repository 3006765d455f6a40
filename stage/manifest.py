"""The manifest: what a stage left, from what, and how a reader knows that it is whole. Written last."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stage import storage
from stage.errors import StageError, StorageError, with_article
from stage.first_problem import first_problem
from stage.job_options import differing_options

NAME = "manifest.json"
UNFINISHED = ".unfinished"
"""Lies in an output directory from the start of its run until after its manifest is written."""
FORMAT_VERSION = 1
_TIME = "%Y%m%dT%H%M%S"
RECORDED_PACKAGES = (
    "ssl-two-tower",
    "apache-beam",
    "pyspark",
    "tensorflow",
    "tensorflow-transform",
    "keras",
    "faiss-cpu",
    "pyarrow",
    "numpy",
)

StageName: TypeAlias = Literal["raw", "aggregate", "dataset", "model", "export", "recommendations"]
Json: TypeAlias = dict[str, Any]
_LEFT_BY: dict[StageName, str] = {
    "raw": "convert or generate",
    "aggregate": "aggregate-spark",
    "dataset": "build-dataset",
    "model": "train",
    "export": "export",
    "recommendations": "recommend-all",
}
_NAMED = 3
"""Of the directories that may have been meant so many are named."""


class IdsToCompare(BaseModel):
    """Ids that show how a log and a table may write them differently; the smallest, so that each run shows the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log: str
    """Of those of the log that have no row."""
    table: str
    """Of all that have one."""


class File(BaseModel):
    """A file of an output."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Path below the output directory."""
    size: int
    """Bytes."""
    sha256: str
    """In hex."""
    records: int | None = None
    """In it: examples, entities, rejects and the like; None where they weren't counted."""


@dataclass(frozen=True)
class MadeFrom:
    """What an output is made from, as its manifest has it: the same makes the same."""

    spec_digest: str
    inputs: dict[str, str]
    job_options: dict[str, str | None]
    spec_differs: Callable[["Manifest"], str]
    """What is said of an output of another spec: the keys that differ."""

    def describe(self, found: "Manifest") -> str:
        """What a finished output was made from that isn't this, in words that follow on it; empty if it is the same."""
        names = sorted({*found.inputs, *self.inputs})
        inputs = [name for name in names if found.inputs.get(name) != self.inputs.get(name)]
        differing = [
            *([f"spec ({self.spec_differs(found)})"] if found.spec_digest != self.spec_digest else []),
            *([f"input ({', '.join(inputs)})"] if inputs else []),
            *(self._describe_option(name, found) for name in differing_options(found.job_options, self.job_options)),
        ]
        return f"made from another {' and '.join(differing)}" if differing else ""

    def _describe_option(self, name: str, found: "Manifest") -> str:
        there, here = (options.get(name) or "none" for options in (found.job_options, self.job_options))
        return f"--{name.replace('_', '-')} ({there} there, {here} here)"


class Manifest(BaseModel):
    """What one stage left in one directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    stage: StageName
    run_id: str
    """Part of every shard's name, so that two runs never mix."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    spec: Json = {}
    """The whole spec that the stage ran under."""
    spec_digest: str = ""
    """Digest of the sections of the spec that the stage reads."""
    inputs: dict[str, str] = {}
    """What was read -> its content digest (dataset, model, raw)."""
    job_options: dict[str, str | None] = {}
    """Data window and the like: not part of the spec, but of the result."""
    table_days: dict[str, str] = {}
    """Table in partitions by {date} -> the day of the one that was read."""
    counts: dict[str, int] = {}
    rejected: dict[str, int] = {}
    """Reason -> lines."""
    ids_to_compare: dict[str, IdsToCompare] = {}
    """Count or reason of ids without a row in a table -> an id of each."""
    measures: dict[str, float] = {}
    """What the stage measured of its own output, such as an index's recall."""
    vocabularies: dict[str, int] = {}
    """Vocabulary -> terms."""
    transform_digest: str = ""
    """Digest of what turns raw features into encoded ones: same digest, same codes."""
    content: dict[str, str] = {}
    """Digests free of order, sharding, workers and engine."""
    files: list[File] = []
    versions: dict[str, str] = Field(default_factory=lambda: versions())  # noqa: PLW0108  (defined below)

    @property
    def content_digest(self) -> str:
        """One digest over all of `content`."""
        return digest(self.content)

    @classmethod
    def read(cls, directory: str, stage: StageName, *, verify: bool = False) -> Self:
        """Opens an output and checks that it is whole.

        Args:
            directory: The output directory.
            stage: The kind of output expected there.
            verify: Also read every file and compare its SHA-256.

        Raises:
            StageError: If there is no manifest, it is of another kind or version, or a file is missing or changed.
        """
        found = cls.open(directory, stage)
        found.check_files(directory, verify=verify)
        return found

    @classmethod
    def open(cls, directory: str, stage: StageName) -> Self:
        """The manifest of an output, its files unchecked.

        Raises:
            StageError: If there is none, or it is of another kind or version.
        """
        found = cls.find(directory)
        if found is None:
            raise StageError(f"{directory}: expected a finished {stage}, but {_what_is_wrong(directory, stage)}")
        if found.stage != stage:
            raise StageError(f"{directory}: expected {with_article(stage)}, found {with_article(found.stage)}")
        return found

    @classmethod
    def find(cls, directory: str) -> Self | None:
        """The manifest of a directory, its files unchecked; None if the directory has none.

        Raises:
            StageError: If there is one that can't be read.
        """
        path = storage.join(directory, NAME)
        return cls.parse(storage.read_bytes(path), path) if storage.exists(path) else None

    @classmethod
    def parse(cls, found: bytes, path: str) -> Self:
        """The manifest that a file holds.

        Raises:
            StageError: If it holds none of this format.
        """
        try:
            content = json.loads(found)
            found_version = content.get("format_version") if isinstance(content, dict) else None
            if found_version != FORMAT_VERSION:
                raise StageError(f"{path}: expected format_version {FORMAT_VERSION}, found {found_version}")
            return cls.model_validate(content)
        except ValidationError as error:
            raise StageError(f"{path}: not a manifest: {first_problem(error)}") from None
        except ValueError as error:
            raise StageError(f"{path}: not a manifest: {error}") from None

    @classmethod
    def find_done(cls, directory: str, stage: StageName, *, made_from: MadeFrom) -> Self | None:
        """The manifest of a whole output that another run of the same would make again; None if it isn't one.

        Args:
            directory: The output directory.
            stage: The kind of output.
            made_from: What the run would make it from.

        Raises:
            StageError: If there is a manifest that can't be read.
        """
        found = cls.find(directory)
        return None if found is None or found.why_not_done(directory, stage, made_from=made_from) else found

    def why_not_done(self, directory: str, stage: StageName, *, made_from: MadeFrom) -> str:
        """Why this isn't what `find_done` finds, in words that follow on the directory; empty if it is."""
        if self.stage != stage:
            return f"expected {with_article(stage)}, found {with_article(self.stage)}"
        if of_another := made_from.describe(self):
            return f"was {of_another}"
        try:
            self.check_files(directory)
        except StorageError:
            raise
        except StageError as error:
            return f"is incomplete ({error})"
        return ""

    def check_files(self, directory: str, *, verify: bool = False) -> None:
        """Checks names and sizes of the files, and on request their SHA-256.

        Raises:
            StageError: If a file is missing or differs, naming it.
        """
        sizes = storage.sizes(directory)
        for file in self.files:
            path = storage.join(directory, file.name)
            if file.name not in sizes:
                raise StageError(f"{path}: named by the manifest but missing; make the {self.stage} again")
            if sizes[file.name] != file.size:
                raise StageError(f"{path}: expected {file.size} bytes, found {sizes[file.name]}; make it again")
            if verify and storage.sha256(path) != file.sha256:
                raise StageError(f"{path}: its SHA-256 differs from the manifest's; make the {self.stage} again")

    def write(self, directory: str) -> None:
        """Writes the manifest; the output counts as finished from here on."""
        storage.write_bytes(storage.join(directory, NAME), self.to_json())

    def to_json(self) -> bytes:
        """The bytes of manifest.json."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()

    def names(self, folder: str, ending: str) -> list[str]:
        """Sorted names of the files in a folder of the output, such as every `train/*.tfrecord.gz`."""
        return sorted(f.name for f in self.files if f.name.startswith(f"{folder}/") and f.name.endswith(ending))


def _what_is_wrong(directory: str, stage: StageName) -> str:
    """What to do about a directory without a manifest: it isn't finished, or isn't the one that was meant."""
    if not storage.exists(directory):
        return "the directory is not there"
    if os.path.isfile(directory):
        return "it is a file"
    if storage.exists(storage.join(directory, UNFINISHED)):
        return f"the directory has no {NAME}; make it again"
    # On gs:// all that lies there, at any depth, would have to be listed.
    names = sorted(storage.names(directory)) if "://" not in directory else [stage]
    meant = [below for name in names if _is_of(below := storage.join(directory, name), stage)]
    advice = f"did you mean {' or '.join(meant[:_NAMED])}?" if meant else f"give the one that {_LEFT_BY[stage]} left"
    return f"the directory has no {NAME}; {advice}"


def _is_of(directory: str, stage: StageName) -> bool:
    try:
        found = Manifest.find(directory)
    except StageError:
        return False
    return found is not None and found.stage == stage


def describe_files(directory: str) -> list[File]:
    """Name, size and SHA-256 of every file below a directory but the manifest and the mark of an unfinished run.

    What is partial is of a run that another one has replaced, and that removes it.
    """
    return [
        File(name=name, size=size, sha256=storage.sha256(storage.join(directory, name)))
        for name, size in sorted(storage.sizes(directory).items())
        if name not in (NAME, UNFINISHED) and not storage.is_partial(name)
    ]


def new_run_id() -> str:
    """A name for one run of a stage, that sorts by time."""
    return f"{datetime.now(UTC).strftime(_TIME)}-{uuid.uuid4().hex[:6]}"


def begun_at(run_id: str) -> datetime | None:
    """When a run began, by the name that `new_run_id` gave it; None if another did."""
    try:
        return datetime.strptime(run_id.partition("-")[0], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def digest(value: Any) -> str:
    """SHA-256 of a JSON value with sorted keys, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def versions() -> dict[str, str]:
    """The installed ones of RECORDED_PACKAGES -> their versions."""
    found = {}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
