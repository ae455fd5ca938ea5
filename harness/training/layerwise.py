"""Update rules that scale the step of each weight by its norm, for large batches. Keras has no LARS, and its LAMB
decays weights beside the rule, where the paper has it within."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def is_bias(weight: keras.Variable) -> bool:
    """Whether a weight is a bias, or a scale or offset of normalization: what is a vector, and no kernel is."""
    return len(weight.shape) < 2


class LARS(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Layer-wise adaptive rate scaling (You, Gitman, Ginsburg 2017, arXiv 1708.03888, algorithm 1).

    With learning rate γ, momentum μ, trust coefficient η and weight decay λ, for each weight w with gradient g

        v ← μv + γ · η|w| / (|g| + λ|w|) · (g + λw),      w ← w - v.

    For biases, scales and offsets, and wherever |w| or |g| is 0, the ratio is 1, as in the published ResNet-50 recipes.
    """

    def __init__(
        self,
        learning_rate: Any,
        momentum: float,
        trust_coefficient: float,
        weight_decay: float,
        decay_biases: bool,
        name: str = "lars",
    ) -> None:
        super().__init__(learning_rate, name=name)  # Keras's own decay would come on top
        self.momentum = momentum
        self.trust_coefficient = trust_coefficient
        self.decay = weight_decay
        self.decay_biases = decay_biases

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        momentum = self.momentums[self._get_variable_index(variable)]
        decay = 0.0 if is_bias(variable) and not self.decay_biases else self.decay
        if not is_bias(variable):
            size = _norm(variable)
            rate *= _ratio(self.trust_coefficient * size, _norm(gradient) + decay * size, size, _norm(gradient))
        self.assign(momentum, self.momentum * momentum + rate * (gradient + decay * variable))
        self.assign_sub(variable, momentum)


class LAMB(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Layer-wise adaptive moments (You et al. 2020, arXiv 1904.00962, algorithm 2, with φ the identity).

    With learning rate γ, weight decay λ and Adam's moments m̂ and v̂, for each weight w, biases included,

        r = m̂ / (√v̂ + ε),      w ← w - γ · |w| / |r + λw| · (r + λw),

    where the ratio is 1 if one of the norms is 0. β₁, β₂ and ε are 0.9, 0.999 and 1e-7, as Keras has them.
    """

    def __init__(self, learning_rate: Any, weight_decay: float, decay_biases: bool, name: str = "lamb") -> None:
        super().__init__(learning_rate, name=name)  # Keras's own decay would come on top
        self.beta_1, self.beta_2, self.epsilon = 0.9, 0.999, 1e-7
        self.decay = weight_decay
        self.decay_biases = decay_biases

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        self.momentums, self.velocities = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        update = adams_update(self, gradient, self.momentums[index], self.velocities[index])
        if self.decay_biases or not is_bias(variable):
            update += self.decay * variable
        size, length = _norm(variable), _norm(update)
        self.assign_sub(variable, rate * _ratio(size, length, size, length) * update)


def adams_update(rule: Any, gradient: Any, momentum: keras.Variable, velocity: keras.Variable) -> Any:
    """m̂ / (√v̂ + ε) with the moments as `gradient` leaves them (Kingma, Ba 2015, arXiv 1412.6980, algorithm 1).

    Args:
        rule: has beta_1, beta_2, epsilon, and how many updates were before.
        gradient: of a weight.
        momentum, velocity: of that weight, updated here.
    """
    beta_1, beta_2 = (ops.convert_to_tensor(beta, gradient.dtype) for beta in (rule.beta_1, rule.beta_2))
    updates = ops.cast(rule.iterations + 1, gradient.dtype)
    rule.assign_add(momentum, (gradient - momentum) * (1 - beta_1))
    rule.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - beta_2))
    mean = momentum / (1 - ops.power(beta_1, updates))
    square = velocity / (1 - ops.power(beta_2, updates))
    return mean / (ops.sqrt(square) + rule.epsilon)


def _norm(tensor: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(tensor)))


def _ratio(numerator: Any, denominator: Any, *positive: Any) -> Any:
    """The quotient, or 1 where one of `positive` is 0."""
    is_positive = ops.all(ops.stack(positive) > 0)
    return ops.where(is_positive, numerator / ops.where(is_positive, denominator, 1.0), 1.0)
