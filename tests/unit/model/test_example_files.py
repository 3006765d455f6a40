"""What TensorFlow can't read, in one line."""

import pytest
import tensorflow as tf

from model.network.example_files import readable
from model.training.training_examples import training_examples
from stage.errors import StageError


def test_a_damaged_file_is_one_line(make_dataset):
    dataset = make_dataset(corrupt=True)
    reason = r"a record can't be read \(inflate\(\) failed [^\[\]{}\n]+\); --verify names a damaged file, [^\n]+$"
    with pytest.raises(StageError, match=reason):
        training_examples(dataset, dataset.spec.train, keep=True)
    # Inside a graph, as a step reads, TensorFlow's own message begins with a traceback.
    records = iter(tf.data.TFRecordDataset(dataset.example_files("train")[0], "GZIP"))
    with pytest.raises(StageError, match=reason), readable(dataset.directory):
        tf.function(lambda: [next(records) for _ in range(100)])()


def test_a_file_that_may_not_be_read_is_one_line():
    denied = tf.errors.PermissionDeniedError(None, None, "/d/train/a.gz; Permission denied [Op:IteratorGetNext]")
    said = r"^/d: a file may not be read \(/d/train/a.gz; Permission denied\); see to its permissions$"
    with pytest.raises(StageError, match=said), readable("/d"):
        raise denied
