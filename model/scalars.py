"""Scalars for TensorBoard, which needs to be installed to look at them, not to write them."""

import tensorflow as tf

_METADATA = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
    data_class=1,  # a scalar time series, as in TensorFlow's summary.proto
)


def write_scalar(name: str, value: float | tf.Tensor, *, step: int) -> None:
    """Writes one point of a curve to the default summary writer."""
    tf.summary.write(name, tf.cast(value, tf.float32), step=step, metadata=_METADATA)
