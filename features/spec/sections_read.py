"""Which sections of a spec each verb reads. Imports nothing, since every verb's help says it."""

SECTIONS_READ: dict[str, tuple[str, ...]] = {
    "build-dataset": ("sources", "query", "item", "split", "session", "mutual_information", "statistics"),
    "train": ("model", "ssl", "train", "evaluate"),
    "evaluate": ("evaluate",),
    "export": ("export", "evaluate"),
    "gate": ("gate", "evaluate"),
    "publish": ("gate",),
    "rollback": ("gate",),
}
"""The sections that each verb reads and no earlier one has settled: `--set` may change these, and only these, there."""
SECTIONS_READ["aggregate-spark"] = SECTIONS_READ["build-dataset"]
SECTIONS_READ["run"] = SECTIONS_READ["build-dataset"] + SECTIONS_READ["train"]
SECTIONS_READ["compare"] = SECTIONS_READ["run"]
