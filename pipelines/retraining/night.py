"""One run's dates and directories, out of its interval."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from retraining.settings import Settings


@dataclass(frozen=True)
class Night:
    """One run: it learns from the days before an interval, and is tested on the interval."""

    settings: Settings
    start: datetime
    """Of the interval, UTC: where the test split begins."""
    end: datetime
    """Of the interval: where the data ends."""

    @classmethod
    def of(cls, context: Mapping[str, Any], *, settings: Settings) -> Self:
        """The run whose task is being rendered.

        Args:
            context: As Airflow gives it to a template.
            settings: The run's.

        Raises:
            ValueError: If the run has no interval.
        """
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None:
            raise ValueError("expected a run with a data interval; trigger it with a logical date")
        return cls(settings, start, end)

    @property
    def data_start(self) -> datetime:
        """The first instant of the window."""
        return self.end - timedelta(days=self.settings.window_days)

    @property
    def name(self) -> str:
        """Of the run's directory."""
        return run_name(self.start)

    @property
    def directory(self) -> str:
        """What the run makes: dataset/, model/, export/, metrics.json, report.html."""
        return f"{self.runs}/{self.name}"

    @property
    def runs(self) -> str:
        """The directory of all runs."""
        return f"{self.settings.output}/runs"

    @property
    def temp(self) -> str | None:
        """The directory on gs:// for what BigQuery exports."""
        return f"{self.settings.output}/temp" if self.settings.output.startswith("gs://") else None

    @property
    def dataset(self) -> str:
        """The run's dataset."""
        return f"{self.directory}/dataset"

    @property
    def aggregate(self) -> str:
        """What Spark leaves of the run's dataset."""
        return f"{self.directory}/aggregate"

    @property
    def model(self) -> str:
        """The run's model."""
        return f"{self.directory}/model"

    @property
    def export(self) -> str:
        """The run's export."""
        return f"{self.directory}/export"

    @property
    def baseline(self) -> str | None:
        """The directory of runs, for the commands to hold this one's dataset to that of the last before it.

        Airflow's last success may be of a run with another output.
        """
        return self.runs if self.settings.hold_to_last else None

    @property
    def published(self) -> str:
        """The directory of published models."""
        return f"{self.settings.output}/published"

    @property
    def window(self) -> dict[str, str]:
        """The build's job options."""
        instants = {"data-start": self.data_start, "data-end": self.end, "test-start": self.start}
        return {name: f"{instant:%Y-%m-%dT%H:%M:%S}Z" for name, instant in instants.items()}


def run_name(start: datetime) -> str:
    """Of a run, by the start of its interval: a day's date; with the time where intervals don't begin at midnight."""
    return f"{start:%Y-%m-%d}" if (start.hour, start.minute) == (0, 0) else f"{start:%Y-%m-%dt%H-%M}"
