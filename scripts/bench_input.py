#!/usr/bin/env python
"""scripts/bench_input.py: images/s of each source of data, cold and warm, whether that stays flat with the rows, and a
training on 5 GB of images under a limit of 2 GB. Needs 8 GB of disk in --folder and takes seven to ten minutes. --quick
takes a folder of a few image files alone, to see that it works.

Each line is a process of its own, so that its memory is its own too. Images/s are those of the stream of batches, which
nothing computes on: the median of 5 windows, with the lowest and the highest. "Cold" is right after the system was
asked to drop the files from its page cache; "warm", once they have been read. The limit is RLIMIT_DATA, which counts
what a process writes to (heap, stacks, private mappings) and not the pages of a mapped file, which the system takes
back when it needs them. "Memory" is the peak of the anonymous pages, less those before the data were loaded.

What is mapped is compared with the same images in memory, and many rows with few, in one process, in turn, after each
image was read once: the ratio of the medians of 15 windows, on the clock and in processor time, which means something
on a busy machine too.

Image files are decoded by their first load, into the cache on disk; "cold" and "warm" are of that.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_BATCH, _STRETCHES, _TURNS, _PAIRS = 256, 5, 15, 3
_STEPS = 300
_SECONDS = 1.0
"""How long a window lasts."""
_FILES, _A_FEW = 20_000, 40
_DECODED = ("folder", "csv", "tfrecord")
_MIB = 2**20
_HEADING = "source          rows     first load s   again s   cold images/s    warm images/s (lowest, highest)  memory"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the images are made, and removed again")
    parser.add_argument("--rows", type=int, default=6_000_000, help="the most rows, of 8 by 8 pixels")
    parser.add_argument("--bytes", type=int, default=5 * 10**9, help="of the images that are to train in the limit")
    parser.add_argument("--limit", type=int, default=2 * 10**9, help="bytes for that")
    parser.add_argument("--quick", action="store_true", help=f"{_A_FEW} image files for a moment: nothing to publish")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measured(**json.loads(options.measure))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["HARNESS_CACHE"] = f"{folder}/cache"  # what is found out of these images is of no use later
        _files(Path(folder), options.quick)
        if options.quick:
            return
        _sources(Path(folder))
        _rows(Path(folder), options.rows)
        _larger_than_memory(Path(folder), options.bytes, options.limit)


def _files(folder: Path, quick: bool) -> None:
    """JPEG files in folders, in a table and in a TFRecord file, and the pixels that they hold in an .npz file."""
    count, seconds = (_A_FEW, 0.01) if quick else (_FILES, _SECONDS)
    print(f"\n{count:,} JPEG files of 32 by 32 pixels, decoded into the cache, and their pixels in memory\n{_HEADING}")
    pictures, table = folder / "pictures", folder / "table.csv"
    random = np.random.default_rng(0)
    rows = ["path,label"]
    for number in range(count):
        path = pictures / str(number % 2) / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(path, quality=90)
        rows.append(f"{path.relative_to(folder)},{path.parent.name}")
    table.write_text("\n".join(rows) + "\n")
    cached = _child(source=f"folder:{pictures}", seconds=seconds, save=str(folder / "decoded.npz"))
    _print("folder:", cached)
    in_memory = _child(source=f"{folder / 'decoded.npz'}", seconds=seconds, against=f"folder:{pictures}")
    _print(".npz of them", in_memory)
    for name, source in (("csv:", f"csv:{table}"), ("tfrecord:", f"tfrecord:{folder / 'all.tfrecord'}")):
        if not quick:
            _print(name, _child(source=source))
    wall, cpu = in_memory["in_turn"]
    print(f"the warm cache against memory, in processor time: {cpu:.2f}\nthe warm cache against memory: {wall:.2f}")


def _sources(folder: Path) -> None:
    print(f"\n{_HEADING}")
    made = _make(folder / "sources", 60_000, (32, 32, 3))
    arrays = {path.stem: np.load(path) for path in sorted(made.glob("*.npy"))}
    np.savez(made / "all.npz", **arrays)
    idx = folder / "idx"
    idx.mkdir()
    for name, kind in (("train", "train"), ("test", "t10k")):
        for what, letter in (("images-idx4", "x"), ("labels-idx1", "y")):
            array = arrays[f"{letter}_{name}"]
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            (idx / f"{kind}-{what}-ubyte").write_bytes(head + array.tobytes())
    for name, source in [
        (".npz", f"{made}/all.npz"),
        ("idx:", f"idx:{idx}"),
        ("npy: mapped", f"npy:{made}"),
        ("object's read", f"object:{made}"),
        ("fashion_mnist", "fashion_mnist"),
    ]:
        _print(name, _child(source=source))


def _rows(folder: Path, most: int) -> None:
    print("\nfrom few rows to many, 8 by 8 pixels")
    sources: dict[str, list[str]] = {"memory": [], "mapped": []}
    for count in (most // 100, most // 10, most):
        made = _make(folder / f"rows-{count}", count, (8, 8, 1))
        np.savez(made / "all.npz", **{path.stem: np.load(path) for path in sorted(made.glob("*.npy"))})
        sources["memory"].append(f"{made}/all.npz")
        sources["mapped"].append(f"npy:{made}")
    for name, (few, more, many) in sources.items():
        for source in (few, more):
            _print(name, _child(source=source))
        found = _child(source=many, against=few)
        _print(name, found)
        wall, cpu = (1 / times for times in found["in_turn"])
        print(f"{name}: the most rows against the fewest: {wall:.2f}, in processor time {cpu:.2f}")


def _larger_than_memory(folder: Path, size: int, limit: int) -> None:
    print(f"\n{size / 1e9:g} GB of images under {limit / 1e9:g} GB (RLIMIT_DATA), against a tenth of them in memory")
    large = _make(folder / "large", size // 3072, (32, 32, 3))
    small = _make(folder / "small", max(1000, size // 30720), (32, 32, 3))
    np.savez(small / "all.npz", **{path.stem: np.load(path) for path in sorted(small.glob("*.npy"))})
    ratios: dict[str, list[float]] = {
        "the stream": [],
        "the stream of as many": [],
        "that in processor time": [],
        "training": [],
    }
    for _ in range(_PAIRS):
        in_memory = _child(source=f"{small}/all.npz", trains=True, against=f"npy:{small}")
        mapped = _child(source=f"npy:{large}", trains=True, limit=limit)
        for name, found in (("memory", in_memory), ("mapped", mapped)):
            _print(name, found)
            print(f"  trains at {found['trained']:,.0f} images/s; anonymous memory {found['peak'] / _MIB:,.0f} MiB")
        ratios["the stream"].append(statistics.median(mapped["warm"]) / statistics.median(in_memory["warm"]))
        ratios["the stream of as many"].append(in_memory["in_turn"][0])
        ratios["that in processor time"].append(in_memory["in_turn"][1])
        ratios["training"].append(mapped["trained"] / in_memory["trained"])
    for what, of in ratios.items():
        print(f"mapped against memory, {what}: {statistics.median(of):.2f} ({', '.join(f'{one:.2f}' for one in of)})")


def _make(folder: Path, rows: int, shape: tuple[int, int, int]) -> Path:
    """A folder of .npy files with images of noise."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, count in (("train", rows), ("test", 1000)):
        images = np.lib.format.open_memmap(folder / f"x_{name}.npy", "w+", np.uint8, (count, *shape))
        for at in range(0, count, 10_000):
            part = images[at : at + 10_000]
            part[:] = np.frombuffer(random.bytes(part.size), np.uint8).reshape(part.shape)
        images.flush()
        np.save(folder / f"y_{name}.npy", (np.arange(count) % 10).astype(np.uint8))
    return folder


