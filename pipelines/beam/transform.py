"""tensorflow-transform over entities: analyse, transform, and encode each entity once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import AsSingleton

from features.entities import only_ids
from features.example_codec import encode_half
from features.normalisation import distinguish, numeric_keys
from features.spec.features import SideName
from features.spec.spec import Spec
from features.transform_inputs import PASSED_THROUGH, to_transform_batch, transform_inputs, transform_schema
from features.vocabularies import digest_terms, read_terms, vocabularies
from pipelines.aggregation.output import Target
from pipelines.aggregation.packing import Keyed, key_by_shard, unpack
from pipelines.beam.learn import ConstantsForGraph, LearnVocabularies, learn_constants
from pipelines.beam.record_files import HALVES
from stage import storage
from stage.manifest import File, digest
from stage.output import check_own, write_file
from stage.progress import counters

if TYPE_CHECKING:
    from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

ENTITIES_PER_BATCH = 4_096
FOLDER = "transform"


@dataclass(frozen=True)
class Transformed:
    """What the transform leaves."""

    queries: beam.PCollection
    """Keyed by the shard of the id, schema HALVES."""
    items: beam.PCollection
    """As queries."""
    written: beam.PCollection
    """One `TransformOutput`, once transform/ is whole."""
    constants: beam.PCollection | None
    """Those of `features.normalisation.numeric_keys`, one element; None: there are no numbers."""


@dataclass(frozen=True)
class TransformOutput:
    """What the manifest says of transform/."""

    files: list[File]
    vocabularies: dict[str, int]
    """Vocabulary -> terms."""
    content: dict[str, str]
    """vocabularies/NAME and constants -> digest."""
    transform_digest: str


def transform_entities(
    *,
    queries: beam.PCollection,
    items: beam.PCollection,
    pairs: beam.PCollection,
    spec: Spec,
    target: Target,
    temporary: str,
) -> Transformed:
    """Analyses the items, the queries that have training pairs and the context of these, then transforms all entities.

    Args:
        queries: (shard, entities) each.
        items: (shard, entities) each.
        pairs: (any number, pairs) each.
        spec: The dataset's spec.
        target: Where transform/ is written.
        temporary: A directory that every worker sees, for what tensorflow-transform writes while the job runs.
    """
    import tensorflow_transform.beam as tft_beam  # noqa: PLC0415  (TensorFlow takes seconds; only these steps need it)

    from features.preprocessing import preprocessing_fn  # noqa: PLC0415

    config = _adapter_config(spec)
    batches = (
        queries | "QueryBatches" >> beam.FlatMap(_to_batches, "query", spec=spec),
        items | "ItemBatches" >> beam.FlatMap(_to_batches, "item", spec=spec),
    ) | "EntityBatches" >> beam.Flatten()
    # What the graph learns comes from entities as they are, not by way of the graph, which still must run once.
    nobody = to_transform_batch(only_ids(pa.array([""]), spec.item), "item", spec=spec)
    to_analyse = items.pipeline | "ToAnalyse" >> beam.Create([nobody]).with_output_types(pa.RecordBatch)
    entities: dict[SideName, beam.PCollection] = {"query": queries, "item": items}
    if spec.sides["pair"].features:
        entities["pair"] = pairs
    learn_vocabularies = LearnVocabularies(
        entities, spec, shards=target.shards, directory=storage.join(temporary, "vocabularies")
    )
    constants = entities | "LearnConstants" >> learn_constants(spec) if numeric_keys(spec) else None
    preprocess = preprocessing_fn(
        spec,
        learn_vocabularies=learn_vocabularies,
        learn_constants=None if constants is None else ConstantsForGraph(constants),
    )
    with tft_beam.Context(temp_dir=temporary, passthrough_keys=set(PASSED_THROUGH)):
        transform_fn = (to_analyse, config) | "Analyse" >> tft_beam.AnalyzeDataset(preprocess)
        transformed, _ = ((batches, config), transform_fn) | "Transform" >> tft_beam.TransformDataset(
            output_record_batches=True
        )
    encoded = transformed | "Encode" >> beam.FlatMap(_encode, spec, shards=target.shards).with_outputs("query", "item")
    folder = storage.join(temporary, FOLDER)
    metadata = _raw_metadata(spec) | "WriteRawMetadata" >> tft_beam.WriteMetadata(
        storage.join(folder, "metadata"), items.pipeline
    )
    graph = transform_fn | "WriteTransform" >> tft_beam.WriteTransformFn(folder)
    written = graph | "CopyTransform" >> beam.Map(
        copy_transform,
        spec,
        folder=folder,
        target=target,
        constants=None if constants is None else AsSingleton(constants),
        after=AsSingleton(metadata),
    )
    return Transformed(encoded["query"], encoded["item"], written, constants)


def _raw_metadata(spec: Spec) -> Any:
    """What the graph takes, as tensorflow-transform writes it down."""
    import tensorflow as tf  # noqa: PLC0415
    import tensorflow_transform as tft  # noqa: PLC0415

    from features.transform_graph import DTYPES  # noqa: PLC0415

    features = {name: tf.io.VarLenFeature(DTYPES[kind]) for name, kind in transform_inputs(spec).items()}
    return tft.DatasetMetadata.from_feature_spec(features)


def _adapter_config(spec: Spec) -> "TensorAdapterConfig":
    from tensorflow_metadata.proto.v0 import schema_pb2  # noqa: PLC0415
    from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig  # noqa: PLC0415

    sparse = schema_pb2.TensorRepresentation.VarLenSparseTensor
    representations = {
        name: schema_pb2.TensorRepresentation(varlen_sparse_tensor=sparse(column_name=name))
        for name in transform_inputs(spec)
    }
    return TensorAdapterConfig(transform_schema(spec), representations)


def _to_batches(element: Keyed, side_name: SideName, *, spec: Spec) -> Iterable[pa.RecordBatch]:
    entities = unpack(element[1])
    for start in range(0, entities.num_rows, ENTITIES_PER_BATCH):
        yield to_transform_batch(entities.slice(start, ENTITIES_PER_BATCH), side_name, spec=spec)


def _encode(element: tuple[pa.RecordBatch, Any], spec: Spec, *, shards: int) -> Iterable[beam.pvalue.TaggedOutput]:
    """A batch of one side -> its halves, as an output of the side's name."""
    batch = element[0]
    ids, sides, counts = (batch.column(name).flatten() for name in PASSED_THROUGH)
    side = sides[0].as_py().decode()
    columns = {f"{side}_id": ids}
    if side == "item":
        columns["item/train_count"] = counts
    columns |= {f"{side}/{name}": batch.column(f"{side}/{name}") for name in spec.sides[side].features}
    counters.add(f"encoded {'queries' if side == 'query' else 'items'}", batch.num_rows)
    halves = pa.table([ids.cast(pa.string()), encode_half(columns)], schema=HALVES)
    for keyed in key_by_shard(halves, "id", shards=shards):
        yield beam.pvalue.TaggedOutput(side, keyed)


