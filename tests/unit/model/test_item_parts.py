"""Which features parts of the items show."""

import numpy as np
import tensorflow as tf
from ragged_lists import ragged

from features.dataset import EncodedFeature
from model.network.item_parts import item_parts


def test_a_part_shows_the_columns_of_features_that_an_item_of_it_has():
    features = [
        EncodedFeature("item/tags", "tags", "multivalued", "tags", 3),
        EncodedFeature("item/size", "size", "numeric", None, 0),
    ]
    parts = [
        {"item/tags": ragged([[0], []]), "item/size": ragged([[], [0.5]], tf.float32)},
        {"item/tags": ragged([[], [], []]), "item/size": ragged([[1.0], [], []], tf.float32)},
        {"item/tags": ragged([[]]), "item/size": ragged([[]], tf.float32)},
    ]
    found = item_parts(parts, features, dim=4)
    np.testing.assert_array_equal(found.sizes, [2, 3, 1])
    np.testing.assert_array_equal(found.shown, [[4, 1], [0, 1], [4, 1]])
