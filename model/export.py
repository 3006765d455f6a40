"""`ssl-two-tower export`: a model and a corpus -> a SavedModel, with what `recommend` and `similar` need beside it."""

import json
import sys
import tempfile
from collections.abc import Sequence

import tensorflow as tf

from features.dataset import Dataset
from features.pseudonyms import digests_of
from features.spec.digest import spec_digest
from features.spec.features import SideName
from features.spec.file import spec_of
from features.spec.spec import Spec
from model.network.finished_model import FinishedModel
from model.network.tensorflow_error import written_to
from model.network.two_tower import load_towers
from model.options.export import make_parser
from model.ranking.candidates import Candidates, read_candidates
from model.ranking.context import check_context
from model.ranking.entity_features import check_entities
from model.ranking.reencoding import check_same_mode
from model.ranking.scores import Embeddings
from model.serving.entities_to_export import write_dataset_items, write_queries
from model.serving.export_memory import check_export_fits
from model.serving.item_table import ItemTable
from model.serving.projector import write_projector
from model.serving.query_sample import sample_queries
from model.serving.retriever import INDEX, ITEMS
from model.serving.served_items import ServedItems, embed_items
from model.serving.serving_graph import ServingGraph
from stage import extras, storage
from stage.command_line import run_process
from stage.errors import StageError
from stage.globs import matching_files
from stage.manifest import Manifest, describe_files, new_run_id
from stage.memory import available
from stage.output import check_own, finish_output, refuse_file, refuse_within, start_output
from stage.parquet import write_parquet
from stage.published import refuse_published

PROJECTOR = "projector"
MEASURED_QUERIES = 1000


