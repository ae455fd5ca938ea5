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
    last: int | None = None
    """A step that counts as one of them."""

    def next_after(self, step: int) -> int:
        """The first such step after `step`."""
        passed = math.floor(step * self.global_batch / self.interval)
        following = math.ceil((passed + 1) * self.interval / self.global_batch)
        return min(following, self.last) if self.last is not None and self.last > step else following

    def includes(self, step: int) -> bool:
        return self.next_after(step - 1) == step


@dataclass(frozen=True)
class Events:
    """The steps at which training ends, and those at which something is due between two chunks; None for never.

    The last step is evaluated and saved. All workers have the same events, as their chunks are cut by them.
    """

    total_steps: int
    warmup_steps: int
    evaluate: Every
    checkpoint: Every | None
    """None too where it goes by the clock."""
    histograms: Every | None
    maps: Every | None
    callbacks: tuple[Every | None, ...]
    """One for each of the config's callbacks; None between all chunks."""
    noise_scale: int | None
    """Between how many steps one is measured for the noise scale. Chunks are never cut for it."""

    @classmethod
    def of(cls, config: Config, epoch_examples: int, callbacks: Sequence[Duration | None] = ()) -> "Events":
        """The events of `config` over a training set of `epoch_examples` rows; `callbacks` is how often each of the
        config's is called."""
        global_batch = config.train.global_batch

        def steps(length: Duration) -> int:
            return math.ceil(length.examples(epoch_examples, global_batch) / global_batch)

        def every(interval: Duration, last: int | None = None) -> Every:
            return Every(interval.examples(epoch_examples, global_batch), global_batch, last)

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
            evaluate=every(config.evaluate.every, total),
            checkpoint=None if by_time else every(config.checkpoint.every, total),
            histograms=every(histograms) if histograms else None,
            maps=every(config.insight.every) if config.insight.every else None,
            callbacks=tuple(every(interval) if interval else None for interval in callbacks),
            noise_scale=steps(noise_scale) if noise_scale else None,
        )

    def next_after(self, step: int) -> int:
        """The next step after `step` at which Python has something to do."""
        pending = [self.evaluate, self.checkpoint, self.histograms, self.maps, *self.callbacks]
        return min(self.total_steps, *(event.next_after(step) for event in pending if event))

    def measures_noise(self, step: int) -> bool:
        """Whether `step` (1-based) is measured for the noise scale: those after K, 2K, … updates, never the first."""
        return self.noise_scale is not None and step > 1 and (step - 1) % self.noise_scale == 0
