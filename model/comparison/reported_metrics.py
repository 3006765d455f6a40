"""The metrics of every row of a comparison, `SLICE/METRIC` -> its title in the tables."""

from model.ranking.metrics import COLD_AMONG_COLD

REPORTED = {
    "overall/recall@10": "Recall@10",
    "overall/recall@50": "Recall@50",
    "overall/map@10": "MAP@10",
    "head/recall@10": "head Recall@10",
    "tail/recall@10": "tail Recall@10",
    "tail/recall@50": "tail Recall@50",
    "cold/recall@10": "cold Recall@10",
    "cold/recall@50": "cold Recall@50",
}
AMONG_COLD = {
    f"{COLD_AMONG_COLD}/recall@10": "among the cold Recall@10",
    f"{COLD_AMONG_COLD}/recall@50": "among the cold Recall@50",
}
"""Beside these where the spec has `split.cold_items`."""
OF_COLD_ITEMS = {key: REPORTED[key] for key in REPORTED if key.startswith(("overall/recall", "cold/"))} | AMONG_COLD
"""What tables of cold items show."""
