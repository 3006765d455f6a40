"""What a build reads: every file, found before the graph is built, and what follows from their sizes."""

from dataclasses import dataclass, field
from functools import cached_property

from features.data_window import DataWindow
from features.spec.features import MultivaluedFeature, SideName, VectorFeature
from features.spec.sources import Source
from features.spec.spec import Spec
from pipelines.aggregation.bigquery import find_bigquery
from pipelines.aggregation.input_files import InputFile, NamedFile, find_files
from pipelines.aggregation.json_bytes import json_bytes
from pipelines.aggregation.partitions import PLACEHOLDER, Partition, log_patterns
from pipelines.aggregation.raw_directory import below_raw, refuse_unfinished_raw
from pipelines.aggregation.table_day import TableDay, table_day
from pipelines.aggregation.tables import raw_tables
from stage import storage
from stage.errors import StageError, UsageError
from stage.manifest import digest

BYTES_PER_SHARD = 64 << 20
"""Of the log or a table, decompressed; a shard's lines, entities and examples are held in memory once."""
SHARDS_STEP = 8
"""Shards come in multiples of the trainer's usual number of input streams."""
_CURE_OF_DAYS = (
    "it is a day of --data-start to --data-end without rows: if it is still to come, run the same command then; if it "
    "is lost, or rightly has none, name it in sources.interactions.days_off; a glob in place of {date} reads all days "
    "and lets any be missing"
)


@dataclass(frozen=True)
class Inputs:
    """The files of a build."""

    log: list[InputFile]
    tables: dict[str, list[InputFile]]
    """items, and queries if they have a table of their own."""
    partitions: list[Partition]
    """By {date}, of all sources."""
    table_days: dict[str, TableDay] = field(default_factory=dict)
    """Table in partitions by {date} -> the one that is read."""
    vectors: dict[str, set[str]] = field(default_factory=dict)
    """Table -> its columns that hold vectors."""

    @property
    def files(self) -> list[InputFile]:
        """All of them."""
        return [*self.log, *(file for table in self.tables.values() for file in table)]

    @property
    def names(self) -> dict[int, NamedFile]:
        """File number -> its name."""
        return {file.number: NamedFile(file.name, file.place_unit) for file in self.files}

    @property
    def digest(self) -> str:
        """Of the files' names and sizes: tells whether a build has read the same. BigQuery is taken to be unchanged."""
        return digest([[file.query or file.name, file.size] for file in self.files])

    def shards(self, wanted: int | None) -> int:
        """How many shards to make.

        Raises:
            UsageError: If none is wanted and BigQuery holds the log.
        """
        if wanted is None and self.log[0].format == "bigquery":
            raise UsageError(
                "--shards: expected a number, since the size of a log in BigQuery isn't known beforehand: one per "
                f"{BYTES_PER_SHARD >> 20} MiB of log, about; build-dataset and run take it"
            )
        needed = -(-max(self._sizes.values()) // BYTES_PER_SHARD)
        return wanted or SHARDS_STEP * max(1, -(-needed // SHARDS_STEP))

    @property
    def item_bytes(self) -> int | None:
        """Size of the item table as JSON lines, about; None where BigQuery holds it."""
        return None if self.tables["items"][0].format == "bigquery" else self._sizes["items"]

    @property
    def needed_bytes(self) -> int:
        """Peak memory of a local build from them, about: 2 bytes for each of all rows in JSON lines, above 1.9 GB."""
        return 1_900_000_000 + 2 * sum(self._sizes.values())

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Source -> bytes of its rows as JSON lines, about."""
        sources = {"interactions": self.log, **self.tables}
        return {name: json_bytes(files, self.vectors.get(name, ())) for name, files in sources.items()}


def find_inputs(spec: Spec, raw: str | None, *, window: DataWindow) -> Inputs:
    """Finds every file of a build.

    Args:
        spec: The dataset's spec.
        raw: Directory of relative paths.
        window: For paths by date, and for queries.

    Raises:
        StageError: If a source has no files, or the raw directory is unfinished.
        UsageError: If a path is relative and there is no raw directory, or holds {date} and the window is open.
    """
    refuse_unfinished_raw(raw, spec.sources)
    found: dict[str, list[InputFile]] = {}
    partitions: list[Partition] = []
    table_days: dict[str, TableDay] = {}
    number = 0
    for name, source in spec.sources.by_name.items():
        key = f"sources.{name}"
        if source.is_bigquery:
            found[name] = [find_bigquery(source, key=key, number=number, window=window)]
            number += 1
            continue
        path, key = str(source.path), f"{key}.path"
        if name == "interactions":
            patterns = log_patterns(path, window, days_off=spec.sources.interactions.days_off)
        elif PLACEHOLDER in path:
            table_days[name] = table_day(below_raw(raw, path, key=key), end=window.end, key=key)
            patterns = {path.replace(PLACEHOLDER, table_days[name].day): None}
        else:
            patterns = {path: None}
        found[name], taken = [], dict[str, str]()
        for pattern, day in patterns.items():
            cure = _CURE_OF_DAYS if day else None
            is_off = day is not None and day.is_off
            files = find_files(pattern, raw, source=source, key=key, first_number=number, cure=cure, may_be_none=is_off)
            _refuse_second_names(files, taken, pattern=path, key=key)
            found[name] += files
            number += len(files)
            if PLACEHOLDER in path:
                source_name = "log" if name == "interactions" else name
                partitions.append(Partition(source_name, pattern, tuple(file.path for file in files), day))
        if not found[name]:
            raise StageError(f"{key}: expected files of some day of the window, found none, and all are days_off")
        _check_lists(name, source, files=found[name], spec=spec)
    vectors = {name: set(table.vector_sizes) for name, table in raw_tables(spec).items()}
    return Inputs(found.pop("interactions"), found, partitions, table_days=table_days, vectors=vectors)


def _refuse_second_names(files: list[InputFile], taken: dict[str, str], *, pattern: str, key: str) -> None:
    """Refuses a file that would be read twice: of two days, or by two names.

    Args:
        files: Those of one day.
        taken: Path without links -> path, of the days before; gets those of this one.
        pattern: The path, perhaps with {date}.
        key: Its key in the spec.

    Raises:
        StageError: Naming the file.
    """
    for file in files:
        real = storage.absolute(file.path)
        other = taken.get(real)
        if other == file.path:
            raise StageError(
                f"{key}: expected each file in one partition of {pattern}, but {file.path} is of two, so that its "
                "lines would be read twice; write a path whose {date} stands in one place of a name, as date={date}/*"
            )
        if other is not None:
            raise StageError(
                f"{key}: {file.path}: expected another file than {other}, but links lead from both to the same one, "
                f"which would be read twice; remove a link, or write {pattern} so that it matches one of them"
            )
        taken[real] = file.path


def _check_lists(name: str, source: Source, *, files: list[InputFile], spec: Spec) -> None:
    """Fails where a column of lists can't be taken apart.

    Raises:
        UsageError: If a log or table in CSV has one, and the spec doesn't say how its values are separated.
    """
    side_names: dict[str, SideName] = {"interactions": "pair", "items": "item", "queries": "query"}
    sides = [spec.sides[side_names[name]]]
    if name == "items" and spec.sources.queries == "items":
        sides.append(spec.query)
    lists = [n for side in sides for n, f in side.features.items() if isinstance(f, MultivaluedFeature | VectorFeature)]
    csv = [file.path for file in files if file.format == "csv"]
    if lists and csv and source.list_separator is None:
        raise UsageError(f"sources.{name}.list_separator: expected one, since {lists[0]} has many values in {csv[0]}")
