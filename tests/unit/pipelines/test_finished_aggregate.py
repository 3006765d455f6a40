"""Which aggregates a build takes up."""

from pathlib import Path

import pytest

from features.spec_file import load_spec, spec_digest
from pipelines.aggregation.finished import open_aggregate
from stage.errors import UsageError
from stage.manifest import Manifest

UNDIGESTED = ["sources.max_reject_ratio=0.9", "sources.item_join=shuffle", "statistics.max_new_values=0.4"]


def test_an_aggregate_made_under_other_thresholds_is_taken_and_of_another_split_is_not(tmp_path: Path) -> None:
    spec = load_spec("synthetic")
    tree, digest = spec.model_dump(mode="json"), spec_digest(spec, "build-dataset")
    Manifest(stage="aggregate", run_id="r", spec=tree, spec_digest=digest).write(str(tmp_path))
    assert open_aggregate(str(tmp_path), load_spec("synthetic", UNDIGESTED), job_options={}).run_id == "r"
    with pytest.raises(UsageError, match=r"made under another spec: split\.seed is 0 there, 9 here; aggregate again"):
        open_aggregate(str(tmp_path), load_spec("synthetic", [*UNDIGESTED, "split.seed=9"]), job_options={})
