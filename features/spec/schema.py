"""Writes what lists every key of the spec, for editors and for readers: `python -m features.spec.schema`."""

import json
from pathlib import Path

from features.spec import page
from features.spec.spec import Spec

PATH = Path(__file__).parents[1] / "specs" / "spec.schema.json"


def schema_text() -> str:
    """What the JSON Schema beside the shipped specs holds."""
    return json.dumps(Spec.model_json_schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema_text(), encoding="utf-8")
    page.PATH.write_text(page.page_text(), encoding="utf-8")
