"""Writes the spec's JSON Schema beside the shipped specs, for editors: `python -m features.schema`."""

import json
from pathlib import Path

from features.spec import Spec

PATH = Path(__file__).parent / "specs" / "spec.schema.json"


def schema_text() -> str:
    """What the file holds."""
    return json.dumps(Spec.model_json_schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema_text(), encoding="utf-8")
