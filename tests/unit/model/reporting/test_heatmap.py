"""What the table of mutual information is read from."""

from pathlib import Path
from typing import Any

import pytest

from model.reporting.heatmap import read_heatmap
from stage.errors import StageError


@pytest.mark.parametrize(
    "content", [b"{", b'{"features": ["page"]}', b'{"features": ["page"], "mutual_information": [[null]]}', b"[]"]
)
def test_mutual_information_is_looked_at_where_the_spec_names_the_groups(make_dataset: Any, content: bytes) -> None:
    dataset = make_dataset(spec={"ssl": {"mask_groups": {"page": ["topic"]}}})
    assert read_heatmap(dataset, dataset.spec.ssl).groups == {"page": ["page", "topic"]}
    path = Path(dataset.directory, "mutual_information.json")
    path.write_bytes(content)
    with pytest.raises(StageError, match=rf"^{path}: not as build-dataset writes it \(.*; build the dataset again$"):
        read_heatmap(dataset, dataset.spec.ssl)
