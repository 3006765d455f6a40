"""Flatten, for collections that have other uses too."""

from typing import TypeVar

import apache_beam as beam

T = TypeVar("T")


@beam.ptransform_fn
def union(collections: tuple[beam.PCollection, ...]) -> beam.PCollection:
    """Several collections as one, through a step of its own for each, which costs a call per element.

    Where a collection is flattened and used elsewhere too, the fuser of Beam's Spark and Flink runners loses another
    input of the same Flatten: "... were consumed but never produced" (apache/beam, issue 34647). A copy has
    no other use.
    """
    copies = [
        collection | f"Copy{number}" >> beam.Map(_same).with_output_types(collection.element_type)
        for number, collection in enumerate(collections)
    ]
    return copies | "Flatten" >> beam.Flatten()


def _same(element: T) -> T:
    return element
