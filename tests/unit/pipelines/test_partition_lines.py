"""Lines of a partition in the window and outside."""

from pipelines.aggregation.partition_lines import lines_outside
from pipelines.aggregation.partitions import Partition, WindowDay


def test_lines_of_a_partition_are_outside_where_none_lies_in_the_window_that_holds_its_day():
    counts = {"inside\ta": 0, "outside\ta": 7, "inside\tb": 0, "outside\tb": 2, "inside\tc": 1, "outside\tc": 5}
    whole, cut = (WindowDay(is_whole=is_whole, is_outer=False) for is_whole in (True, False))
    partitions = [
        Partition("log", "both", ("a", "b", "without good lines"), whole),
        Partition("log", "one inside", ("a", "c"), whole),
        Partition("log", "cut by the window", ("a",), cut),
        Partition("log", "nothing good", ("d",), whole),
    ]
    assert lines_outside(counts, partitions) == {"outside_window/both": 9}
