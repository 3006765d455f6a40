"""What a run makes of which data: a form in Airflow's UI."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema


class Section(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _directory(path: str) -> str:
    found = path.rstrip("/")
    if found in ("", "gs:"):  # the root of the disk, or no bucket
        raise ValueError(f"expected a directory of its own, such as retraining or gs://BUCKET/retraining, got '{path}'")
    return found


class Settings(Section):
    """What a run makes of which data. Whoever triggers a run may change these for that run alone."""

    spec: str = Field("wikispeedia-daily", description="A shipped spec's name, or the path of a YAML file.")
    raw: str = Field("raw-daily", description="The directory that the spec's relative paths lie under; may be gs://.")
    output: Annotated[str, AfterValidator(_directory)] = Field(
        "retraining", description="Gets runs/ and published/; may be gs://."
    )
    window_days: int = Field(14, ge=1, description="Days of log in a dataset; the newest interval is its test split.")
    shards: int = Field(
        0, ge=0, description="Files of each split, which a log in BigQuery needs; 0: by the log's size."
    )
    overrides: list[str] = Field([], description="Keys of the spec, as in train.epochs=4: one a line.")
    warm_start: bool = Field(True, description="Start training from the published model that the gate compares with.")
    hold_to_last: bool = Field(
        True,
        description="Hold the dataset to the last that a model was trained on; off for one run after a change of type.",
    )
    candidates: Annotated[str | None, WithJsonSchema({"type": ["string", "null"]})] = Field(
        None, description="Parquet files with the ids of the items to serve, as a glob; may be gs://. Empty: all items."
    )
    keep_days: int = Field(
        0, ge=0, le=36_500, description="Days after which a run is removed, unless a later one reads it; 0: never."
    )
    max_change: float = Field(
        3,
        gt=1,
        description="So many times the last dataset's examples, items and queries are allowed, or as many times fewer.",
    )
