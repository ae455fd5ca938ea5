"""Which entry of the cache holds the images of a listing, decoded in a given way."""

import hashlib
import json
import os
import zlib

from harness.cluster.heartbeat import Heartbeat
from harness.data.files.decode import Decoding
from harness.data.files.listing import Listing
from harness.data.images import evenly

_VERSION = 1
"""Of what decoding gives: raised where the same files and settings give other pixels than before."""
_SAMPLED_FILES, _SAMPLED_BYTES, _SAMPLED_AT_A_BEAT = 1000, 4096, 100


def key_of(listing: Listing, decoding: Decoding) -> str:
    """The name of the entry: 16 hexadecimal digits, by what is decoded how.

    By all files' paths, sizes and times, and by a sample of their content: copies may have the times of others.
    """
    digest = hashlib.sha256(json.dumps([_VERSION, decoding.as_dict(), listing.files]).encode())
    paths = listing.paths
    for path in paths:
        digest.update(os.fsencode(os.path.abspath(path)) + b"\0")
    heartbeat = Heartbeat()
    for number, at in enumerate(evenly(len(paths), _SAMPLED_FILES).tolist()):
        digest.update(_ends_crc(paths[at]).to_bytes(4, "big"))
        if number % _SAMPLED_AT_A_BEAT == 0:
            heartbeat.beat()
    return digest.hexdigest()[:16]


def _ends_crc(path: str) -> int:
    """CRC-32 of a file's first and last bytes; 0 where it can't be read, which decoding it will tell."""
    try:
        with open(path, "rb") as file:
            crc = zlib.crc32(file.read(_SAMPLED_BYTES))
            file.seek(max(0, os.fstat(file.fileno()).st_size - _SAMPLED_BYTES))
            return zlib.crc32(file.read(_SAMPLED_BYTES), crc)
    except OSError:
        return 0