def _print(name: str, found: dict[str, Any]) -> None:
    warm = found["warm"]
    print(
        f"{name:14} {found['rows']:>9,} {found['first_load']:>12.2f} {found['load']:>9.2f} {found['cold']:>15,.0f} "
        f"{statistics.median(warm):>14,.0f} ({min(warm):,.0f}, {max(warm):,.0f})  {found['memory'] / _MIB:,.0f} MiB",
        flush=True,
    )


def _child(**arguments: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{arguments}: {ended.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _measured(
    source: str,
    trains: bool = False,
    limit: int | None = None,
    seconds: float = _SECONDS,
    save: str | None = None,
    against: str | None = None,
) -> dict[str, Any]:
    """In a process of its own: seconds to load, images/s of the stream and, if it `trains`, of a training.

    Args:
        source: as in a config, or `object:FOLDER`.
        limit: bytes that may be written to.
        seconds: how long a window lasts.
        save: an .npz file to write the images to.
        against: another source, of no more images, to be streamed in turn with it.
    """
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    import tensorflow as tf

    from harness.data import sources
    from harness.imports import handed

    tf.random.uniform([3])  # TensorFlow has started
    peak = _Peak()
    before = peak.now()
    kind, _, path = source.partition(":")
    place = Path(path or source)
    if kind == "tfrecord":
        _write_records(place, place.parent / "pictures")
    files = [file for file in (place.iterdir() if place.is_dir() else [place]) if file.is_file()]
    _drop(files)

    def load() -> sources.DataSet:
        with handed({"__main__:<object>": lambda: (_Photos(place, "train"), _Photos(place, "test"))}):
            return sources.load("__main__:<object>" if kind == "object" else source)

    begun = time.perf_counter()
    data = load()
    first_load = time.perf_counter() - begun
    if save:
        np.savez(save, x_train=data.x_train[:], y_train=data.y_train, x_test=data.x_test[:], y_test=data.y_test)
    if kind in _DECODED:
        del data  # what is mapped stays in the page cache
        files = list(Path(os.environ["HARNESS_CACHE"]).rglob("images.npy"))
        _drop(files)
        data = load()
    stream = _stream(data)

    def speed(count: int) -> float:
        return stream(count)[0]

    cold = speed(20)
    _read(files)
    count = max(20, int(speed(max(1, int(200 * seconds))) * seconds / _BATCH))
    warm = [speed(count) for _ in range(_STRETCHES)]
    memory = peak.highest() - before
    in_turn = None if against is None else _in_turn(stream, _stream(sources.load(against)), len(data.y_train), count)
    trained = _trained(source) if trains else None
    begun = time.perf_counter()
    load()
    return {
        "rows": len(data.y_train),
        "first_load": first_load,
        "load": time.perf_counter() - begun,
        "cold": cold,
        "warm": warm,
        "memory": memory,
        "in_turn": in_turn,
        "trained": trained,
        "peak": peak.highest(),
    }


def _stream(data: Any) -> Callable[[int], tuple[float, float]]:
    """A function that takes so many batches: images/s on the clock, and a second of processor time."""
    import tensorflow as tf

    from harness.cluster.batch import BatchPlan
    from harness.data.pipeline import training_batches

    train, _, _ = data.splits(0)
    batches = iter(training_batches(train, 0, BatchPlan(_BATCH, 1), 0, tf.distribute.InputContext()))

    @tf.function
    def take(batches: Any, count: Any) -> Any:
        total = tf.zeros([], tf.int64)
        for _ in tf.range(count):
            total += tf.cast(next(batches).images[-1, 0, 0, 0], tf.int64)
        return total

    def speed(count: int) -> tuple[float, float]:
        begun, used = time.perf_counter(), time.process_time()
        take(batches, tf.constant(count)).numpy()
        images = count * _BATCH
        return images / (time.perf_counter() - begun), images / (time.process_time() - used)

    speed(1)
    return speed


def _in_turn(
    one: Callable[[int], tuple[float, float]], other: Callable[[int], tuple[float, float]], rows: int, batches: int
) -> list[float]:
    """How many times as fast the other is, on the clock and in processor time."""
    for stream in (one, other):
        stream(-(-rows // _BATCH))
    of_one, of_other = zip(*((one(batches), other(batches)) for _ in range(_TURNS)), strict=True)
    return [
        statistics.median(rates[which] for rates in of_other) / statistics.median(rates[which] for rates in of_one)
        for which in range(2)
    ]


def _write_records(file: Path, pictures: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(file)) as records:
        for path in sorted(pictures.glob("*/*.jpg")):
            image = tf.train.BytesList(value=[path.read_bytes()])
            label = tf.train.Int64List(value=[int(path.parent.name)])
            features = {
                "image/encoded": tf.train.Feature(bytes_list=image),
                "image/class/label": tf.train.Feature(int64_list=label),
            }
            records.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def _trained(source: str) -> float:
    """Images/s of some steps with the example's CNN, compiling left out."""
    import harness

    with tempfile.TemporaryDirectory() as folder:
        run = harness.train(
            {"model": {"name": "cnn"}, "data": {"source": source, "validation": 0}},
            Path(folder) / "run",
            quiet=True,
            only_training=True,
            **{"train.length": f"{_STEPS} steps", "train.global_batch": _BATCH},
        )
        assert run is not None
        speeds = [row["images_per_second"] for row in run.read_metrics() if row["split"] == "train"]
    return statistics.median(speeds[1:] or speeds)


class _Photos:
    """An object of the user's own: reads from a file."""

    def __init__(self, folder: Path, split: str) -> None:
        self._images = np.load(folder / f"x_{split}.npy", mmap_mode="r")
        self.labels = np.load(folder / f"y_{split}.npy")

    def __len__(self) -> int:
        return len(self._images)

    def read(self, rows: Any) -> Any:
        return self._images[rows]


class _Peak:
    """The anonymous memory of this process, looked at every 10 ms."""

    def __init__(self) -> None:
        self._highest = self.now()
        threading.Thread(target=self._look, daemon=True).start()

    def now(self) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    def highest(self) -> int:
        return self._highest

    def _look(self) -> None:
        while True:
            self._highest = max(self._highest, self.now())
            time.sleep(0.01)


def _drop(files: list[Path]) -> None:
    """Out of the system's page cache."""
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(files: list[Path]) -> None:
    """Into it."""
    for file in files:
        with file.open("rb", buffering=0) as opened:
            while opened.read(16 * _MIB):
                pass


if __name__ == "__main__":
    main()
