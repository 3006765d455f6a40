"""results.json: what the stored trainings of a comparison say, and what tables and plots are made of."""

import json

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from model.comparison.json_part import JsonPart, if_known
from model.comparison.variants import PLAIN, Protocol, Settings
from model.ranking.bootstrap import Estimate
from stage import storage
from stage.errors import StageError
from stage.manifest import Json

NAME = "results.json"


class Gains(JsonPart):
    """By how much a row is above another, of the seeds that both have; `SLICE/METRIC` -> gain."""

    gains: dict[str, Estimate]
    """With intervals over queries, in session mode over users."""
    gains_seeds_too: dict[str, Estimate]
    """With intervals over seeds too; empty where either row has a single seed."""
    gain_by_seed: list[float]
    """Of overall Recall@10."""


class Row(JsonPart):
    """A row of the tables."""

    seeds: list[int | None]
    """[None] of what has no seed."""
    seed_deviation: float | None
    """Of overall Recall@10; None of a single seed."""
    metrics: dict[str, Estimate]
    """`SLICE/METRIC` -> the mean over the seeds."""
    settings: Settings
    trials: int
    choices: int | None = if_known()
    """For how many settings test was read; not of a row whose cold items are corrected."""
    best_steps: list[int]
    """Of each seed; 0 of what knows no steps."""
    failures: list[str]
    """Seeds that came to nothing, and why."""
    cpu_seconds: float
    gains_over: dict[str, Gains]
    """Name of another row -> the gains over it; those over plain are fields of the row itself in the file."""

    @model_serializer(mode="wrap")
    def _as_in_the_file(self, serialize: SerializerFunctionWrapHandler) -> Json:
        row: Json = serialize(self)
        others = row.pop("gains_over")
        return row | others.pop(PLAIN, {}) | {"gains_over": others}


class NoRow(JsonPart):
    """What a variant has in place of a row where its choice came to nothing with every seed."""

    settings: Settings
    failures: list[str]
    """Seeds, and why."""
    cpu_seconds: float


class TriedSettings(JsonPart):
    """What a search found of some settings, the mean of their seeds on validation."""

    model_config = ConfigDict(serialize_by_alias=True)

    settings: Settings
    seeds: int
    recall_50: float | None = Field(serialization_alias="recall@50")
    tail_recall_50: float | None = Field(serialization_alias="tail_recall@50")
    failures: list[str]


class ProtocolResults(JsonPart):
    """What came of one protocol at one share of the training pairs."""

    rows: dict[str, Row]
    """In the order of the tables."""
    trials: dict[str, list[TriedSettings]]
    """Variant -> its trials."""
    without_row: dict[str, NoRow] | None = if_known()
    """Variant -> why it has none; where there is such a one."""


class FractionResults(JsonPart):
    """What came of one share of the training pairs."""

    dataset: str
    """Its content digest."""
    test_pairs: dict[str, int]
    """Slice -> its pairs of the test split."""
    test_users: int | None = if_known()
    """How many users the test split has, in session mode: what is resampled there, in place of queries."""
    protocols: dict[Protocol, ProtocolResults]
    cold_items: float | None = if_known()
    """`split.cold_items`, where it is above 0."""
    held_for_all: str | None = if_known()
    """Keys that tell variants apart and that the spec sets for all, where there are such (`decided_keys`)."""


class Results(JsonPart):
    """What the file holds."""

    spec: str
    """Its name."""
    resamples: int
    """Of the bootstrap."""
    fractions: dict[str, FractionResults]
    """Share of the training pairs -> what came of it, the largest first."""

    def has_row(self, name: str) -> bool:
        """Whether a row is of that name, at any share and under any protocol."""
        return any(name in content.rows for found in self.fractions.values() for content in found.protocols.values())


def write_results(path: str, results: Results) -> None:
    """Writes the file."""
    storage.write_bytes(path, (json.dumps(results.model_dump(), indent=1) + "\n").encode())


def read_spec_name(path: str) -> str:
    """Reads of which spec the file is.

    Raises:
        StageError: If it doesn't say so.
    """
    try:
        return str(json.loads(storage.read_bytes(path))["spec"])
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path}: not as compare writes it ({error!r}); delete it, and give --spec") from None
