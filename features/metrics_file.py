"""Whether a metrics.json is that of an evaluation."""

import json
from collections.abc import Mapping

from features.spec.evaluate import Evaluate
from stage import storage


def why_other_metrics(
    path: str,
    settings: Evaluate,
    *,
    split: str,
    digests: Mapping[str, str],
    candidates: Mapping[str, str | int] | None = None,
) -> str | None:
    """How metrics.json differs from that of an evaluation, in words that follow on its path.

    Args:
        path: The file.
        settings: What is ranked.
        split: Which split.
        digests: Of the dataset's and the model's content, where there is one.
        candidates: The items that are ranked, as metrics.json has them; None: all.

    Returns:
        Empty if it doesn't differ; None if there is none.
    """
    if not storage.exists(path):
        return None
    try:
        found = json.loads(storage.read_bytes(path))
        # No metric depends on the batch size.
        of_file = Evaluate.model_validate({**found["settings"], "batch_size": settings.batch_size})
        differing = [n for n in sorted({*found["digests"], *digests}) if found["digests"].get(n) != digests.get(n)]
        if found["split"] != split:
            differing.append("split")
        if found.get("candidates") != candidates:
            differing.append("choice of items")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is no metrics.json of this version"
    if of_file != settings:
        differing.append("section evaluate")
    return f"was made from another {' and '.join(differing)}" if differing else ""