def copy_transform(
    _: None,
    spec: Spec,
    *,
    folder: str,
    target: Target,
    constants: npt.NDArray[np.float64] | None,
    after: Any,
) -> TransformOutput:
    """Copies what tensorflow-transform wrote to transform/, and digests what was learned.

    TensorFlow has file systems of its own, which reach less than ours do. The step waits for both parts of the
    transform.

    Raises:
        StageError: If another run has taken the output over: the same graph's files differ from run to run.
    """
    del after
    check_own(target.directory, run_id=target.run_id)
    files = [_copy(name, folder, target=target) for name in sorted(storage.sizes(folder))]
    sizes, content = {}, {}
    for name in vocabularies(spec):
        terms = read_terms(folder, name)
        sizes[name] = len(terms)
        content[f"vocabularies/{name}"] = digest_terms(terms.to_pylist())
    content["constants"] = digest({} if constants is None else distinguish(constants, spec))
    return TransformOutput(files, sizes, content, digest_transform(content, spec))


def _copy(name: str, folder: str, *, target: Target) -> File:
    content = storage.read_bytes(storage.join(folder, name))
    return write_file(target.directory, storage.join(FOLDER, name), chunks=[content])


def digest_transform(content: dict[str, str], spec: Spec) -> str:
    """The digest of all that codes and numbers of an example depend on: where it differs, a model encodes anew.

    Args:
        content: vocabularies/NAME and constants -> digest.
        spec: The dataset's spec.
    """
    sides = [spec.query, spec.item, *([spec.sides["pair"]] if spec.sides["pair"].features else [])]
    history = [] if spec.session is None else [spec.session.max_history]
    return digest([content, *(side.model_dump(mode="json") for side in sides), *history])
