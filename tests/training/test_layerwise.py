"""LARS, LAMB and Muon against the papers' equations in NumPy, and against Keras where Keras has the same."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.config.optimizer import LAMB, LARS, AdamW, Lion, Muon
from harness.training import muon
from harness.training.optimizer import preconditioner, update_rule
from harness.training.packing import Packing
from harness.training.schedule import WarmupThenDecay

RATE = 0.5
SHAPES = {
    "conv_kernel": (2, 2, 3, 4),
    "conv_bias": (4,),
    "dense_kernel": (4, 6),
    "logits_kernel": (6, 3),
    "scale": (3,),
}
KERNELS = [name for name in SHAPES if name.endswith("kernel")]
SCHEDULE = WarmupThenDecay("constant", RATE, 0, 1)
RANDOM = np.random.default_rng(0)
WEIGHTS = {name: RANDOM.normal(size=shape) for name, shape in SHAPES.items()}
GRADIENTS = [{name: RANDOM.normal(size=shape) for name, shape in SHAPES.items()} for _ in range(3)]


def trained(section: Any, gradients: list[dict[str, Any]] = GRADIENTS, weights: Any = WEIGHTS) -> dict[str, Any]:
    """The weights after an update by each of the gradients, at a constant rate."""
    variables = [keras.Variable(weight, dtype=str(weight.dtype), name=name) for name, weight in weights.items()]
    packing = Packing(variables)
    rule = update_rule(section, SCHEDULE, variables, packing)
    slots, vector = [slot.value for slot in rule.optimizer.variables], packing.pack(list(weights.values()))
    for gradient in gradients:
        vector, slots = rule.apply(slots, packing.pack([tf.constant(g) for g in gradient.values()]), vector)
    assert rule.optimizer.iterations.numpy() == 0  # nothing was assigned
    return dict(zip(weights, (part.numpy() for part in packing.unpack(vector)), strict=True))


def assert_equal(actual: dict[str, Any], expected: dict[str, Any], rtol: float = 1e-6) -> None:
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=rtol, atol=1e-9, err_msg=name)


def norm(array: Any) -> Any:
    return np.linalg.norm(array.ravel())


@pytest.mark.parametrize("decay_biases", [False, True])
def test_lars_is_that_of_the_paper(decay_biases: bool) -> None:
    section = LARS(momentum=0.8, trust_coefficient=0.01, weight_decay=0.1, decay_biases=decay_biases)
    expected = {}
    for name, weight in WEIGHTS.items():
        w, v = weight.copy(), np.zeros_like(weight)
        for gradient in GRADIENTS:
            g, decay = gradient[name], 0.1 if name in KERNELS or decay_biases else 0.0
            ratio = 0.01 * norm(w) / (norm(g) + decay * norm(w)) if name in KERNELS else 1.0
            v = 0.8 * v + RATE * ratio * (g + decay * w)
            w = w - v
        expected[name] = w
    assert_equal(trained(section), expected)


def adams_updates(name: str) -> Any:
    """m̂ / (√v̂ + ε) behind each of the gradients, which don't depend on the weights here."""
    m = v = np.zeros(SHAPES[name])
    for t, gradient in enumerate(GRADIENTS, 1):
        m, v = 0.9 * m + 0.1 * gradient[name], 0.999 * v + 0.001 * gradient[name] ** 2
        yield m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)


@pytest.mark.parametrize("decay_biases", [False, True])
def test_lamb_is_that_of_the_paper(decay_biases: bool) -> None:
    expected = {}
    for name, weight in WEIGHTS.items():
        w = weight.copy()
        for r in adams_updates(name):
            update = r + 0.1 * w if name in KERNELS or decay_biases else r
            w = w - RATE * norm(w) / norm(update) * update
        expected[name] = w
    assert_equal(trained(LAMB(weight_decay=0.1, decay_biases=decay_biases)), expected)


def test_lamb_without_decay_is_that_of_keras() -> None:
    of_keras = [keras.Variable(weight, dtype="float64") for weight in WEIGHTS.values()]
    rule = keras.optimizers.Lamb(RATE)
    for gradient in GRADIENTS:
        rule.apply([tf.constant(g) for g in gradient.values()], of_keras)
    expected = dict(zip(WEIGHTS, (variable.numpy() for variable in of_keras), strict=True))
    assert_equal(trained(LAMB(weight_decay=0.0)), expected, rtol=1e-4)  # Keras rounds β₁ and β₂ to float32


@pytest.mark.parametrize("section", [LARS(weight_decay=0.0), LAMB(weight_decay=0.0)], ids=lambda section: section.name)
def test_a_kernel_or_gradient_of_zero_gives_no_nan(section: Any) -> None:
    zeros, ones = {"kernel": np.zeros((2, 3))}, {"kernel": np.ones((2, 3))}
    still = trained(section, [zeros], ones)["kernel"]
    np.testing.assert_array_equal(still, ones["kernel"])
    moved = trained(section, [ones], zeros)["kernel"]
    np.testing.assert_allclose(moved, np.full((2, 3), -RATE), rtol=1e-5)  # the ratio is 1


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (4, 4), (5, 1)])
def test_singular_values_become_about_1_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).normal(size=shape)
    u, s, vt = np.linalg.svd(muon.orthogonal(tf.constant(matrix)).numpy(), full_matrices=False)
    assert s.min() > 0.6
    assert s.max() < 1.25
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    aligned = left.T @ (u @ np.diag(s) @ vt) @ right.T
    np.testing.assert_allclose(aligned, np.diag(np.diag(aligned)), atol=1e-9)
    assert np.diag(aligned).min() > 0


