"""A process that decodes: `python -m harness.data.files.worker` answers jobs, a line of JSON each, to the last.

It is started as a program of its own and not by `multiprocessing`, whose children begin by running the caller's script
again. It imports no TensorFlow, and so starts in a fraction of a second.
"""

import json
import signal
import sys
import warnings
import zlib
from typing import Any

import numpy as np

from harness.data.files.decode import Decoding, Reference, Unreadable, decode, shape_of


def main() -> None:
    """Answer the jobs on standard input, line by line, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the process that started us ends us
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What a job asks for: "shapes" of the images, or images "decode"d into a part of a file.

    Each answer has the unreadable ones as [number in the job, reason]; that of "decode" the CRC-32 of what was written.
    """
    references: list[Reference] = [ref if isinstance(ref, str) else tuple(ref) for ref in job["references"]]
    with warnings.catch_warnings(action="ignore"):  # Pillow's, of unusual files that it reads all the same
        return _shapes(references) if job["do"] == "shapes" else _decoded(references, job)


def _shapes(references: list[Reference]) -> dict[str, Any]:
    found: list[tuple[int, int, int] | None] = []
    unreadable = []
    for number, reference in enumerate(references):
        try:
            found.append(shape_of(reference))
        except Unreadable as error:
            found.append(None)
            unreadable.append([number, str(error)])
    return {"shapes": found, "unreadable": unreadable}


def _decoded(references: list[Reference], job: dict[str, Any]) -> dict[str, Any]:
    settings = job["decoding"]
    size, scale = tuple(settings["size"]), settings["scale"] and tuple(settings["scale"])
    decoding = Decoding(size, settings["resize"], settings["channels"], scale)
    images = np.empty((len(references), *size, settings["channels"]), np.uint8)
    unreadable = []
    for number, reference in enumerate(references):
        try:
            images[number] = decode(reference, decoding)
        except Unreadable as error:
            unreadable.append([number, str(error)])
    data = images.reshape(-1).data
    try:
        with open(job["file"], "r+b") as file:  # written and not mapped, where a full disk would be a SIGBUS
            file.seek(job["offset"])
            file.write(data)
    except OSError as error:
        return {"failed": error.strerror or str(error), "unreadable": []}
    return {"crc": zlib.crc32(data), "unreadable": unreadable}


if __name__ == "__main__":
    main()
