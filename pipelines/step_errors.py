"""What a step of a job says was wrong, out of the error in which an engine wraps it."""

import re


def step_error(text: str) -> str | None:
    """What a step's own StageError says; None: no step raised one.

    Args:
        text: What the engine's error says.
    """
    found = re.findall(r"(?:StageError|StorageError|UsageError): (.*)", text)
    return found[-1].strip() if found else None
