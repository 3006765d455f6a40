"""What is written per shard of a dataset's corpus."""

from pathlib import Path

import pyarrow as pa

from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import pack
from pipelines.beam.record_files import HALVES, write_corpus


def test_a_shard_of_items_is_the_same_file_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    items = pa.table({"id": ["a", "b", "c"], "half": [b"of a", b"of b", b"of c"]}, HALVES)
    orders = ([items], [items.take([2, 1, 0])], [items.slice(2), items.slice(0, 2)])
    target = Target(str(tmp_path), "run", 3)
    first, *again = (write_corpus((1, [pack(part) for part in parts]), target) for parts in orders)
    assert again == [first, first]
    assert first.file.records == 3
