"""One process that measures the speed of several settings in turn: `python -m harness.gpu_check.measuring JOB`.

JOB is JSON: {"config", "settings": a list of assignments each, "seconds": after which no setting is begun, "repeats",
"chunk_seconds"}. For each setting a line is printed as soon as it is known, {"number", "measured": what
harness.measuring.bench.measure gave, or null, "problem", "left_out": whether time was up}.
"""

import gc
import json
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from harness.cluster.strategy import connect
from harness.config import load
from harness.measuring.bench import measure
from harness.measuring.keras_fit import process_seconds


def main(job: dict[str, Any]) -> None:
    """Measure one of `job["settings"]` after the other, and print a line of JSON for each."""
    for number, assignments in enumerate(job["settings"]):
        if process_seconds() > job["seconds"]:
            row = {"measured": None, "problem": "no time was left", "left_out": True}
        else:
            row = _measured(job, assignments)
        print(json.dumps({"number": number, **row}), flush=True)


def _measured(job: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    try:
        config = load(job["config"], assignments)
        connect(config.cluster)  # asking for the devices before that would settle them otherwise
        gc.collect()  # what the setting before has left on them
        for gpu in tf.config.list_logical_devices("GPU"):
            tf.config.experimental.reset_memory_stats(gpu.name)
        measured = measure(config, job["repeats"], job["chunk_seconds"], quick=True)
    except Exception as error:  # noqa: BLE001  whatever TensorFlow raises for one setting, the others are to be measured
        said = str(error).strip().splitlines() or [type(error).__name__]
        return {"measured": None, "problem": said[0][:300], "left_out": False}
    return {"measured": measured, "problem": None, "left_out": False}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
