"""What crosses each shuffle of a build: bytes, rows, and the largest group.

    .venv/bin/python tests/benchmarks/shuffles.py --lines 2000000

docs/design/scale.md reckons with these bytes.
"""

import argparse
import os
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import largest_group
from measure import ROOT
from raw_logs import generate

from pipelines import build_dataset
from stage.command_line import run_command
from stage.whole_number import whole_number


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows what crosses each shuffle of a build.")
    parser.add_argument(
        "--lines", type=whole_number(40), default=2_000_000, metavar="N", help="of the log (default 2 M)"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".benchmarks", help="where logs are made and kept")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    raw = generate(work, arguments.lines)
    largest_group.look()
    with tempfile.TemporaryDirectory(dir=work) as directory:
        flags = ["--spec", "synthetic", "--raw", str(raw), "--output", f"{directory}/dataset"]
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            code = run_command(build_dataset.main, flags)
        if code:
            raise SystemExit(code)
    print(f"{'':52} {'bytes':>14} {'rows':>14} {'bytes a line':>13} {'largest group':>14}")
    for label, size in largest_group.ALL_BYTES.most_common():
        if size:
            rows, largest = largest_group.ALL_ROWS[label], largest_group.BYTES[label]
            print(f"{label:52} {size:14,} {rows:14,} {size / arguments.lines:13.2f} {largest:14,}")


if __name__ == "__main__":
    main()
