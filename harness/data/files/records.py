"""TFRecord files of tf.train.Example, read without TensorFlow: where the records lie, and what one holds.

A record is its length (uint64), a checksum of that, the data and a checksum of these (uint32 each, a masked CRC-32C);
the data are a protocol buffer, of whose fields those of tf.train.Example are walked here. The layout is TensorFlow's,
tensorflow/core/lib/io/record_writer.h.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c

_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")
_HEAD, _TAIL = _LENGTH.size + _CHECKSUM.size, _CHECKSUM.size
_BYTES_LIST, _INT64_LIST = 1, 3


class BadRecord(Exception):
    """A record that is cut off or damaged, or no tf.train.Example with the feature asked for."""


def records_of(path: str | Path) -> Iterator[tuple[int, int]]:
    """Offset and length of the data of each record, in order.

    Raises BadRecord where the file ends inside one, or a length is not the one that was written.
    """
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        at = 0
        while at < size:
            file.seek(at)
            head = file.read(_HEAD)
            if len(head) < _HEAD:
                raise BadRecord(f"the record at byte {at:,} is cut off, or the file is not a TFRecord file")
            written, checksum = head[: _LENGTH.size], head[_LENGTH.size :]
            if not _matches(checksum, written):
                raise BadRecord(f"the record at byte {at:,} is damaged, or the file is not a TFRecord file")
            (length,) = _LENGTH.unpack(written)
            if at + _HEAD + length + _TAIL > size:
                raise BadRecord(f"the record at byte {at:,} is cut off")
            yield at + _HEAD, length
            at += _HEAD + length + _TAIL


def image_in(path: str, offset: int, length: int, feature: str) -> bytes:
    """The encoded image in a record. Raises BadRecord."""
    with open(path, "rb") as file:
        file.seek(offset)
        data, checksum = file.read(length), file.read(_TAIL)
    if not _matches(checksum, data):
        raise BadRecord("is damaged: its checksum does not match")
    kind, value = _feature(memoryview(data), feature)
    if kind != _BYTES_LIST:
        raise BadRecord(f"the feature {feature} holds no encoded image")
    return bytes(value)


def labels_in(path: str | Path, records: list[tuple[int, int]], feature: str) -> list[int | str]:
    """The label of each record, a number or a name. Raises BadRecord, with the record's number."""
    labels: list[int | str] = []
    if not records:
        return labels
    with open(path, "rb") as file:  # mapped, so that the images between the labels are not read
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    for number, (offset, length) in enumerate(records):
        try:
            labels.append(_label(whole[offset : offset + length], feature))
        except BadRecord as error:
            raise BadRecord(f"record {number:,}: {error}") from None
    return labels


def _matches(checksum: bytes, data: bytes) -> bool:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return checksum == _CHECKSUM.pack((rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _label(data: memoryview, feature: str) -> int | str:
    kind, value = _feature(data, feature)
    if kind == _BYTES_LIST:
        return bytes(value).decode(errors="replace")
    if kind != _INT64_LIST:
        raise BadRecord(f"the feature {feature} is neither a number nor a text")
    return int(value)


def _feature(example: memoryview, name: str) -> tuple[int, Any]:
    """Which list the feature of that name holds, and the first value of it: bytes, or an integer."""
    names = []
    try:
        for _, features in _fields(example):
            for _, entry in _fields(features):
                parts = dict(_fields(entry))
                key = bytes(parts[1]).decode(errors="replace")
                names.append(key)
                if key == name:
                    for kind, values in _fields(parts[2]):
                        return kind, _first(kind, values)
    except (IndexError, KeyError, TypeError):
        raise BadRecord("holds no tf.train.Example") from None
    raise BadRecord(f"has no value for the feature {name}; there are {', '.join(sorted(names)) or 'none'}")


def _first(kind: int, values: memoryview) -> Any:
    for _, value in _fields(values):
        if kind != _INT64_LIST:
            if isinstance(value, int):
                raise TypeError(value)
            return value
        number = value if isinstance(value, int) else _varint(value, 0)[0]  # alone, or packed with others
        return number - (1 << 64) if number >> 63 else number
    raise KeyError(kind)


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}[wire]
        if at + length > len(data):
            raise IndexError(at)
        yield tag >> 3, data[at : at + length]
        at += length


def _varint(data: Any, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
