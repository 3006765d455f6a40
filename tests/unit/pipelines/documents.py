"""The documents of this repository, and what they write as code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDERS = (
    ".",
    "docs",
    "docs/design",
    "results",
    "pipelines/retraining",
    "dataflow_templates/build_dataset",
    "training_image",
)
DOCUMENTS = [page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))]


def words_of(page: str) -> str:
    """A document's text on one line."""
    return " ".join((ROOT / page).read_text().split())


def in_code(text: str) -> list[str]:
    return re.findall(r"`(.*?)`", text)
