"""Muon, for matrices and convolution kernels. Keras's own leaves the kernels of convolutions to AdamW."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from harness.training.layerwise import adams_update, is_bias

_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


class Muon(keras.optimizers.Optimizer):  # type: ignore[misc]
    """Momentum made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).

    With learning rate γ, momentum μ and weight decay λ, for a weight w with gradient g as a matrix,

        m ← μm + g,      w ← w - γ (0.2 √max(rows, columns) · O + λw),      O = orthogonal(g + μm),

    scaled as Liu et al. 2025, arXiv 2502.16982, eq. 4, so that AdamW's γ and λ do for both. A convolution's kernel is a
    matrix of height · width · channels rows, one for each input, and a column for each filter. What the authors leave
    to AdamW goes by it here: biases, scales and offsets, and the last kernel, which gives the logits.
    """

    def __init__(self, learning_rate: Any, momentum: float, weight_decay: float, name: str = "muon") -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, name=name)
        self.momentum = momentum
        self.beta_1, self.beta_2, self.epsilon = 0.9, 0.999, 1e-7

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        kernels = [index for index, variable in enumerate(variables) if not is_bias(variable)]
        self.momentums = self.add_optimizer_variables(variables, "momentum")
        self.velocities = [
            None if index in kernels[:-1] else self.add_variable_from_reference(variable, "velocity")
            for index, variable in enumerate(variables)
        ]

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        momentum, velocity = self.momentums[index], self.velocities[index]
        if velocity is not None:
            self.assign_sub(variable, rate * adams_update(self, gradient, momentum, velocity))
            return
        self.assign(momentum, self.momentum * momentum + gradient)
        matrix = ops.reshape(gradient + self.momentum * momentum, [-1, variable.shape[-1]])
        step = 0.2 * max(matrix.shape) ** 0.5 * orthogonal(matrix)
        self.assign_sub(variable, rate * ops.reshape(step, variable.shape))


def orthogonal(matrix: Any) -> Any:
    """About U Vᵀ of the singular value decomposition U S Vᵀ of `matrix`: singular values of 0.7 to 1.2 in place of S.

    Newton and Schulz's iteration with Jordan's coefficients, whose slope at 0 is steep: five times
    X ← aX + (bXXᵀ + c(XXᵀ)²) X, from the matrix over its Frobenius norm.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if is_tall else matrix
    x /= ops.sqrt(ops.sum(ops.square(x))) + 1e-7
    for _ in range(_ITERATIONS):
        square = x @ ops.transpose(x)
        x = _A * x + (_B * square + _C * square @ square) @ x
    return ops.transpose(x) if is_tall else x
