"""The vocabulary that tensorflow-transform wrote, read once for the steps that encode beside its graph."""

import apache_beam as beam
import pyarrow as pa

from pipelines.aggregation.packing import Packed, pack
from pipelines.beam.transform import TransformOutput, read_terms


class ReadVocabulary(beam.PTransform):
    """One `TransformOutput` -> the terms of one of its vocabularies, in the order of their codes, as one table."""

    def __init__(self, directory: str, name: str) -> None:
        """Takes the dataset's directory and the vocabulary's name."""
        super().__init__()
        self._directory, self._name = directory, name

    def expand(self, written: beam.PCollection) -> beam.PCollection:
        """Reads, once transform/ is whole."""
        return written | "Read" >> beam.Map(_read, self._directory, self._name).with_output_types(Packed)


def _read(_: TransformOutput, directory: str, name: str) -> Packed:
    return pack(pa.table({"term": pa.array(read_terms(directory, name), pa.binary()).cast(pa.string())}))
