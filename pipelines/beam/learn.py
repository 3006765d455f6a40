"""What the transform's graph learns: vocabularies and the constants of numbers, counted over whole tables.

Each result waits for what tensorflow-transform makes of the rows to analyse, though it doesn't look at them: it saves
one graph for these and another with the results in it, and its tracing allows for one thread at a time.
"""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import AsIter, AsSingleton

from features.normalisation import RANGES, SUMS, constants, measure_ranges, measure_sums, merge_ranges, numeric_keys
from features.spec.features import SideName
from features.spec.spec import Spec
from features.split import SPLITS
from features.vocabularies import TERMS, Vocabulary, count_terms, keep_terms, merge_terms, to_file, vocabularies
from pipelines.aggregation.elements import Grouped
from pipelines.aggregation.packing import Keyed, Packed, concat, key_by_shard, pack, unpack
from pipelines.beam.gather import gather
from stage import storage

_MAX_SHARDS = 64
"""Each leaves one table of each vocabulary's terms, all of which come together to be ordered."""

_Ranges = dict[str, tuple[float, float]]


class LearnVocabularies(beam.PTransform):
    """The path of each vocabulary's file, as `features.preprocessing` takes them: looks at entities, not at its input.

    Nothing is learned that a query without training pairs says, or the context of a pair that is no training example.
    """

    def __init__(self, entities: dict[SideName, beam.PCollection], spec: Spec, *, shards: int, directory: str) -> None:
        """Takes what to learn from.

        Args:
            entities: Side name -> (shard, its entities) each; pair -> (any number, pairs), in the place of entities.
            spec: The dataset's spec.
            shards: How many shards terms are counted in.
            directory: Where the files are written, for tensorflow-transform to copy.
        """
        super().__init__()
        self._entities, self._spec, self._directory = entities, spec, directory
        self._shards = min(shards, _MAX_SHARDS)

    def expand(self, analysed: beam.PCollection) -> tuple[beam.PCollection, ...]:
        """Counts the terms of each shard of entities, adds up each shard of terms, and orders those that are kept."""
        rules = vocabularies(self._spec)
        parts = (
            tuple(
                entities
                | f"CountTerms_{name}" >> beam.FlatMap(_count_terms, name, spec=self._spec, shards=self._shards)
                for name, entities in self._entities.items()
            )
            | "Terms" >> beam.Flatten()
            | "GroupTerms" >> beam.GroupByKey()
            | "KeepTerms" >> beam.FlatMap(_keep_terms, rules)
        )
        empty = beam.Create([(name, pack(TERMS.empty_table())) for name in rules])
        written = (
            (parts, parts.pipeline | "NoTerms" >> empty.with_output_types(tuple[str, Packed]))
            | "WithNoTerms" >> beam.Flatten()
            | "GroupVocabularies" >> beam.GroupByKey()
            | "WriteVocabulary"
            >> beam.FlatMap(_write_vocabulary, rules, directory=self._directory, after=AsIter(analysed)).with_outputs(
                *rules
            )
        )
        return tuple(written[name] for name in rules)


@beam.ptransform_fn
def learn_constants(entities: dict[SideName, beam.PCollection], spec: Spec) -> beam.PCollection:
    """Side name -> (shard, its entities) each, to the constants of `features.normalisation`, one element."""
    ranges = (
        tuple(rows | f"Ranges_{name}" >> beam.Map(_ranges, name, spec=spec) for name, rows in entities.items())
        | "Ranges" >> beam.Flatten()
        | "GatherRanges" >> gather(RANGES)
        | "MergeRanges" >> beam.Map(lambda found: merge_ranges(unpack(found)))
    )
    return (
        tuple(
            rows | f"Sums_{name}" >> beam.Map(_sums, name, spec=spec, ranges=AsSingleton(ranges))
            for name, rows in entities.items()
        )
        | "Sums" >> beam.Flatten()
        | "GatherSums" >> gather(SUMS)
        | "Constants" >> beam.Map(_constants, spec, ranges=AsSingleton(ranges))
    )


class ConstantsForGraph(beam.PTransform):
    """Learned constants as `features.preprocessing` takes them: looks at them, not at its input."""

    def __init__(self, constants: beam.PCollection) -> None:
        super().__init__()
        self._constants = constants

    def expand(self, analysed: beam.PCollection) -> tuple[beam.PCollection]:
        """Waits."""
        waited = self._constants | "Wait" >> beam.Map(lambda found, _: found, AsIter(analysed)).with_output_types(
            np.ndarray
        )
        return (waited,)


def _known(element: Keyed, side_name: SideName) -> pa.Table:
    """The item table is known in full; of queries, those with training pairs are; of pairs, the training examples."""
    rows = unpack(element[1])
    if side_name == "item":
        return rows
    if side_name == "query":
        return rows.filter(pc.greater(rows.column("train_count"), 0))
    train = pc.equal(rows.column("split"), SPLITS.index("train"))
    return rows.filter(pc.and_(train, pc.invert(rows.column("thinned"))))


def _count_terms(element: Keyed, side_name: SideName, *, spec: Spec, shards: int) -> Iterable[Keyed]:
    return key_by_shard(count_terms(_known(element, side_name), side_name, spec=spec), "term", shards=shards)


def _keep_terms(element: Grouped, rules: dict[str, Vocabulary]) -> Iterable[tuple[str, Packed]]:
    terms = merge_terms(concat(element[1], TERMS))
    for name, rule in rules.items():
        kept = keep_terms(terms.filter(pc.equal(terms.column("vocabulary"), name)), rule)
        if kept.num_rows:
            yield name, pack(kept)


def _write_vocabulary(
    element: tuple[str, Iterable[Packed]], rules: dict[str, Vocabulary], *, directory: str, after: Iterable[object]
) -> Iterable[beam.pvalue.TaggedOutput]:
    """(vocabulary, its terms in parts) -> the path of its file, as an output of the vocabulary's name."""
    del after
    name, parts = element
    path = storage.join(directory, name)
    storage.write_bytes(path, to_file(keep_terms(concat(parts, TERMS), rules[name])))
    yield beam.pvalue.TaggedOutput(name, np.array(path))


def _ranges(element: Keyed, side_name: SideName, *, spec: Spec) -> Keyed:
    return element[0], pack(measure_ranges(_known(element, side_name), side_name, side=spec.sides[side_name]))


def _sums(element: Keyed, side_name: SideName, *, spec: Spec, ranges: _Ranges) -> Keyed:
    return element[0], pack(
        measure_sums(_known(element, side_name), side_name, side=spec.sides[side_name], ranges=ranges)
    )


def _constants(sums: Packed, spec: Spec, *, ranges: _Ranges) -> npt.NDArray[np.float64]:
    return constants(numeric_keys(spec), ranges, sums=unpack(sums))
