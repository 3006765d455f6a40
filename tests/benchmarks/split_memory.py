"""What memory reading a training split takes: kept decoded, and as it comes.

    .venv/bin/python tests/benchmarks/split_memory.py --dataset run/dataset

Each is read for an epoch in new processes. Of each the median of the processes' peaks, above what they had before, is
printed in MB and as times the split's gzipped files; for the latter, of those that are in memory at a time.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys

KEPT, STREAMED = "kept", "streamed"
PROCESSES = 3


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what memory reading a training split takes.")
    parser.add_argument("--dataset", required=True, help="directory of a dataset")
    parser.add_argument("--streams", type=int, default=8, help="train.input_streams")
    parser.add_argument("--in-this-process", choices=(KEPT, STREAMED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_this_process:
        print(json.dumps(peak(arguments.dataset, arguments.in_this_process, streams=arguments.streams)))
        return
    for way in (KEPT, STREAMED):
        command = [sys.executable, __file__, *sys.argv[1:], "--in-this-process", way]
        found = [
            json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            for _ in range(PROCESSES)
        ]
        taken, files = statistics.median(taken for taken, _ in found), found[0][1]
        print(f"{way:8}  {files / 1e6:8.1f} MB of files  {taken / 1e6:8.1f} MB  {taken / files:5.1f} times")


def peak(directory: str, way: str, *, streams: int) -> tuple[int, int]:
    """Bytes that an epoch took, and those of the gzipped files that they are to be compared with."""
    import tensorflow as tf  # noqa: PLC0415  (which the calling process needn't load)

    from features.dataset import Dataset  # noqa: PLC0415
    from model.training.batch_streams import training_batches  # noqa: PLC0415
    from model.training.training_examples import training_examples  # noqa: PLC0415

    dataset = Dataset.open(directory)
    train = dataset.spec.train.model_copy(update={"input_streams": streams})
    sizes = [file.size for file in dataset.manifest.files if file.name.startswith("train/")]
    # What TensorFlow takes once, whatever is read.
    list(tf.data.Dataset.range(2).map(lambda n: n + 1, num_parallel_calls=2).prefetch(1))
    before = resident()
    batches = training_batches(training_examples(dataset, train, keep=way == KEPT), train)
    steps = dataset.count_examples(dataset.example_files("train")) // train.batch_size
    for _ in batches.take(steps):
        pass
    return resident() - before, sum(sizes if way == KEPT else sorted(sizes)[-streams:])


def resident() -> int:
    """Bytes of the process's memory at its peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
