"""Measure one config after another in one process, on request: `python -m harness.measuring.bench_requests`.

A line of JSON in, {"config", "assignments", "repeats"}, as in `harness bench --set … --repeats … --quick`; a line out:
{"result": what `bench.measure` gave}, or {"error": a line, "exit_code"} where that raises a HarnessError. Anything else
that is raised ends the process, for who knows in what state TensorFlow is then.
"""

import gc
import json
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

import keras
import tensorflow as tf

from harness.config import load
from harness.errors import HarnessError
from harness.measuring import bench


def main() -> None:
    """Serve standard input to its end."""
    gc.freeze()  # what is imported stays: no collection needs to go through it, nor the one at the process's end
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what is printed elsewhere is not an answer
        serve(sys.stdin, answers)


def serve(requests: Iterable[str], answers: IO[str]) -> None:
    """Answer line by line; each measurement finds the memory free, and the peaks of GPUs are its own."""
    for line in requests:
        print(json.dumps(_answer(**json.loads(line))), file=answers, flush=True)
        keras.backend.clear_session()
        gc.collect()  # a model and its optimizer refer to each other
        for gpu in tf.config.list_logical_devices("GPU"):  # not before the first: asking settles the devices
            tf.config.experimental.reset_memory_stats(gpu.name)


def _answer(config: str, assignments: list[str], repeats: int) -> dict[str, Any]:
    try:
        return {"result": bench.measure(load(config, assignments), repeats, chunk_seconds=0.5, quick=True)}
    except HarnessError as error:
        return {"error": str(error), "exit_code": error.exit_code}


if __name__ == "__main__":
    main()
