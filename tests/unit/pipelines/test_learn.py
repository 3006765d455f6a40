"""What the transform's graph may learn from."""

import pyarrow as pa

from pipelines.aggregation.packing import pack
from pipelines.beam.learn import _known


def test_nothing_is_learned_of_what_no_training_example_says() -> None:
    counted = pack(pa.table({"id": ["a", "b"], "train_count": [0, 1], "full_train_count": [1, 1]}))
    assert _known((0, counted), "item")["id"].to_pylist() == ["a", "b"]
    assert _known((0, counted), "query")["id"].to_pylist() == ["b"]
    pairs = pack(pa.table({"id": [*"abcd"], "split": [0, 0, 1, 2], "thinned": [True, False, False, False]}))
    assert _known((0, pairs), "pair")["id"].to_pylist() == ["b"]
