"""What is seen of vectors: their length, and a class that near ones share."""

import numpy as np
import pyarrow as pa

from features.vectors import vector_classes, vector_lengths

KIND = pa.list_(pa.float32())


def _classes(vectors):
    return vector_classes(pa.array(vectors, KIND)).to_pylist()


def _mixed(number):
    """The finaliser of SplitMix64 of a number times its increment, in Python's integers."""
    x = number * 0x9E3779B97F4A7C15 % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        x = (x ^ x >> shift) * factor % 2**64
    return x


def test_a_class_is_the_signs_of_eight_projections():
    vectors = [[3.0, -1.0, 0.25], [0.0, 0.0, -7.0], [1e30, 2e30, -3e30], [1e-40, 0.0, 0.0]]
    expected = []
    for vector in vectors:
        signs = [[1 if _mixed(8 * place + bit) % 2 else -1 for place in range(3)] for bit in range(8)]
        sums = [sum(s * x / max(map(abs, vector)) for s, x in zip(row, vector, strict=True)) for row in signs]
        expected.append(sum(2 ** (7 - bit) for bit in range(8) if sums[bit] > 0))
    assert _classes(vectors) == expected
    assert len(set(expected)) > 1


def test_a_class_is_of_the_direction_alone_and_missing_stays_missing():
    vectors = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    classes = np.array(_classes(vectors.tolist()))
    assert _classes((vectors * 1024).tolist()) == classes.tolist()
    assert _classes((-vectors).tolist()) == (255 - classes).tolist()
    assert _classes([None, vectors[3].tolist(), None, [0.0] * 5]) == [None, classes[3], None, 0]
    assert _classes([None, None]) == [None, None]
    assert _classes([]) == []


def test_of_vectors_at_right_angles_half_of_the_signs_differ():
    draw = np.random.default_rng(1)
    pairs = [np.linalg.qr(draw.normal(size=(16, 2)))[0].T.tolist() for _ in range(500)]
    first, second = (np.array(_classes([pair[side] for pair in pairs])) for side in (0, 1))
    differing = np.mean([bin(a ^ b).count("1") for a, b in zip(first, second, strict=True)])
    assert 3.6 < differing < 4.4  # 4, and a deviation of 0.06
    near = np.array(_classes([[x + 0.01 * y for x, y in zip(*pair, strict=True)] for pair in pairs]))
    assert np.mean(near == first) > 0.9


def test_lengths_are_of_those_that_are_there():
    found = vector_lengths(pa.array([[3.0, 4.0], None, [0.0, 0.0]], KIND))
    assert found.to_pylist() == [5.0, None, 0.0]
    assert vector_lengths(pa.array([None], KIND)).to_pylist() == [None]
