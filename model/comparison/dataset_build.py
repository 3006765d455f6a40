"""Has the dataset of a comparison built, by the command that everybody builds with."""

import json
import subprocess
import sys

from features.dataset import Dataset
from features.spec import Spec
from features.spec_file import SECTIONS_READ
from stage.child_process import end
from stage.errors import Interrupted, StageError, UsageError
from stage.storage import join


def build_dataset(spec: Spec, *, source: str, raw: str | None, directory: str) -> Dataset:
    """Builds it, or finds it as it was left by an earlier command of the same spec and input.

    Args:
        spec: With the share of training pairs that is wanted.
        source: Name or path that the spec was loaded from.
        raw: As `build-dataset` takes it.
        directory: Gets `dataset`.

    Raises:
        StageError: If the build fails, or another spec's or input's dataset is there.
        UsageError: If the spec or the input is wrong.
        Interrupted: If the build, or this process, was interrupted.
    """
    tree = spec.model_dump(mode="json")
    command = [sys.executable, "-m", "pipelines.cli", "run", "--spec", source, "--output", directory]
    command += ["--until", "build-dataset"]
    command += ["--raw", raw] if raw is not None else []
    for section in SECTIONS_READ["build-dataset"]:
        command += ["--set", f"{section}={json.dumps(tree[section])}"]
    # Our stderr by its number: descriptor 2 itself is silenced, against native code.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr.fileno(), process_group=0)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        end(process)
        code = Interrupted.exit_code
    if code == Interrupted.exit_code:
        raise Interrupted("build-dataset: interrupted; the same command goes on from here")
    if code:
        raise (UsageError if code == UsageError.exit_code else StageError)("the dataset could not be built, see above")
    return Dataset.open(join(directory, "dataset"))
