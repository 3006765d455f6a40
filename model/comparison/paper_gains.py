"""The gains that the paper reports of CFM over plain in Recall@10, for ours to stand beside."""

from dataclasses import dataclass

PAPER_SLICES = {"overall": "all", "head": "head", "tail": "tail"}
"""Slice -> what its items are called."""


@dataclass(frozen=True)
class PaperGains:
    """What the paper found on one of its datasets."""

    dataset: str
    gains: dict[tuple[float, str], float]
    """(share of the training pairs, slice) -> gain."""


PAPER = {
    "wikispeedia-links": PaperGains("Wikipedia", {(1, "overall"): 0.061, (0.1, "overall"): 0.206}),
    "debian": PaperGains(
        "app store", {(1, "overall"): 0.102, (1, "head"): 0.086, (1, "tail"): 0.515, (0.1, "overall"): 0.257}
    ),
}
"""Spec -> the dataset of the paper's that its data is nearest to."""
