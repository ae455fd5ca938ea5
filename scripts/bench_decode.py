#!/usr/bin/env python
"""scripts/bench_decode.py [FOLDER | --quick]: how fast image files are decoded into the cache, against a plain tf.data
pipeline of tf.io.decode_jpeg and against plain Pillow in as many processes as there are processors, in turn: the median
of 3 rounds. FOLDER holds class folders of JPEG files, all brought to 224×224; without it, files of three kinds are
generated: three minutes in all. --quick takes a few small ones once, to see that it works.

Each goes from the folder to the pixels, on all processors: listing the files, starting the processes that decode, and
decoding, to the same size, with the accurate transform and a bilinear filter that averages. On top of that ours names
the entry by the files' sizes, times and content, and writes pixels and checksums to disk. Importing TensorFlow and
tracing its pipeline is not counted, as a training has to import it in any case. Ours alone lets the JPEG decoder reduce
what is at least twice too large, and resizes only what is kept of a crop.

The time on the clock means something on a quiet machine alone; images a second of processor time do on a busy one too.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

_ROUNDS = 3
_CASES = {
    "32×32, as they are": (60_000, 32, 32, 32),
    "500×375 to 224": (1000, 375, 500, 224),
    "2000×1500 to 224": (100, 1500, 2000, 224),
}
"""By name: files, height, width, and the size that they are brought to."""
_QUICK = {"a few of 40×30 to 24": (8, 30, 40, 24)}


def main() -> None:
    if len(sys.argv) == 4:
        print(json.dumps(_METHODS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))))
        return
    print(f"{'':22}{'':8}{'images/s':>10}{'a core':>10}{'of the best other':>20}")
    quick = sys.argv[1:] == ["--quick"]
    with tempfile.TemporaryDirectory() as temporary:
        if len(sys.argv) == 2 and not quick:
            _compare(sys.argv[1], Path(sys.argv[1]), 224)
            return
        for number, (name, (count, height, width, size)) in enumerate((_QUICK if quick else _CASES).items()):
            folder = Path(temporary) / str(number)
            _generate(folder / "one", count, height, width)
            _compare(name, folder, size, 1 if quick else _ROUNDS)


def _compare(name: str, folder: Path, size: int, times: int = _ROUNDS) -> None:
    rounds = [{method: _in_a_process(method, folder, size) for method in _METHODS} for _ in range(times)]
    rates = {
        method: [statistics.median(of[method][which] for of in rounds) for which in ("wall", "cpu")]
        for method in _METHODS
    }
    for method, (wall, cpu) in rates.items():
        ratio = ""
        if method == "ours":
            best = [max(rates[other][which] for other in _METHODS if other != "ours") for which in range(2)]
            ratio = f"{wall / best[0]:.2f}, a core {cpu / best[1]:.2f}"
        print(f"{name:22}{method:8}{wall:10,.0f}{cpu:10,.0f}{ratio:>20}")
        name = ""


def _in_a_process(method: str, folder: Path, size: int) -> dict[str, float]:
    command = [sys.executable, __file__, method, str(folder), str(size)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    rates: dict[str, float] = json.loads(ended.stdout)
    return rates


def _generate(folder: Path, count: int, height: int, width: int) -> None:
    """Smooth with some noise, as photographs are to a JPEG decoder: 1 to 2 bits a pixel."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    noise = random.integers(-12, 13, (height, width, 3))
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), int)
        Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=90)


def _timed(work: Callable[[], object], images: int) -> dict[str, float]:
    """Images a second of the clock, and of the processors' time in this process and its children."""
    before, began = _processor_seconds(), time.perf_counter()
    work()
    wall = time.perf_counter() - began
    return {"wall": images / wall, "cpu": images / (_processor_seconds() - before)}


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(of.ru_utime + of.ru_stime for of in used)


def _ours(folder: Path, size: int) -> dict[str, float]:
    from harness.config.data import DataSection
    from harness.data.files.load import load

    data = DataSection(source=f"folder:{folder}", size=size, channels=3)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["HARNESS_CACHE"] = cache
        return _timed(lambda: load(data, lambda line: None), len(_paths(folder)))


def _pillow(folder: Path, size: int) -> dict[str, float]:
    spawning = get_context("spawn")  # as a process of TensorFlow's threads has to

    def work() -> None:
        paths = _paths(folder)
        parts = [(paths[at : at + 64], size) for at in range(0, len(paths), 64)]
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), spawning) as executor:
            for pixels in executor.map(_with_pillow, parts):
                pixels.sum()

    return _timed(work, len(_paths(folder)))


def _with_pillow(part: tuple[list[str], int]) -> np.ndarray:
    paths, size = part
    images = []
    for path in paths:
        with Image.open(path) as image:
            scale = size / min(image.size)
            shape = (round(image.width * scale), round(image.height * scale))
            whole = image.convert("RGB")
            resized = whole if shape == image.size else whole.resize(shape, Image.Resampling.BILINEAR)
        left, top = (shape[0] - size) // 2, (shape[1] - size) // 2
        images.append(np.asarray(resized.crop((left, top, left + size, top + size))))
    return np.stack(images)


def _tf_io(folder: Path, size: int) -> dict[str, float]:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    def read(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
        sides = tf.shape(image)[:2]
        if tf.reduce_all(sides == size):
            return image
        scale = size / tf.reduce_min(sides)
        shape = tf.cast(tf.round(tf.cast(sides, tf.float64) * scale), tf.int32)
        resized = tf.image.resize(image, shape, antialias=True)
        return tf.cast(tf.round(tf.image.resize_with_crop_or_pad(resized, size, size)), tf.uint8)

    def run(paths: list[str]) -> None:
        images = tf.data.Dataset.from_tensor_slices(paths).map(read, num_parallel_calls=tf.data.AUTOTUNE)
        for batch in images.batch(64).prefetch(2):
            batch.numpy()

    paths = _paths(folder)
    run(paths[:64])
    return _timed(lambda: run(_paths(folder)), len(paths))


def _paths(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("*/*.jpg")))


_METHODS = {"ours": _ours, "tf.io": _tf_io, "Pillow": _pillow}

if __name__ == "__main__":
    main()
