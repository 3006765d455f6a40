"""The page: one file, whatever is in it.

What comes from a log is data: Jinja escapes every value. A content security policy forbids the page all connections and
scripts, whatever it holds.
"""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined


def render_page(**content: Any) -> str:
    """Fills the template.

    Args:
        content: What report.html names.

    Returns:
        HTML.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = _number
    return environment.from_string(_part("report.html")).render(style=_part("report.css"), **content)


def _part(name: str) -> str:
    return files("model.reporting").joinpath(name).read_text(encoding="utf-8")


def _number(value: float | None) -> str:
    """As it is read: thousands apart, four digits of a fraction, a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
