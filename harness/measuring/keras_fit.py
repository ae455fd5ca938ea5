"""The tutorial's own way to train the same CNN, to measure ours against: a plain Keras script.

`python -m harness.measuring.keras_fit` prints one JSON object. It starts as the plainest script there can be (import
TensorFlow, build the model, take one step), which is what our start and memory are compared with; so nothing
else of ours is imported until that step is done.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

_WARM_UP_BATCHES = 50


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line says, and print the result as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.measuring.keras_fit", description="Measure keras.Model.fit."
    )
    parser.add_argument("--model", default="cnn", help="cnn or cnn_two_pools")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-shape", type=int, nargs=3, default=(28, 28, 1), metavar=("H", "W", "C"))
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--data", type=json.loads, default={}, help="the section of that name in a config, as JSON")
    parser.add_argument("--seed", type=int, default=0, help="as in a config: by it data.subset is drawn")
    parser.add_argument("--epochs", type=int, default=2, help="how many to time; 0 to stop after the first step")
    given = parser.parse_args(arguments)
    print(json.dumps(measure(**vars(given)), indent=2))


def measure(
    model: str, batch: int, image_shape: Sequence[int], classes: int, data: dict[str, Any], seed: int, epochs: int
) -> dict[str, Any]:
    """Take one step, then time whole epochs of `fit` over the training rows, after a short one to warm up.

    Returns {"first_step": {"seconds" since the process began, "peak_memory_bytes" so far}, "peak_memory_bytes",
    "images_per_second": {"median", "min", "max"} over the epochs}, the last one only where there are epochs.
    """
    from harness import keras_settings

    keras_settings.pin()  # adds nothing to the import of Keras but the values of four settings

    import keras
    import numpy as np

    network = build(model, image_shape, classes)
    network.fit(np.zeros((batch, *image_shape), np.float32), np.zeros(batch, np.int32), batch_size=batch, verbose=0)
    seconds = process_seconds()

    from harness.cluster.strategy import peak_memory_bytes

    result: dict[str, Any] = {"first_step": {"seconds": seconds, "peak_memory_bytes": peak_memory_bytes()}}
    if epochs:
        from harness.config import resolve
        from harness.data import sources

        config = resolve({"data": data, "seed": seed})
        train, _, _ = sources.load(config.data).split_for(config)
        images = train.images[:].astype(np.float32) / np.float32(255)
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_train_begin=lambda logs: ends.append(time.perf_counter()),
            on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()),
        )
        warm_up = slice(_WARM_UP_BATCHES * batch)
        network.fit(images[warm_up], train.labels[warm_up], batch_size=batch, verbose=0)
        network.fit(images, train.labels, batch_size=batch, epochs=epochs, verbose=0, callbacks=[clock])
        speeds = [len(train) / (end - begin) for begin, end in pairwise(ends)]
        result["images_per_second"] = spread(speeds)
    return {**result, "peak_memory_bytes": peak_memory_bytes()}


def build(model: str, image_shape: Sequence[int], classes: int) -> Any:
    """The tutorial's model, compiled: images scaled to 0 … 1 in, logits out."""
    import keras
    from keras import layers

    last_pool = [layers.MaxPooling2D(2)] if model == "cnn" else []
    network = keras.Sequential(
        [
            keras.Input(image_shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            *last_pool,
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer=keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])
    return network


def process_seconds() -> float:
    """Seconds since this process began (to 1/100 s): the interpreter's start and all imports count."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()  # the name before it may hold spaces
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), counted since boot
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def spread(values: Sequence[float]) -> dict[str, float]:
    """{"median", "min", "max"} of some measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
