"""The vocabularies that tensorflow-transform wrote, read once for the steps that encode beside its graph."""

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.aggregation.packing import Packed, pack, unpack
from pipelines.beam.transform import TransformOutput, read_terms


class ReadVocabularies(beam.PTransform):
    """One `TransformOutput` -> the terms of some of its vocabularies, in the order of their codes, as one table."""

    def __init__(self, directory: str, names: list[str]) -> None:
        """Takes the dataset's directory and the vocabularies' names."""
        super().__init__()
        self._directory, self._names = directory, names

    def expand(self, written: beam.PCollection) -> beam.PCollection:
        """Reads, once transform/ is whole."""
        return written | "Read" >> beam.Map(_read, self._directory, self._names).with_output_types(Packed)


def _read(_: TransformOutput, directory: str, names: list[str]) -> Packed:
    tables = []
    for name in names:
        terms = pa.array(read_terms(directory, name), pa.binary()).cast(pa.string())
        tables.append(pa.table({"vocabulary": pa.repeat(name, len(terms)), "term": terms}))
    return pack(pa.concat_tables(tables))


def by_name(vocabularies: Packed, names: list[str]) -> dict[str, pa.Array]:
    """Each vocabulary's terms out of what `ReadVocabularies` gives, string [m]."""
    table = unpack(vocabularies)
    return {
        name: table.filter(pc.equal(table.column("vocabulary"), name)).column("term").combine_chunks() for name in names
    }