def newton_schulz(matrix: Any) -> Any:
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        x = 3.4445 * x + -4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
    return x


def test_muon_is_that_of_the_paper_with_flattened_convolutions_and_adamw_for_the_rest() -> None:
    expected = {}
    for name, weight in WEIGHTS.items():
        w = weight.reshape(-1, weight.shape[-1]) if name in KERNELS else weight
        m = np.zeros_like(w)
        for gradient, adams in zip(GRADIENTS, adams_updates(name), strict=True):
            if name in ("conv_kernel", "dense_kernel"):
                g = gradient[name].reshape(w.shape)
                m = 0.8 * m + g
                step = 0.2 * np.sqrt(max(w.shape)) * newton_schulz(g + 0.8 * m)
            else:
                step = adams.reshape(w.shape)
            w = w - RATE * (step + 0.1 * w)
        expected[name] = w.reshape(weight.shape)
    assert_equal(trained(Muon(momentum=0.8, weight_decay=0.1)), expected)


def test_muon_on_matrices_is_that_of_keras() -> None:
    names = ["dense_kernel", "logits_kernel", "scale"]
    weights = {name: WEIGHTS[name].astype(np.float32) for name in names}
    of_keras = [keras.Variable(weight, dtype="float32", name=name) for name, weight in weights.items()]
    rule = keras.optimizers.Muon(RATE, weight_decay=0.1, adam_weight_decay=0.1, exclude_layers=["logits"])
    gradients = [{name: gradient[name].astype(np.float32) for name in names} for gradient in GRADIENTS]
    for gradient in gradients:
        rule.apply([tf.constant(g) for g in gradient.values()], of_keras)
    expected = dict(zip(weights, (variable.numpy() for variable in of_keras), strict=True))
    assert_equal(trained(Muon(weight_decay=0.1), gradients, weights), expected, rtol=1e-4)


@pytest.mark.parametrize("section", [AdamW, Lion, Muon], ids=lambda section: str(section.__name__))
def test_decay_leaves_out_biases_on_request(section: Any) -> None:
    spared, decayed, free = (
        trained(section(weight_decay=decay, decay_biases=biases))
        for decay, biases in ((0.1, False), (0.1, True), (0.0, True))
    )
    for name in SHAPES:
        np.testing.assert_allclose(spared[name], decayed[name] if name in KERNELS else free[name], rtol=1e-12)
        assert not np.allclose(decayed[name], free[name])


def test_adams_factors_are_in_the_order_of_the_packed_gradient() -> None:
    variables = [keras.Variable(weight, dtype="float64", name=name) for name, weight in WEIGHTS.items()]
    packing = Packing(variables)
    gradient = packing.pack(list(GRADIENTS[0].values()))
    factors = []
    for biases in (True, False):
        rule = update_rule(AdamW(decay_biases=biases), SCHEDULE, variables, packing)
        assert rule.is_packed is biases
        _, slots = rule.apply([slot.value for slot in rule.optimizer.variables], gradient, gradient)
        factor = preconditioner(rule.optimizer, slots)
        assert factor is not None
        factors.append(factor)
    np.testing.assert_allclose(factors[0], factors[1], rtol=1e-12)


def test_a_weight_with_a_constraint_is_held_to_it() -> None:
    held = keras.Variable(-WEIGHTS["dense_kernel"], dtype="float64", name="kernel")
    held.constraint = keras.constraints.NonNeg()
    packing = Packing([held])
    rule = update_rule(AdamW(), SCHEDULE, [held], packing)
    vector = tf.reshape(tf.constant(GRADIENTS[0]["dense_kernel"]), [-1])
    updated, _ = rule.apply([slot.value for slot in rule.optimizer.variables], vector, vector)
    assert 0 == updated.numpy().min() < updated.numpy().max()


@pytest.mark.parametrize(("section", "slots"), [(AdamW(), 2.0), (Lion(), 1.0), (LARS(), 1.0), (LAMB(), 2.0)])
def test_slots_are_counted(section: Any, slots: float) -> None:
    variables = [keras.Variable(weight, dtype="float64", name=name) for name, weight in WEIGHTS.items()]
    assert update_rule(section, SCHEDULE, variables, Packing(variables)).slots == slots


def test_muon_keeps_second_moments_where_adamw_needs_them() -> None:
    variables = [keras.Variable(weight, dtype="float64", name=name) for name, weight in WEIGHTS.items()]
    sizes = {name: weight.size for name, weight in WEIGHTS.items()}
    by_muon = sizes["conv_kernel"] + sizes["dense_kernel"]
    expected = 2 - by_muon / sum(sizes.values())
    assert update_rule(Muon(), SCHEDULE, variables, Packing(variables)).slots == pytest.approx(expected)
