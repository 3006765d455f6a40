from typing import Any

import pyarrow as pa

from features.dataset import EncodedFeature
from model.reporting.feature_table import _rows


def test_values_are_counted_over_all_files() -> None:
    lists, texts = pa.list_(pa.string()), pa.string()
    files = [
        {
            "id": ["a", "b", "c"],
            "feature/tags": [["x", "y"], [], ["x", None]],
            "feature/colour": ["red", None, "red"],
            "feature/image": [[1, 0], [], [1, 2]],
        },
        {"id": ["d"], "feature/tags": [None], "feature/colour": ["blue"], "feature/image": [[1, 0]]},
    ]
    schema = pa.schema(
        [
            ("id", texts),
            ("feature/tags", lists),
            ("feature/colour", texts),
            ("feature/image", pa.list_(pa.float32())),
        ]
    )
    kinds: dict[str, tuple[Any, int]] = {
        "page": ("id", 9),
        "tags": ("multivalued", 3),
        "colour": ("categorical", 4),
        "image": ("vector", 0),
    }
    features = [EncodedFeature(f"item/{name}", name, kind, name, codes) for name, (kind, codes) in kinds.items()]
    tables = (pa.table(file, schema) for file in files)
    found = _rows("item", features, tables=tables, entropies={"tags": 0.5, "image": 0.6})
    assert [(row.name, row.cardinality, row.codes, row.coverage, row.entropy) for row in found] == [
        ("page", 4, 9, 1.0, None), ("tags", 2, 3, 0.5, 0.5), ("colour", 2, 4, 0.75, None),
        ("image", None, 0, 0.75, 0.6),
    ]  # fmt: skip
    assert [row.coverage for row in _rows("item", features, tables=[], entropies={})] == [0, 0, 0, 0]
