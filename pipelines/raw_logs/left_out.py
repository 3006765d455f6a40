"""What had to be left out of public files."""

from dataclasses import dataclass, field


@dataclass
class LeftOut:
    """What a conversion left out: how often, for which reason, and where first."""

    counts: dict[str, int] = field(default_factory=dict)
    """Reason -> times."""
    first: dict[str, str] = field(default_factory=dict)
    """Reason -> file, line, and what was there, of the first time."""

    def add(self, reason: str, where: str, *, times: int = 1) -> None:
        """Counts something that is left out."""
        self.counts[reason] = self.counts.get(reason, 0) + times
        self.first.setdefault(reason, where)