def main(argv: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        StageError: If the model or the dataset isn't whole, they don't fit each other, no candidate can be read, the
            output can't be used or written, memory is too small, or an index is needed and faiss isn't there.
        UsageError: If an option or a key is wrong.
    """
    options = make_parser().parse_args(argv)
    refuse_file(options.output)
    if options.candidates is not None:
        files = matching_files(options.candidates, option="--candidates")
        refuse_within(options.output, *files, named="--candidates")
    dataset = Dataset.open(options.dataset, verify=options.verify)
    model = FinishedModel.open(options.model, verify=options.verify)
    spec = spec_of(model.manifest, options.model, overrides=options.overrides, verb="export")
    candidates = None if options.candidates is None else read_candidates(options.candidates, dataset)
    made = export(
        model, dataset=dataset, spec=spec, output=options.output, candidates=candidates, overwrite=options.overwrite
    )
    if options.json:
        print(json.dumps({"counts": made.counts, "measures": made.measures}))
        return
    search = f"by {INDEX}, {_describe(made.measures)}" if made.measures else "every item scored, in the graph"
    of_all = "" if candidates is None else f" of {dataset.manifest.counts['items']:,}"
    print(f"{made.counts['items']:,}{of_all} items, embeddings of {spec.model.hidden[-1]}; search: {search}")
    print(f"written: {options.output}")


def export(
    model: FinishedModel,
    *,
    dataset: Dataset,
    spec: Spec,
    output: str,
    candidates: Candidates | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Writes what is served.

    Args:
        model: The model.
        dataset: Whose items are served.
        spec: The model's, with the sections export and evaluate as wanted.
        output: Where to; on local disk or gs://.
        candidates: Which of them; None: all.
        overwrite: Make a finished export again.

    Returns:
        The manifest that was written last.

    Raises:
        StageError: As `main`.
    """
    refuse_published(output)
    ids = None if candidates is None else candidates.ids
    number = dataset.manifest.counts["items"] if ids is None else len(ids)
    exact = number <= spec.export.max_exact_items
    _check_fits(model, dataset, spec=spec, exact=exact)
    if not exact:
        extras.require("serve", by="export")
    check_export_fits(number, spec, host=available())
    two_tower = load_towers(model)
    graph = ServingGraph(two_tower, spec, transform_directory=model.transform_directory)
    run_id = new_run_id()
    start_output(output, "export", run_id=run_id, overwrite=overwrite)
    items = embed_items(graph, dataset, spec=spec, ids=ids)
    check_own(output, run_id=run_id)
    measures: dict[str, float] = {}
    if not exact:
        queries = sample_queries(two_tower, model, dataset=dataset, settings=spec.evaluate, most=MEASURED_QUERIES)
        measures = _write_index(items, queries, spec=spec, output=output, run_id=run_id)
    projected = _write_graph(graph, items, spec=spec, output=output, exact=exact, run_id=run_id)
    # By row of the index.
    write_parquet(storage.join(output, ITEMS), items.entities)
    if spec.export.queries:
        write_queries(dataset, output)
    if candidates is not None:
        write_dataset_items(dataset, output)
    made = Manifest(
        stage="export",
        run_id=run_id,
        spec=spec.model_dump(mode="json"),
        spec_digest=spec_digest(spec, "export"),
        inputs=_inputs(model, dataset, candidates=candidates),
        job_options=_job_options(model, dataset),
        counts={"items": len(items), "projected": projected, **({} if candidates is None else candidates.counts)},
        measures=measures,
        vocabularies=model.manifest.vocabularies,
        transform_digest=model.manifest.transform_digest,
        content=items.digests(),
        files=describe_files(output),
    )
    finish_output(output, made)
    return made


def _check_fits(model: FinishedModel, dataset: Dataset, *, spec: Spec, exact: bool) -> None:
    """Checks that a model can read what is served with it, and the queries that an index is measured with.

    Raises:
        StageError: If one of them is of session mode alone or their ids have other pseudonyms; or the model reads a
            feature of items, or of queries that are served or measured with, which the dataset doesn't have or has in
            another kind, or of another size.
    """
    check_same_mode(model, dataset)
    if digests_of(model.manifest) != digests_of(dataset.manifest):
        raise StageError(
            f"{dataset.directory}: expected ids with the pseudonyms of {model.directory}, or none if it has none, got "
            "others (of another key, or other sources.pseudonymise.columns): the model would know none"
        )
    sides: list[SideName] = ["item", "query"] if spec.export.queries or not exact else ["item"]
    for side in sides:
        check_entities(dataset, side, spec=spec)
    if not exact:
        check_context(dataset, model)


def _write_index(items: ServedItems, queries: Embeddings, *, spec: Spec, output: str, run_id: str) -> dict[str, float]:
    """Builds the index, says how well it does, and writes it."""
    from model.serving.item_index import build_index, measure_index, write_index  # noqa: PLC0415  (faiss, which few need)

    print(f"export: index of {len(items):,} items", file=sys.stderr, flush=True)
    index = build_index(items.embeddings, spec.export)
    measures = measure_index(index, items.embeddings, queries=queries, top_k=spec.export.top_k)
    check_own(output, run_id=run_id)
    storage.write_file(storage.join(output, INDEX), lambda file: write_index(index, file))
    return measures


def _write_graph(graph: ServingGraph, items: ServedItems, *, spec: Spec, output: str, exact: bool, run_id: str) -> int:
    """Writes the SavedModel, with the items in it where every item is scored; returns how many the projector shows."""
    with storage.writable_as_local(output) as local, tempfile.TemporaryDirectory() as scratch:
        if exact:
            graph.add_items(ItemTable(items.ids, items.titles, embeddings=items.embeddings, scratch=scratch))
        with written_to(output):
            # A process that opens a new export each night would keep all of them by their gradients.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(graph, local, signatures=graph.signatures(), options=options)
            projected = write_projector(items, storage.join(local, PROJECTOR), most=spec.export.projector_items)
        check_own(output, run_id=run_id)
    return projected


def _inputs(model: FinishedModel, dataset: Dataset, *, candidates: Candidates | None) -> dict[str, str]:
    """What it is made from -> digest."""
    return {
        "model": model.manifest.content_digest,
        "dataset": dataset.manifest.content_digest,
        **({} if candidates is None else {"candidates": candidates.digest}),
        **digests_of(model.manifest),
    }


def _job_options(model: FinishedModel, dataset: Dataset) -> dict[str, str | None]:
    """The model's; where it lies, for who compares the next one with it or trains on from it; of when the items are."""
    end = dataset.manifest.job_options.get("data_end")
    return {
        **model.manifest.job_options,
        "model": storage.absolute(model.directory),
        **({} if end is None else {"items_end": end}),
    }


def _describe(measures: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {value:.3f}" if value <= 1 else f"{value:,.0f} {name}" for name, value in measures.items()
    )


if __name__ == "__main__":
    run_process(main)
