"""When things happen: durations of the config turned, once, into steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.config import Config
from harness.config.duration import SHARE, Duration


@dataclass(frozen=True)
class Every:
    """The steps at which k · interval examples have been trained on, k = 1, 2, …; each the first at or past it."""

    interval: Fraction
    global_batch: int

    def next_after(self, step: int) -> int:
        """The first such step behind `step`."""
        passed = math.floor(step * self.global_batch / self.interval)
        return math.ceil((passed + 1) * self.interval / self.global_batch)

    def includes(self, step: int) -> bool:
        return self.next_after(step - 1) == step


@dataclass(frozen=True)
class Events:
    """The steps at which training ends, evaluates, saves, and writes histograms and maps; None for never."""

    total_steps: int
    warmup_steps: int
    evaluate: Every
    checkpoint: Every | None
    checkpoint_seconds: float | None
    histograms: Every | None
    maps: Every | None
    callbacks: tuple[Every, ...]
    """One for each of the config's callbacks."""
    noise_scale: int | None
    """Between how many steps one is measured for the noise scale. Chunks are never cut for it."""

    @classmethod
    def of(cls, config: Config, epoch_examples: int, callbacks: Sequence[Duration] = ()) -> "Events":
        """The events of `config` over a training set of `epoch_examples` rows; `callbacks` is how often each of the
        config's is called."""
        global_batch = config.train.global_batch

        def steps(length: Duration) -> int:
            return math.ceil(length.examples(epoch_examples, global_batch) / global_batch)

        def every(interval: Duration) -> Every:
            return Every(interval.examples(epoch_examples, global_batch), global_batch)

        total, warmup = steps(config.train.length), config.schedule.warmup
        if warmup.unit == SHARE:  # which leaves a step of any length to train on
            part = config.train.length.examples(epoch_examples, global_batch) * warmup.amount / 100
            warmup_steps = min(math.ceil(part / global_batch), total - 1)
        else:
            warmup_steps = steps(warmup)
        by_time = config.checkpoint.every.unit == "minutes"
        histograms, noise_scale = config.tensorboard.histograms, config.train.noise_scale
        return cls(
            total_steps=total,
            warmup_steps=warmup_steps,
            evaluate=every(config.evaluate.every),
            checkpoint=None if by_time else every(config.checkpoint.every),
            checkpoint_seconds=config.checkpoint.every.seconds if by_time else None,
            histograms=every(histograms) if histograms else None,
            maps=every(config.insight.every) if config.insight.every else None,
            callbacks=tuple(map(every, callbacks)),
            noise_scale=steps(noise_scale) if noise_scale else None,
        )

    def next_after(self, step: int) -> int:
        """The next step behind `step` at which Python has something to do."""
        pending = [self.evaluate, self.checkpoint, self.histograms, self.maps, *self.callbacks]
        return min(self.total_steps, *(event.next_after(step) for event in pending if event))

    def evaluates(self, step: int) -> bool:
        return step == self.total_steps or self.evaluate.includes(step)

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is due at `step`; those due by time are the clock's business."""
        return step == self.total_steps or bool(self.checkpoint and self.checkpoint.includes(step))

    def writes_histograms(self, step: int) -> bool:
        return bool(self.histograms and self.histograms.includes(step))

    def writes_maps(self, step: int) -> bool:
        return bool(self.maps and self.maps.includes(step))

    def calls_back(self, step: int) -> bool:
        return any(event.includes(step) for event in self.callbacks)

    def measures_noise(self, step: int) -> bool:
        """Whether `step` (1-based) is measured for the noise scale: those behind K, 2K, … updates, never the first."""
        return self.noise_scale is not None and step > 1 and (step - 1) % self.noise_scale == 0
