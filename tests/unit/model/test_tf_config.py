"""A process's place among the workers, as TF_CONFIG says it."""

import json

import pytest
from tf_configs import tf_config

from model.training.tf_config import ALONE, Worker, read_tf_config
from stage.errors import UsageError


def test_a_place_among_the_workers():
    assert read_tf_config("") == read_tf_config("{}") == ALONE
    assert read_tf_config(tf_config({"worker": ["a:1", "b:2"]}, index=1)) == Worker(1, ("a:1", "b:2"))
    # The chief comes first, then the workers.
    cluster = {"worker": ["b:2", "c:3"], "chief": ["a:1"]}
    assert read_tf_config(tf_config(cluster, "chief")) == Worker(0, ("a:1", "b:2", "c:3"))
    assert read_tf_config(tf_config(cluster, index=1)) == Worker(2, ("a:1", "b:2", "c:3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "got no JSON"),
        ("[]", r"got \[\]"),
        (tf_config({"worker": ["a:1"], "ps": ["b:2"]}), "got tasks of type ps; this training knows chief and worker"),
        *(
            (tf_config({"worker": ["b:65535", address]}), rf'got worker: \["b:65535", {json.dumps(address)}\]')
            for address in ("a", ":1", "a:0", "a:65536", "a:-1", 1)
        ),
        (tf_config({"worker": "a:1"}), 'got worker: "a:1"'),
        (tf_config({"worker": ["a:1", "a:1"]}), "got an address twice: a:1, a:1"),
        (tf_config({"worker": ["a:1", "b:2"]}, index=2), r"which isn't of the cluster \(worker 0, worker 1\)"),
        ('{"cluster": {"worker": ["a:1"]}}', "got task null"),
    ],
)
def test_refuses_another_tf_config(text, message):
    with pytest.raises(UsageError, match=r'^TF_CONFIG: expected \{"cluster"') as error:
        read_tf_config(text)
    with pytest.raises(UsageError, match=message):
        raise error.value
