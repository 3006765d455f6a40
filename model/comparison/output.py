"""A comparison's output directory: who may write there, and the files that follow from its studies."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager

from model.comparison import results_file
from model.comparison.plots import write_plots
from model.comparison.results import read_results
from model.comparison.results_file import Results
from model.comparison.tables import tables
from stage import storage
from stage.errors import StageError, UsageError
from stage.shared_file import locked

TABLES = "tables.md"


def alone(output: str) -> AbstractContextManager[None]:
    """Keeps a second comparison away from the same output, which is made if it isn't there.

    Raises:
        StageError: If there is one, or the output can't be locked.
    """
    refusal = f"{output}: another comparison works there; wait for it, or give another --output"
    return locked(output, name=".lock", refusal=refusal)


def check_spec_name(output: str, spec_name: str | None) -> str | None:
    """The name of the spec that an output is of: as results.json has it, or as given where there is none.

    Raises:
        StageError: If results.json doesn't say so.
        UsageError: If another name is given.
    """
    path = storage.join(output, results_file.NAME)
    stored = results_file.read_spec_name(path) if storage.exists(path) else spec_name
    if spec_name not in (None, stored):
        raise UsageError(f"--spec: expected {stored}, of which {output} is, got {spec_name}")
    return stored


def write_output(output: str, *, spec_name: str, plots: bool, against: Sequence[str]) -> Results:
    """Writes what is known so far."""
    results = read_results(output, spec_name=spec_name, against=against)
    results_file.write_results(storage.join(output, results_file.NAME), results)
    storage.write_bytes(storage.join(output, TABLES), tables(results).encode())
    if plots:
        write_plots(results, storage.join(output, "plots"))
    return results


def rewrite_output(output: str, *, spec_name: str | None, against: Sequence[str]) -> Results:
    """Writes it all anew, without a training.

    Args:
        output: With studies.
        spec_name: Needed where results.json is missing.
        against: Rows beside plain that every row's gains are shown over.

    Raises:
        StageError: If there are no studies, a file isn't whole, or another comparison works there.
        UsageError: If the spec's name isn't known, or is another.
    """
    if not os.path.isdir(storage.join(output, "studies")):
        raise StageError(f"{output}/studies: expected stored trainings, found none")
    path = storage.join(output, results_file.NAME)
    stored = check_spec_name(output, spec_name)
    if stored is None:
        raise UsageError(f"{path}: expected the name of the spec there, which is missing; give --spec")
    with alone(output):
        return write_output(output, spec_name=stored, plots=True, against=against)
