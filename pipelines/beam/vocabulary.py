"""The vocabularies that tensorflow-transform wrote, read once for the steps that encode beside its graph."""

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.aggregation.packing import Packed, pack, unpack
from pipelines.beam.transform import TransformOutput, read_terms


def read_vocabularies(written: TransformOutput, directory: str, *, names: list[str]) -> Packed:
    """The terms of some vocabularies, in the order of their codes, as one table.

    Args:
        written: To wait for: transform/ is whole.
        directory: The dataset's.
        names: The vocabularies'.
    """
    del written
    tables = []
    for name in names:
        terms = pa.array(read_terms(directory, name), pa.binary()).cast(pa.string())
        tables.append(pa.table({"vocabulary": pa.repeat(name, len(terms)), "term": terms}))
    return pack(pa.concat_tables(tables))


def by_name(vocabularies: Packed, names: list[str]) -> dict[str, pa.Array]:
    """Each vocabulary's terms out of what `read_vocabularies` gives, string [m]."""
    table = unpack(vocabularies)
    return {
        name: table.filter(pc.equal(table.column("vocabulary"), name)).column("term").combine_chunks() for name in names
    }
