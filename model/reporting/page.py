"""The page: one file, whatever is in it.

What comes from a log is data. Jinja escapes every value; what the script reads is a JSON block, escaped too, and the
script puts it in as text. A content security policy forbids the page all connections, and every script but its own.
"""

import base64
import hashlib
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
    script = _part("report.js")
    # The browser runs the script that hashes to this, and no other.
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = environment.from_string(_part("report.html"))
    return template.render(style=_part("report.css"), script=script, script_hash=hashed, **content)


def _part(name: str) -> str:
    return files("model.reporting").joinpath(name).read_text(encoding="utf-8")


def _number(value: float | None) -> str:
    """As it is read: thousands apart, four digits of a fraction, a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
