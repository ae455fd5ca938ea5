"""How fast a config trains here: the compiled loop with nothing around it, and the input pipeline alone."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from harness import keras_settings
from harness.cluster.batch import BatchPlan
from harness.cluster.collective import from_chief
from harness.cluster.strategy import Cluster, connect, describe_device, peak_memory_bytes
from harness.config import Config
from harness.console.terminal import Terminal
from harness.errors import DeviceError, NonFiniteLoss
from harness.measuring.keras_fit import process_seconds, spread
from harness.models.build import builder
from harness.preparation import prepare
from harness.runs import provenance
from harness.training import machine_failures
from harness.training.chunk import Chunk
from harness.training.clock import Clock
from harness.training.compile import compiled_chunk
from harness.training.source import Source
from harness.training.state import State

_WARM_UP_CHUNKS = 2
"""The first is a few steps, from which the pace is known; the second is of full length."""


@keras_settings.pinned()
def measure(config: Config, repeats: int = 7, chunk_seconds: float = 2.0, quick: bool = False) -> dict[str, Any]:
    """Train `config` for `repeats` timed chunks of about `chunk_seconds` each; nothing is written.

    Every worker must call it. Returns the following, where a spread is {"median", "min", "max"} over the chunks:
        device, gpus (how many are visible), cores, replicas, workers, global_batch, versions,
        first_step: {"seconds" since the process began, "peak_memory_bytes" so far},
        compile_seconds, images_per_second and step_seconds (spreads), peak_memory_bytes,
        pipeline_images_per_second (a spread): the input pipeline without training,
        augmentation_seconds_per_image (a spread), where images are augmented: measured last, chunks with it and without
            in turn. On noise alone it may be below zero.

    `quick` is for batches whose steps take seconds: it begins with one step instead of ten and leaves the last two
    out.

    Raises UserError where the devices or data can't be had, NonFiniteLoss when training diverges, OutOfMemory.
    """
    setup = prepare(config)
    cluster = connect(config.cluster, common=config.common(), train=config.train)
    with machine_failures.in_one_line(BatchPlan.of(config.train, cluster.replicas), cluster):
        state = State(config, cluster, setup.events, builder(config, setup.data.image_shape, setup.data.classes))
        clock = Clock()
        with clock.compiling():
            chunk = compiled_chunk(config, cluster, state, setup.train, 0, Terminal(quiet=True).warning)
        train_for = partial(_train, chunk)
        train_for(1)
        first_step = {"seconds": process_seconds(), "peak_memory_bytes": peak_memory_bytes()}
        first_steps = 1 if quick else 10
        training = list(_step_seconds(train_for, chunk.steps.whole, cluster, repeats, chunk_seconds, first_steps))
        batch = config.train.global_batch
        result = {
            "device": describe_device(),
            "gpus": len(tf.config.get_visible_devices("GPU")),
            "cores": len(os.sched_getaffinity(0)),
            "replicas": cluster.replicas,
            "workers": cluster.workers,
            "global_batch": batch,
            "versions": provenance.versions(),
            "first_step": first_step,
            "compile_seconds": clock.compile_seconds,
            "images_per_second": spread([batch / seconds for seconds in training]),
            "step_seconds": spread(training),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        if not quick:
            source = chunk.steps.source
            consume, block = _consumer(cluster, source), source.block or 1
            whole = partial(_blocks, block=block)
            pipeline = list(_step_seconds(consume, whole, cluster, repeats, chunk_seconds / 2, first_steps))
            result["pipeline_images_per_second"] = spread([batch / seconds for seconds in pipeline])
        if not quick and config.data.augmentations:
            data = config.data.model_copy(update={"shift": 0, "augment": []})
            plain_config = config.model_copy(update={"data": data})
            plain = compiled_chunk(plain_config, cluster, state, setup.train, 0, Terminal(quiet=True).warning)
            sides = [
                _step_seconds(partial(_train, side), side.steps.whole, cluster, repeats, chunk_seconds / 2, first_steps)
                for side in (chunk, plain)
            ]
            costs = [(augmented - without) / batch for augmented, without in zip(*sides, strict=True)]
            result["augmentation_seconds_per_image"] = spread(costs)
        return result


def on_replicas(config: Config, count: int) -> Config:
    """The config on that many of its GPUs, or of the machine's; on logical CPUs where there are none.

    Raises DeviceError where there are fewer GPUs.
    """
    if config.cluster.logical_gpus is not None:
        split = config.cluster.model_copy(update={"logical_gpus": count})
        return config.model_copy(update={"cluster": split})
    present = tf.config.list_physical_devices("GPU")
    gpus = (config.cluster.gpus or range(len(present)))[:count] if present else []
    if present and len(gpus) < count:
        raise DeviceError(f"--replicas: {count} replicas need {count} GPUs, and there are {len(gpus)}")
    devices = {"gpus": list(gpus) or None, "logical_cpus": count if count > 1 and not present else None}
    return config.model_copy(update={"cluster": config.cluster.model_copy(update=devices)})


def as_text(result: dict[str, Any]) -> str:
    """What `measure` gave, for a person."""
    first_step = result["first_step"]
    replicas = f"{result['replicas']} replica{'s' if result['replicas'] > 1 else ''}"
    pipeline = result.get("pipeline_images_per_second")
    augmentation = result.get("augmentation_seconds_per_image")
    lines = {
        "device": f"{result['device']}; {replicas}, global batch {result['global_batch']:,}",
        "training": _with_range(result["images_per_second"], "images/s", ",.0f"),
        "step": _with_range(result["step_seconds"], "ms", ",.2f", 1000),
        **({"input pipeline": _with_range(pipeline, "images/s", ",.0f")} if pipeline else {}),
        **({"augmentation": _cost(augmentation)} if augmentation else {}),
        "compile": f"{result['compile_seconds']:.1f} s",
        "first step": f"{first_step['seconds']:.1f} s after the start of the process",
        "peak memory": f"{result['peak_memory_bytes'] / 2**20:,.0f} MiB "
        f"({first_step['peak_memory_bytes'] / 2**20:,.0f} at the first step)",
        "versions": ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
    }
    return "\n".join(f"{name:15} {text}" for name, text in lines.items())


def _cost(seconds: dict[str, float]) -> str:
    """Of augmentation: a difference of two timings, in which a small cost is lost."""
    if seconds["min"] > 0:
        return _with_range(seconds, "µs an image", ",.2f", 1e6)
    return "within the noise" + (f", at most {seconds['max'] * 1e6:,.2f} µs an image" if seconds["max"] > 0 else "")


def _with_range(values: dict[str, float], unit: str, form: str, scale: float = 1) -> str:
    median, low, high = (format(values[key] * scale, form) for key in ("median", "min", "max"))
    return f"{median} {unit} (median; {low} to {high})"


def _blocks(steps: int, block: int) -> int:
    return -(-steps // block) * block


def _train(chunk: Chunk, steps: int) -> None:
    if chunk(steps).steps < steps:
        raise NonFiniteLoss("loss or gradient is not finite: try a lower optimizer.learning_rate")


def _step_seconds(
    run: Callable[[int], None],
    whole: Callable[[int], int],
    cluster: Cluster,
    repeats: int,
    chunk_seconds: float,
    first_steps: int,
) -> Iterator[float]:
    """Seconds per step in each of `repeats` chunks, after the warm-up, each run when it is asked for; `run` is given a
    chunk's number of steps, one that `whole` makes of about so many."""
    clock = Clock()
    for number in range(_WARM_UP_CHUNKS + repeats):
        # All workers must take the same number of steps, so the chief's pace counts.
        pace = clock.steps_in(chunk_seconds) if clock.step_seconds else first_steps
        steps = whole(int(from_chief(cluster, np.array(pace))))
        with clock.training(steps):
            run(steps)
        if number >= _WARM_UP_CHUNKS:
            yield clock.step_seconds


def _consumer(cluster: Cluster, source: Source) -> Callable[[int], None]:
    """Takes a number of steps' elements from the input pipeline, in one compiled loop."""
    strategy, batches = cluster.strategy, source.batches()

    def touch(element: tuple[tf.Tensor, ...]) -> tf.Tensor:
        # An element is whole when it arrives, so one number of each array is use enough for it not to be left out.
        return tf.add_n([tf.cast(tf.reshape(part, [-1])[0], tf.float32) for part in tf.nest.flatten(element)])

    def consume(batches: Iterator[Any], count: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(count):
            total += tf.add_n(strategy.experimental_local_results(strategy.run(touch, args=(cluster.next(batches),))))
        return total

    compiled = tf.function(consume)
    return lambda steps: compiled(batches, tf.constant(source.elements(steps))).numpy()  # reading it waits for the end
