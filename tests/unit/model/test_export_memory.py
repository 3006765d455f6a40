"""When an export is refused since it won't fit into memory."""

import pytest

from features.spec.file import build_spec
from model.serving.export_memory import check_export_fits
from stage.errors import StageError


@pytest.mark.parametrize(
    ("most_exact", "most_hnsw", "need", "smaller"),
    [
        (1000, 5000, 2000 * 8 * 4 * 2, "; export.max_hnsw_items .* below 2,000"),
        (5000, 1000, 2000 * 8 * 4 * 2, "; export.max_hnsw_items .* below 2,000"),
        (1000, 1000, 2000 * (8 * 4 + 8 + 4), ""),
    ],
)
def test_an_export_that_will_not_fit_is_refused(tiny_dataset, most_exact, most_hnsw, need, smaller):
    sizes = [f"export.max_exact_items={most_exact}", f"export.max_hnsw_items={most_hnsw}"]
    spec = build_spec(tiny_dataset.manifest.spec, sizes, source="test")
    check_export_fits(2000, spec, host=need)
    check_export_fits(2000, spec, host=None)
    with pytest.raises(
        StageError, match=f"embeddings of 2,000 items, .* last number of model.hidden needs less{smaller}"
    ):
        check_export_fits(2000, spec, host=need - 1)
