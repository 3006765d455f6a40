"""Loads an export where nothing but TensorFlow can be imported, and answers requests in TensorFlow Serving's REST form.

Keras 3 is not forbidden: TensorFlow brings it along, and loads it by itself.

Reads JSON lines: `signature_name`, and `instances` (an object per row) or `inputs` (a list per input); writes
`predictions` (an object per row) or `outputs` (a list per output).
"""

import importlib.abc
import json
import sys

FORBIDDEN = (
    *("stage", "features", "model", "pipelines", "tf_keras", "tensorflow_transform", "tfx_bsl", "pyarrow"),
    *("pydantic", "apache_beam", "faiss", "scipy", "sklearn", "tensorflow_metadata"),
)


class Forbid(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name.split(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not to be had here")


sys.meta_path.insert(0, Forbid())

import tensorflow as tf  # noqa: E402


def dense(value, spec):
    """A JSON value as the server makes a tensor of it: all lists of a level equally long, numbers for numbers."""
    tensor = tf.constant(value, spec.dtype)
    assert spec.shape.is_compatible_with(tensor.shape), (spec, tensor.shape)
    return tensor


def plain(value):
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


def answer(served, request):
    function = served.signatures[request.get("signature_name", "serving_default")]
    specs = function.structured_input_signature[1]
    rows = request.get("instances")
    named = request.get("inputs") or {name: [row[name] for row in rows] for name in rows[0]}
    outputs = function(**{name: dense(value, specs[name]) for name, value in named.items()})
    columns = {name: plain(tensor.numpy().tolist()) for name, tensor in outputs.items()}
    if rows is None:
        return {"outputs": columns}
    return {"predictions": [{name: column[row] for name, column in columns.items()} for row in range(len(rows))]}


served = tf.saved_model.load(sys.argv[1])
for line in sys.stdin:
    # As the server, which writes no number that JSON lacks.
    print(json.dumps(answer(served, json.loads(line)), allow_nan=False), flush=True)
assert not {name.split(".")[0] for name in sys.modules} & set(FORBIDDEN)
