"""The `train:` section."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from harness.config.duration import Duration, TrainingInterval
from harness.config.section import Section
from harness.config.target import EarlyStop, Target


def _on_or_off(value: Any) -> Any:
    """The words that YAML reads as true and false."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class TrainSection(Section):
    """The training: how long, in what batches, in what arithmetic, and what to do if it diverges."""

    length: TrainingInterval = Duration.parse("5 epochs")
    """How long to train; the last step is the first one at or past it."""
    target: Target | None = None
    """End at the first evaluation that reaches this, if it comes before `length`; null for no such end."""
    early_stop: EarlyStop | None = None
    """End where evaluations no longer get better, if that comes before `length`; null for no such end."""
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    """End at the first evaluation after so many seconds of training, compilation and evaluation not counted."""
    global_batch: int = Field(default=128, ge=1, le=2**24)
    """Examples per step, over all replicas of all workers."""
    micro_batch: int | None = Field(default=None, ge=1)
    """At most so many examples at a time on a replica, their gradients accumulated; null for all at once."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Scale the reduced gradient down to this global norm where it is longer; null for never."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which is then what is evaluated and exported."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """What layers compute in; weights, logits, loss, gradients and sums are float32 in any case. float16, with dynamic
    loss scaling, is for GPUs without bfloat16."""
    tf32: bool = False
    """Let GPUs round the factors of float32 products to TF32: faster, but replicas agree less closely than 1e-5."""
    jit: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = "auto"
    """Compile the training steps with XLA; `auto` does so on GPUs, where XLA can compile the model."""
    deterministic: Literal["auto"] | bool = "auto"
    """Use only GPU kernels that give the same bits each time; `auto` does so where the model has them all."""
    on_nonfinite: Literal["stop", "restore"] = "stop"
    """At a loss or gradient that is not finite: stop, or go back to the last checkpoint and skip the data since, up to
    three times."""
    noise_scale: TrainingInterval | None = None
    """How often the norms are measured that tell the gradient noise scale; null for never."""

    @model_validator(mode="after")
    def _has_two_batch_sizes(self) -> Self:
        if self.noise_scale is not None and self.global_batch == 1:
            raise ValueError(
                "noise_scale compares the gradients of two batch sizes, and a global_batch of 1 has no smaller one: "
                "set train.global_batch to 2 or more, or train.noise_scale to null"
            )
        return self
