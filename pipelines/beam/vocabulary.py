"""The vocabulary that tensorflow-transform wrote, read once for the steps that encode beside its graph."""

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.aggregation.packing import Packed, pack
from pipelines.beam.transform import TransformOutput, vocabulary_path


class ReadVocabulary(beam.PTransform):
    """One `TransformOutput` -> the terms of one of its vocabularies, in the order of their codes, as one table."""

    def __init__(self, directory: str, name: str) -> None:
        """Takes the dataset's directory and the vocabulary's name."""
        super().__init__()
        self._path = vocabulary_path(directory, name)

    def expand(self, written: beam.PCollection) -> beam.PCollection:
        """Reads, once transform/ is whole."""
        return written | "Read" >> beam.Map(_read, self._path).with_output_types(Packed)


def _read(_: TransformOutput, path: str) -> Packed:
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        terms = bytes(file.read()).splitlines()
    return pack(pa.table({"term": pa.array(terms, pa.binary()).cast(pa.string())}))
