"""The learning rate at a step."""

import math
from typing import Any

import keras
import tensorflow as tf


class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up from zero to `peak`, then constant, or linear or cosine decay to zero at the end.

    With w warm-up steps of T, at step s = 0, 1, …:
        s < w:     peak · (s + 1) / (w + 1)
        constant:  peak
        linear:    peak · (1 - t)                  with t = (s - w) / (T - w)
        cosine:    peak · (1 + cos(π t)) / 2       (Loshchilov, Hutter 2017, arXiv 1608.03983, eq. 5, without restarts)
    """

    def __init__(self, name: str, peak: float, warmup_steps: int, total_steps: int) -> None:
        super().__init__()
        self.name = name
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> tf.Tensor:
        """The learning rate, a float32 scalar, of 0-based `step`."""
        step = tf.cast(step, tf.float32)
        rising = (step + 1) / (self.warmup_steps + 1)
        t = tf.clip_by_value((step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps), 0.0, 1.0)
        after = {
            "constant": tf.ones_like(t),
            "linear": 1 - t,
            "cosine": (1 + tf.cos(math.pi * t)) / 2,
        }[self.name]
        return self.peak * tf.where(step < self.warmup_steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }
