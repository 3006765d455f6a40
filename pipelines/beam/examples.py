r"""The examples: pairs go to their shard, meet the halves of their query and their item there, and are written.

pairs -> placed --------------------------+-> train/ validation/ test/
            |                             |
query halves -> placed -------------------+
            v                             |
item halves -> those that a shard wants --+   (or all of them at the side of every worker)
"""

from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from features.dataset import history_vocabulary
from pipelines.aggregation.finished import FinishedAggregate
from pipelines.aggregation.item_join import IDS, send_items, want_items
from pipelines.aggregation.packing import Keyed, Packed
from pipelines.aggregation.placement import place_pairs, place_queries
from pipelines.aggregation.plan import Plan
from pipelines.beam.shuffle import CoGrouped, Gather
from pipelines.beam.sinks import HALVES, WriteExamples
from pipelines.beam.transform import Transformed
from pipelines.beam.vocabulary import ReadVocabulary


def write_examples(
    pairs: beam.PCollection, heavy: beam.PCollection, halves: Transformed, source: Plan | FinishedAggregate
) -> beam.PCollection:
    """Writes the examples of all splits.

    Args:
        pairs: Keyed, schema `pair_schema`.
        heavy: Heavy queries, schema IDS.
        halves: Encoded queries and items.
        source: Where pairs come from and examples go.

    Returns:
        What was written.
    """
    spec, target, shards = source.spec, source.target, source.target.shards
    spread = AsSingleton(heavy | "GatherHeavyQueries" >> Gather(IDS))
    placed = pairs | "PlacePairs" >> beam.FlatMap(_place_pairs, spread, shards).with_output_types(Keyed)
    queries = halves.queries | "PlaceQueries" >> beam.FlatMap(place_queries, spread, shards).with_output_types(Keyed)
    grouped, aside = {"pairs": placed, "queries": queries}, {}
    if source.item_join == "side_input":
        packed = halves.items | "ItemHalves" >> beam.Values().with_output_types(Packed)
        aside["items"] = AsSingleton(packed | "GatherItemHalves" >> Gather(HALVES))
    else:
        wanted = placed | "WantItemHalves" >> beam.FlatMap(want_items, shards).with_output_types(Keyed)
        grouped["items"] = (
            {"wanted": wanted, "halves": halves.items}
            | "GroupWantedHalves" >> beam.CoGroupByKey()
            | "SendItemHalves" >> beam.FlatMap(_send_items).with_output_types(Keyed)
        )
    if spec.session is not None:
        vocabulary = ReadVocabulary(target.directory, history_vocabulary(spec))
        aside["vocabulary"] = AsSingleton(halves.written | "HistoryVocabulary" >> vocabulary)
    return (
        grouped
        | "GroupPairsAndHalves" >> beam.CoGroupByKey()
        | "WriteExamples" >> beam.ParDo(WriteExamples(spec, target), **aside)
    )


def _place_pairs(element: Keyed, heavy: Packed, shards: int) -> Iterable[Keyed]:
    return place_pairs(element[1], heavy, shards)


def _send_items(element: CoGrouped) -> Iterable[Keyed]:
    _, found = element
    return send_items(found["wanted"], found["halves"], HALVES)
