"""A weight that several parts of a step use, with a gradient of the same bits whenever which part is done.

TensorFlow's sum of three or more gradients begins with one whose memory nothing else needs any more. Where other
operations read them too, that is a matter of the moment, and so is the sum's last bit: on a busy machine 16 of 100
times ten steps of CFM ended in other bits than in another training of the same seed.
"""

import tensorflow as tf


def uses(weight: tf.Tensor, count: int) -> list[tf.Tensor]:
    """The weight for each of so many uses, whose gradients are added up in their order.

    Args:
        weight: Of any shape; copied for each use, so a small one.
        count: How many uses.
    """
    return tf.unstack(tf.broadcast_to(weight, tf.concat([[count], tf.shape(weight)], axis=0)), num=count)
