"""The `scale:` section of a batch-size scaling experiment, and the whole config of one."""

import math
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from harness.config.config import Config
from harness.config.duration import Duration, TrainingInterval
from harness.config.section import Section
from harness.config.target import Target, Watched

_MOST_BATCHES = 100


def _expanded(value: Any) -> Any:
    """`{from: 16, to: 4096, factor: 2}` → 16, 32, … 4096."""
    if not isinstance(value, dict):
        return value
    if not {"from", "to"} <= value.keys() <= {"from", "to", "factor"}:
        raise ValueError("write a list, or {from: 16, to: 4096, factor: 2}")
    first, last, factor = value["from"], value["to"], value.get("factor", 2)
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in (first, last, factor)):
        raise ValueError("from, to and factor must be numbers")
    if factor <= 1:
        raise ValueError(f"factor must be above 1, got {factor}")
    if not 1 <= first <= last:
        raise ValueError(f"nothing lies between {first} and {last}")
    count = int(math.log(last / first) / math.log(factor) + 1e-9) + 1
    if count > _MOST_BATCHES:
        raise ValueError(f"{count} batch sizes are too many: at most {_MOST_BATCHES}")
    return sorted({round(first * factor**power) for power in range(count)})


def _distinct(values: list[Any]) -> list[Any]:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{twice[0]:g} is listed twice: leave one out")
    return values


_T = TypeVar("_T")
_Distinct = Annotated[list[_T], Field(min_length=1), AfterValidator(_distinct)]
_Count = Annotated[int, Field(ge=1)]
_Factor = Annotated[float, Field(gt=0)]


class LearningRates(Section):
    """The grid of learning rates from which the best one is selected at each batch size."""

    base: float = Field(gt=0)
    """The rate that is about right at `base_batch`."""
    base_batch: int = Field(ge=1)
    """Where `base` and `train.ema` hold."""
    rule: Literal["linear", "sqrt", "none"] = "sqrt"
    """How the middle of the grid goes with the batch; the rate itself is tuned at each batch."""
    multipliers: _Distinct[_Factor] = Field(default=[0.5, 1.0, 2.0])
    """What is tried at each batch, times the middle."""

    def at(self, global_batch: int) -> list[float]:
        """The rates to try at a batch, rising, to six digits."""
        ratio = global_batch / self.base_batch
        middle = self.base * {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}[self.rule]
        return sorted({float(f"{middle * multiplier:.6g}") for multiplier in self.multipliers})


class Seeds(Section):
    """Rates are selected on some seeds and measured on others, so that no luck of the selection is reported."""

    select: int = Field(default=1, ge=1)
    """On so many seeds the rate of a batch is chosen."""
    report: int = Field(default=5, ge=1)
    """On so many others the steps to target are measured at that rate."""


class ScaleSection(Section):
    """What a batch-size scaling experiment varies, and what a trial is to reach within which budget."""

    global_batches: Annotated[_Distinct[_Count], BeforeValidator(_expanded)]
    """The batch sizes, as a list or as {from: 16, to: 4096, factor: 2}."""
    learning_rate: LearningRates
    seeds: Seeds = Seeds()
    target: Target
    """What training has to reach."""
    evaluate_every: TrainingInterval
    """Examples between evaluations, the same for all batches: `2000 examples`."""
    max_examples: int | None = Field(default=None, ge=1)
    """A trial that has not reached the target by then is missed."""
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    """The same in seconds of training."""
    max_extend: int = Field(default=2, ge=0)
    """How often the rates are extended on a side, at a batch where the best one is the lowest or the highest."""
    replicas: _Distinct[_Count] = Field(default=[1])
    """On so many replicas the images per second of each batch are measured."""
    slurm: dict[str, str | int] = Field(default={})
    """With `--executor slurm`: options of sbatch, such as {partition: gpu, gpus_per_node: 1, time: 60}."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.max_examples is None and self.max_seconds is None:
            raise ValueError("a trial needs a budget: give max_examples, max_seconds or both")
        if self.evaluate_every.unit != "examples":
            raise ValueError(f"evaluate_every: write examples, such as '2000 examples', not '{self.evaluate_every}'")
        if self.max_examples is not None and self.max_examples < self.evaluate_every.amount:
            raise ValueError(f"max_examples {self.max_examples:,} ends before the first evaluation")
        return self


class Experiment(Config):
    """The config of `harness scale run`: that of a run, and what is varied."""

    scale: ScaleSection

    def watched(self) -> dict[str, Watched | None]:
        return {**super().watched(), "scale.target": self.scale.target}

    @model_validator(mode="after")
    def _fit_for_trials(self) -> Self:
        if self.schedule.name != "constant":
            raise ValueError(
                f"schedule.name: {self.schedule.name} falls towards an end of training, which a trial that stops at a "
                "target doesn't have: scale needs constant"
            )
        if self.train.noise_scale is not None and 1 in self.scale.global_batches:
            raise ValueError(
                "scale.global_batches: train.noise_scale has nothing to compare in a batch of 1: leave 1 out"
            )
        if self.train.ema is None:
            raise ValueError("train.ema is null: at a constant rate scale needs averaged weights, such as 0.99")
        return self

    def trial(self, global_batch: int, learning_rate: float, seed: int) -> Config:
        """The config of one trial: an ordinary run that ends at the target.

        The average is to span the same number of examples at every batch, so its decay d at `base_batch` becomes
        d^(B / base_batch) (Busbridge et al. 2023, arXiv 2307.13813, definition 1.2).
        """
        scale, train = self.scale, self.train
        assert train.ema is not None
        length = Duration.parse("1000000 epochs" if scale.max_examples is None else f"{scale.max_examples} examples")
        changes = {
            "length": length,
            "target": scale.target,
            "max_seconds": scale.max_seconds,
            "global_batch": global_batch,
            "ema": min(max(train.ema ** (global_batch / scale.learning_rate.base_batch), 1e-9), 1 - 1e-9),
        }
        own = {name: getattr(self, name) for name in Config.model_fields}
        return Config(
            **own
            | {
                "seed": seed,
                "train": train.model_copy(update=changes),
                "optimizer": self.optimizer.model_copy(update={"learning_rate": learning_rate}),
                "evaluate": self.evaluate.model_copy(update={"every": scale.evaluate_every}),
            }
        )
