"""What libraries keep of trainings that are over, in a process that goes on to the next one."""

import gc

import keras
from tensorflow.python.framework import ops


def release_trainings() -> None:
    """Lets go of every training of this process: none may be running, nor any other model be differentiated later.

    TensorFlow 2.21 keeps each use of `tf.custom_gradient` in a graph by name, and with it the graph, which on a small
    dataset was 33 MB a training; a comparison has hundreds.
    """
    keras.backend.clear_session()
    registry = ops.gradient_registry._registry
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]
    gc.collect()
