"""TFRecord frames and digests of records."""

import hashlib

import tensorflow as tf

from features.records import add_digests, digest_records, digest_text, frame_records

RECORDS = [b"", b"a", b"\x00" * 1000, "é".encode(), b"a"]


def test_the_frames_are_the_bytes_that_tensorflow_writes(tmp_path):
    path = str(tmp_path / "records")
    with tf.io.TFRecordWriter(path) as writer:
        for record in RECORDS:
            writer.write(record)
    assert frame_records(RECORDS) == (tmp_path / "records").read_bytes()
    assert frame_records([]) == b""


def test_a_digest_is_the_sum_of_the_hashes():
    by_hand = sum(int.from_bytes(hashlib.sha256(record).digest(), "big") for record in RECORDS) % 2**256
    assert digest_records(RECORDS) == by_hand
    assert digest_records([]) == 0
    assert digest_records([b"a"]) != digest_records([b"a", b"a"])


def test_digests_add_up_past_256_bits_and_are_64_hex_digits():
    assert add_digests([2**256 - 1, 2]) == 1
    assert digest_text(1) == "0" * 63 + "1"
