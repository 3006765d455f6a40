"""Encoded halves: entities as serialized tf.Examples that are joined by putting one behind the other.

Protocol buffers merge by concatenation: the bytes of an Example with the query's features followed by those of one with
the item's are an Example with both, as long as no key stands in both. Encoding is done for whole columns at once.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.ranges import offsets

# Field number and wire type 2 (length-delimited) of tf.train.Example and of the messages in it.
_FEATURES = b"\x0a"
_ENTRY = b"\x0a"
_KEY = b"\x0a"
_VALUE = b"\x12"
_LIST = {"bytes": b"\x0a", "float": b"\x12", "int64": b"\x1a"}
_PACKED = b"\x0a"


def encode_half(columns: Mapping[str, pa.Array]) -> pa.Array:
    """Serializes rows as tf.Examples.

    Args:
        columns: Key -> string or binary [n], int64 [n], or lists of string, binary, int64 or float32 [n], no nulls. A
            key with an empty list is left out of its row's Example.

    Returns:
        large_binary [n].
    """
    entries = [_entries(key, column) for key, column in columns.items()]
    features = _join(*entries)
    return _join(_FEATURES, _varint_lengths(features), features)


def join_halves(*halves: pa.Array) -> pa.Array:
    """Examples out of the halves of their query and item, and in session mode of the pair, large_binary [n] each."""
    return _join(*halves)


def _entries(key: str, column: pa.Array) -> pa.Array:
    """One entry of the feature map per row: empty for an empty list, else tagged and with its length."""
    kind, values = _value_lists(column)
    value = _join(_LIST[kind], _varint_lengths(values), values)
    name = key.encode()
    entry = _join(_KEY + _varint(len(name)) + name + _VALUE, _varint_lengths(value), value)
    tagged = _join(_ENTRY, _varint_lengths(entry), entry)
    return pc.if_else(pc.equal(pc.binary_length(values), 0), pa.scalar(b"", pa.large_binary()), tagged)


def _value_lists(column: pa.Array) -> tuple[str, pa.Array]:
    """The kind of list, and per row the serialized BytesList, FloatList or Int64List; empty where it holds nothing."""
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        values = column.cast(pa.large_binary())
        return "bytes", _join(_PACKED, _varint_lengths(values), values)
    if pa.types.is_int64(column.type):
        counts, flat = np.ones(len(column), np.int64), column.to_numpy()
    else:
        counts = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
        if not pa.types.is_primitive(column.type.value_type):
            return "bytes", _bytes_lists(column.flatten().cast(pa.large_binary()), counts)
        flat = column.flatten().to_numpy()
    if flat.dtype == np.float32:
        kind, packed = "float", _binary(flat.astype("<f4").view(np.uint8), counts * 4)
    else:
        data, lengths = _varints(flat.astype(np.int64).view(np.uint64))
        bounds = offsets(lengths)[offsets(counts)]
        kind, packed = "int64", _binary(data, np.diff(bounds))
    filled = _join(_PACKED, _varint_lengths(packed), packed)
    empty = pc.equal(pc.binary_length(packed), 0)
    return kind, pc.if_else(empty, pa.scalar(b"", pa.large_binary()), filled)


def _bytes_lists(flat: pa.Array, counts: npt.NDArray[np.int64]) -> pa.Array:
    tagged = _join(_PACKED, _varint_lengths(flat), flat)
    lists = pa.LargeListArray.from_arrays(pa.array(offsets(counts)), tagged)
    return pc.binary_join(lists, pa.scalar(b"", pa.large_binary()))


def _varints(values: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Base-128 varints one behind the other, and the length of each."""
    bits = int(values.max(initial=0)).bit_length()
    width = max(1, -(-bits // 7))
    lengths = np.ones(len(values), np.int64)
    for more in range(1, width):
        lengths += values >= np.uint64(1 << 7 * more)
    if width == 1:
        return values.astype(np.uint8), lengths
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(7)
    digits = ((values[:, None] >> shifts) & np.uint64(0x7F)).astype(np.uint8)
    place = np.arange(width)
    digits |= np.where(place < lengths[:, None] - 1, np.uint8(0x80), np.uint8(0))
    return digits[place < lengths[:, None]], lengths


def _varint_lengths(texts: pa.Array) -> pa.Array:
    """The length of each text as a varint, large_binary [n]."""
    data, lengths = _varints(pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.uint64))
    return _binary(data, lengths)


def _varint(value: int) -> bytes:
    return _varints(np.array([value], np.uint64))[0].tobytes()


def _binary(data: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets(lengths)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers)


def _join(*parts: pa.Array | bytes) -> pa.Array:
    scalars = [pa.scalar(part, pa.large_binary()) if isinstance(part, bytes) else part for part in parts]
    return pc.binary_join_element_wise(*scalars, pa.scalar(b"", pa.large_binary()))
