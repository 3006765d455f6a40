"""What a user reads of a failed job, out of what each engine makes of it."""

import pytest

from pipelines.beam.runner import describe_failure
from stage.errors import StageError

_TRACEBACK = """Traceback (most recent call last):
  File "apache_beam/runners/common.py", line 1512, in apache_beam.runners.common.DoFnRunner.process
    return self.do_fn_invoker.invoke_process(windowed_value)
"""
_SPARK = "Pipeline job-1_a8f2 failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness: "
_FUSER = (
    'java.lang.IllegalArgumentException: PCollectionNodes [PCollectionNode{id=ref_83, PCollection=unique_name: "20"'
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{_TRACEBACK}stage.errors.StageError: too many bad lines [while running 'CheckRejects']\n",
            "too many bad lines",
        ),
        (
            f"{_SPARK}{_TRACEBACK}stage.errors.StageError: lines [1] are bad [while running 'X']\n\n",
            "lines [1] are bad",
        ),
        (
            f"{_SPARK}{_TRACEBACK}stage.errors.StorageError: gs://b/items.jsonl: cannot be read: 403\n",
            "gs://b/items.jsonl: cannot be read: 403",
        ),
        (f"{_SPARK}{_TRACEBACK}ValueError: odd [while running 'X']\n", "the job failed: ValueError: odd"),
        (f'Pipeline job failed in state FAILED: {_FUSER}\ncoder_id: "x"\n}}] were lost', f"the job failed: {_FUSER}"),
        *(
            (
                f"{_TRACEBACK}tensorflow.errors_impl.{error}: /a b/assets/x; {reason} [while running 'X']",
                f"/a b/assets/x: cannot be written: {reason}",
            )
            for error, reason in (
                ("ResourceExhaustedError", "No space left on device"),
                ("OutOfRangeError", "File too large"),
            )
        ),
        *(
            (
                f"{before}Graph execution error:\n\nDetected at node x defined at (most recent call last):\n"
                f'  File "keras/engine.py", line 7, in call\n\n{said}\n\t [[{{{{node x}}}}]] [Op:__inference_pruned_9]'
                " [while running 'Encode']",
                expected,
            )
            for before in ("", f"{_TRACEBACK}tensorflow.errors_impl.NotFoundError: ")
            for said, expected in (
                (
                    "/out/assets/x; No such file or directory",
                    "the job failed: /out/assets/x; No such file or directory",
                ),
                ("/out/assets/x; No space left on device", "/out/assets/x: cannot be written: No space left on device"),
            )
        ),
        ("/out/x.pb; No space left on device", "/out/x.pb: cannot be written: No space left on device"),
        ("Connection refused", "the job failed: Connection refused"),
        ("", "the job failed: RuntimeError"),
    ],
)
def test_one_line_says_what_failed(text: str, expected: str) -> None:
    assert describe_failure(RuntimeError(text)) == expected


def test_a_steps_own_error_is_found_behind_others() -> None:
    error = RuntimeError("bundle failed")
    error.__cause__ = StageError("log.jsonl: truncated [while running 'ReadLog']")
    assert describe_failure(error) == "log.jsonl: truncated"
