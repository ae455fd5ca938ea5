"""The CNN of `mnist` in PyTorch: forward, backward and Adam, as one CUDA graph, on images on the device.

`python torch_peer.py JOB`, with a Python that has torch; nothing of ours is imported. JOB is JSON: {"gpu": whether
to do nothing without one, "batches", "precisions", "seconds": after which nothing is begun, "repeats",
"chunk_seconds"}. It prints a line of JSON for the device, then one for each measurement. On a CPU there is no graph.
"""

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

ROWS = 55_000


def main(job: dict[str, Any]) -> None:
    """Print a line of JSON about PyTorch, and one for each precision and batch.

    Where the job wants a GPU and there is none, the first is all; none is begun after `job["seconds"]`.
    """
    start = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(json.dumps({"peer": "PyTorch", "version": torch.__version__, "on_gpu": device.type == "cuda"}), flush=True)
    if job["gpu"] and device.type != "cuda":
        return
    images = torch.randint(0, 256, (ROWS, 1, 28, 28), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (ROWS,), device=device)
    for precision in job["precisions"]:
        for batch in job["batches"]:
            if time.perf_counter() - start > job["seconds"]:
                return
            order = torch.randint(0, ROWS, (64, batch), device=device)
            step = compiled(images, labels, batch, precision)
            row = timed(step, order, job)
            print(json.dumps({"global_batch": batch, "precision": precision, "step_seconds": row}), flush=True)


def compiled(images: Any, labels: Any, batch: int, precision: str) -> Callable[[Any], None]:
    """A step of training on the rows it is given."""
    device = images.device
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = True
    model = network().to(device, memory_format=torch.channels_last)
    on_gpu = device.type == "cuda"
    adam = torch.optim.Adam(model.parameters(), lr=0.003, fused=on_gpu, capturable=on_gpu)
    rows = torch.zeros(batch, dtype=torch.int64, device=device)
    mixed = torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        with mixed:
            logits = model(images[rows].to(torch.float32) / 255)
        nn.functional.cross_entropy(logits.float(), labels[rows], label_smoothing=0.1).backward()
        adam.step()

    run = graph_of(step) if on_gpu else step

    def on(chosen: Any) -> None:
        rows.copy_(chosen)
        run()

    return on


def network() -> Any:
    """60,554 parameters, as `model: {name: cnn}`."""

    def block(channels: int, filters: int) -> Iterator[Any]:
        yield from (nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2))

    head = (nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(*block(1, 32), *block(32, 64), *block(64, 64), *head)


def graph_of(step: Callable[[], None]) -> Callable[[], None]:
    """The step as one CUDA graph, recorded after a few runs on a stream of its own, as PyTorch asks."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: graph.replay()


def timed(step: Callable[[Any], None], order: Any, job: dict[str, Any]) -> dict[str, float]:
    """Seconds a step, {"median", "min", "max"} over `repeats` windows of about `chunk_seconds`, after a warm-up."""

    def seconds(steps: int) -> float:
        begin = time.perf_counter()
        for n in range(steps):
            step(order[n % len(order)])
        if order.is_cuda:
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / steps

    seconds(5)
    steps = max(1, int(job["chunk_seconds"] / seconds(20)))
    took = [seconds(steps) for _ in range(job["repeats"])]
    return {"median": statistics.median(took), "min": min(took), "max": max(took)}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
