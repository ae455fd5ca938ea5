"""The `schedule:` and the `optimizer:` section. The optimizer's `name` decides which further keys there are.

In the equations w is a weight (a kernel, a bias, …), g its gradient and γ the learning rate of the step.
"""

import json
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from harness.config.duration import Duration, TrainingShare
from harness.config.section import OWN, OpenSection, Section, tag_of

LearningRate = Annotated[float, Field(gt=0)]
WeightDecay = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
DecayBiases = Annotated[
    bool, Field(description="false: weight decay leaves out biases, and the scales and offsets of normalization.")
]

_DONE_ELSEWHERE = {
    "use_ema": "train.ema",
    "gradient_accumulation_steps": "train.micro_batch",
    "loss_scale_factor": "train.precision: float16",
}
"""What any Keras optimizer can be told to do and the training loop does, by the key that asks for it."""


class Adam(Section):
    """The default: the step of each weight is scaled by the size of its recent gradients."""

    name: Literal["adam"] = "adam"
    """Adam (Kingma, Ba 2015, arXiv 1412.6980)."""
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""


class AdamW(Section):
    """Adam, with weights drawn towards zero apart from the gradient."""

    name: Literal["adamw"] = "adamw"
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019, arXiv 1711.05101)."""
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""
    weight_decay: WeightDecay = 0.004
    """Decoupled weight decay, multiplied by the learning rate of the step."""
    decay_biases: DecayBiases = True


class SGD(Section):
    """Steps along the gradient, at one learning rate for all weights."""

    name: Literal["sgd"] = "sgd"
    """Stochastic gradient descent with momentum."""
    learning_rate: LearningRate = 0.1
    """The peak, reached after warm-up."""
    momentum: Momentum = 0.9
    """Share of the last update that is kept; 0 for none."""
    nesterov: bool = False
    """Nesterov's momentum (Sutskever et al. 2013, ICML, eq. 3 and 4)."""

    @model_validator(mode="after")
    def _has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov has no effect with a momentum of 0: set momentum, or leave nesterov out")
        return self


class LAMB(Section):
    """For large batches: Adam's update scaled to the norm of each weight."""

    name: Literal["lamb"] = "lamb"
    """LAMB (You et al. 2020, arXiv 1904.00962, algorithm 2): with r Adam's update and λ the weight decay,
    w ← w - γ · |w| / |r + λw| · (r + λw)."""
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up."""
    weight_decay: WeightDecay = 0.01
    """λ, within the update whose length is made the weight's."""
    decay_biases: DecayBiases = False


class Lion(Section):
    """Steps of the same size for all weights, and half of Adam's state."""

    name: Literal["lion"] = "lion"
    """Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2): the sign of a momentum."""
    learning_rate: LearningRate = 0.0003
    """The peak, reached after warm-up: 3 to 10 times less than Adam's."""
    weight_decay: WeightDecay = 0.04
    """Decoupled weight decay, multiplied by the learning rate of the step: 3 to 10 times AdamW's."""
    decay_biases: DecayBiases = True


class LARS(Section):
    """For large batches: SGD's update scaled to the norm of each weight."""

    name: Literal["lars"] = "lars"
    """LARS (You, Gitman, Ginsburg 2017, arXiv 1708.03888, algorithm 1): with trust coefficient η and weight decay λ,
    v ← μv + γ · η|w| / (|g| + λ|w|) · (g + λw), w ← w - v; for biases and scales the ratio is 1."""
    learning_rate: LearningRate = 0.1
    """The peak, reached after warm-up; biases move at it as by SGD, so without normalization it can't be much above."""
    momentum: Momentum = 0.9
    """μ: share of the last update that is kept; 0 for none."""
    trust_coefficient: float = Field(default=0.02, gt=0)
    """η: at γ = 1 a step without momentum moves a weight by this share of its norm. The usual 0.001 goes with learning
    rates of 2 to 30, in networks with batch normalization."""
    weight_decay: WeightDecay = 0.0001
    """λ, added to the gradient."""
    decay_biases: DecayBiases = False


class Muon(Section):
    """Orthogonal updates for all kernels but the last; AdamW for it and for all else."""

    name: Literal["muon"] = "muon"
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) as scaled by Liu et al. 2025, arXiv
    2502.16982, eq. 4: m ← μm + g, w ← w - γ (0.2 √max(rows, columns) · O + λw), where O is g + μm made orthogonal. A
    convolution kernel is a matrix of height · width · channels rows; biases, scales and the last kernel go by AdamW."""
    learning_rate: LearningRate = 0.003
    """The peak, reached after warm-up; right for AdamW, right for Muon."""
    momentum: Momentum = 0.95
    """μ: share of the momentum that is kept; 0 for none."""
    weight_decay: WeightDecay = 0.004
    """λ: decoupled weight decay, multiplied by the learning rate of the step."""
    decay_biases: DecayBiases = True


class ImportedOptimizer(OpenSection):
    """Any further key is handed to the class as a keyword argument."""

    name: str = Field(default=OWN, pattern=":")
    """The import path of a Keras optimizer class: keras.optimizers:Nadam, or one of your own, such as my_rules:Mine."""
    learning_rate: LearningRate
    """The peak, reached after warm-up."""

    @model_validator(mode="after")
    def _is_for_the_class(self) -> Self:
        for key, value in self.arguments.items():
            if key in _DONE_ELSEWHERE:
                raise ValueError(f"{key} is not for the optimizer here: set {_DONE_ELSEWHERE[key]}")
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                raise ValueError(
                    f"{key} must be a finite number, text, true, false, null, or a list or section of these"
                ) from None
        return self


OptimizerSection = Annotated[
    Annotated[Adam, Tag("adam")]
    | Annotated[AdamW, Tag("adamw")]
    | Annotated[SGD, Tag("sgd")]
    | Annotated[LAMB, Tag("lamb")]
    | Annotated[Lion, Tag("lion")]
    | Annotated[LARS, Tag("lars")]
    | Annotated[Muon, Tag("muon")]
    | Annotated[ImportedOptimizer, Tag(OWN)],
    Discriminator(lambda section: tag_of(section, "adam")),
]


class ScheduleSection(Section):
    """The course of the learning rate: warm-up, then constant or falling."""

    name: Literal["constant", "linear", "cosine"] = "linear"
    """What the learning rate does after warm-up: stay, or fall to zero at the end of training."""
    warmup: TrainingShare = Duration.parse("20 %", ("%",))
    """How long the learning rate rises linearly from zero first: a share of `train.length`, or a length of its own."""
