"""Products of float32 in all of its bits."""

import tensorflow as tf


def use_full_float32() -> None:
    """Keeps GPUs from rounding the factors to TF32's 10 bits in this process, which is TensorFlow's default."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
