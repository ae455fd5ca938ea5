"""The CNN of `mnist` in JAX: 64 steps of forward, backward and Adam in one jitted scan, on images on the device.

`python jax_peer.py JOB`, with a Python that has jax; nothing of ours is imported. JOB and the lines printed are those
of torch_peer.py.
"""

import functools
import json
import statistics
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

ROWS, STEPS = 55_000, 64
SHAPES = {
    "conv_1": (3, 3, 1, 32),
    "conv_2": (3, 3, 32, 64),
    "conv_3": (3, 3, 64, 64),
    "dense": (64, 64),
    "logits": (64, 10),
}
"""Of the kernels; each has a bias: 60,554 parameters, as `model: {name: cnn}`."""


def main(job: dict[str, Any]) -> None:
    """Print a line of JSON about JAX, and one for each precision and batch.

    Where the job wants a GPU and there is none, the first is all; none is begun after `job["seconds"]`.
    """
    start = time.perf_counter()
    on_gpu = jax.default_backend() in ("gpu", "cuda")
    print(json.dumps({"peer": "JAX", "version": jax.__version__, "on_gpu": on_gpu}), flush=True)
    if job["gpu"] and not on_gpu:
        return
    image_key, label_key, order_key = jax.random.split(jax.random.key(0), 3)
    images = jax.random.randint(image_key, (ROWS, 28, 28, 1), 0, 256, jnp.uint8)
    labels = jax.random.randint(label_key, (ROWS,), 0, 10)
    for precision in job["precisions"]:
        for batch in job["batches"]:
            if time.perf_counter() - start > job["seconds"]:
                return
            order = jax.random.randint(order_key, (STEPS, batch), 0, ROWS)
            run = functools.partial(chunk(precision), images, labels, order)
            row = timed(run, job)
            print(json.dumps({"global_batch": batch, "precision": precision, "step_seconds": row}), flush=True)


def parameters(key: Any) -> dict[str, Any]:
    """By layer its kernel, Glorot uniform, and its bias, zeros."""
    glorot = jax.nn.initializers.glorot_uniform()
    keys = jax.random.split(key, len(SHAPES))
    kernels = {name: glorot(own, shape) for own, (name, shape) in zip(keys, SHAPES.items(), strict=True)}
    return {name: (kernel, jnp.zeros(kernel.shape[-1])) for name, kernel in kernels.items()}


def loss(weights: dict[str, Any], images: Any, labels: Any, dtype: Any) -> Any:
    """Mean cross-entropy with 0.1 of the target spread over all classes."""
    x = (images.astype(jnp.float32) / 255).astype(dtype)
    for name in ("conv_1", "conv_2", "conv_3"):
        kernel, bias = (each.astype(dtype) for each in weights[name])
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.nn.relu(lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout) + bias)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    kernel, bias = (each.astype(dtype) for each in weights["dense"])
    x = jax.nn.relu(x.reshape(len(x), -1) @ kernel + bias)
    kernel, bias = weights["logits"]
    target = 0.9 * jax.nn.one_hot(labels, 10) + 0.01
    return -(target * jax.nn.log_softmax(x.astype(jnp.float32) @ kernel + bias)).sum(-1).mean()


def adam(state: Any, gradients: Any) -> Any:
    """Adam (Kingma and Ba 2015, algorithm 1) with a rate of 0.003."""
    step, weights, first, second = state
    step = step + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
    rate = 0.003 * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, first, second)
    return step, weights, first, second


def chunk(precision: str) -> Any:
    """The compiled function (images, labels, rows, state) → (state, losses); the state's memory is used again."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    products = "highest" if precision == "float32" else "default"  # which is TF32 on a GPU

    @functools.partial(jax.jit, donate_argnums=3)
    def run(images: Any, labels: Any, order: Any, state: Any) -> Any:
        def step(state: Any, rows: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(state[1], images[rows], labels[rows], dtype)
            return adam(state, gradients), value

        with jax.default_matmul_precision(products):
            return lax.scan(step, state, order)

    return run


def timed(run: Any, job: dict[str, Any]) -> dict[str, float]:
    """Seconds a step, {"median", "min", "max"} over `repeats` windows of about `chunk_seconds`, after a warm-up."""
    weights = parameters(jax.random.key(0))
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    state = (jnp.zeros((), jnp.int32), weights, *zeros)

    def seconds(chunks: int) -> float:
        nonlocal state
        begin = time.perf_counter()
        for _ in range(chunks):
            state, losses = run(state)
        jax.block_until_ready(losses)
        return (time.perf_counter() - begin) / chunks / STEPS

    seconds(1)
    chunks = max(1, int(job["chunk_seconds"] / (seconds(1) * STEPS)))
    took = [seconds(chunks) for _ in range(job["repeats"])]
    return {"median": statistics.median(took), "min": min(took), "max": max(took)}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
