"""`train.jit`: what XLA compiles, and that it computes the same."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.initializers import GlorotUniform

from harness.config import Config
from harness.training.chunk import Chunk
from harness.training.fused import Fused
from harness.training.state import State
from harness.training.stepwise import Stepwise

Begin = Callable[..., tuple[State, Chunk]]
SmallTraining = Callable[..., Config]
ADAM = {"name": "adam", "learning_rate": 0.003}
HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


def small_cnn() -> keras.Model:
    """All that a CNN has, and little for XLA to compile."""
    pixels = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(3, 3, strides=2, activation="relu", kernel_initializer=GlorotUniform(1))(
        keras.layers.Rescaling(1 / 255)(pixels)
    )
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(3)(x))
    return keras.Model(pixels, keras.layers.Dense(10, kernel_initializer=GlorotUniform(2))(x))


def weights(state: State) -> Any:
    return state.packing.pack([weight.value for weight in state.model.trainable_variables]).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("count", "micro_batch", "placement"), [(1, None, "host"), (1, 3, "device"), (2, 3, "host")])
def test_weights_are_those_of_uncompiled_code(
    begin: Begin, small_training: SmallTraining, count: int, micro_batch: int | None, placement: str
) -> None:
    def config(jit: str, placement: str) -> Config:
        train = {"global_batch": 7, "micro_batch": micro_batch, "ema": 0.5, "jit": jit}
        train |= {"clip_norm": 0.5, "length": "4 steps"}
        loss, metrics = {"label_smoothing": 0.1}, {"top_3": {"name": "top_k", "k": 3}, "brier": {"name": "brier"}}
        data = {"shift": 2, "placement": placement}
        return small_training(data=data, train=train, loss=loss, metrics=metrics)

    (plain, chunk), (compiled, program) = (
        begin(settings, count, small_cnn) for settings in (config("off", "host"), config("on", placement))
    )
    assert isinstance(chunk.steps, Stepwise)
    assert isinstance(program.steps, Fused if count == 1 else Stepwise)
    expected, actual = chunk(4), program(4)
    assert actual.loss == pytest.approx(expected.loss, rel=1e-5)
    assert actual.metrics == pytest.approx(expected.metrics, rel=1e-5)
    assert actual.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-5)
    assert np.linalg.norm(weights(compiled) - weights(plain)) <= 1e-5 * np.linalg.norm(weights(plain))


@pytest.mark.skipif(HAS_GPU, reason="needs a machine without a GPU")
def test_by_default_nothing_is_compiled_on_cpus(begin: Begin, small_training: SmallTraining, graph_of: Any) -> None:
    config = small_training()
    assert config.train.jit == "auto"
    library = graph_of(begin(config)[1]).library
    assert not [function for function in library.function if function.attr["_XlaMustCompile"].b]


@pytest.mark.slow
def test_two_programs_of_a_step_surround_the_all_reduce(
    begin: Begin, small_training: SmallTraining, graph_of: Any
) -> None:
    _, chunk = begin(small_training(data={"shift": 1}, train={"jit": "on", "length": "2 steps"}), 2, small_cnn)
    library = graph_of(chunk).library
    compiled = [function for function in library.function if function.attr["_XlaMustCompile"].b]
    inside = [{node.op for node in function.node_def} for function in compiled]
    backward = [ops for ops in inside if "Conv2DBackpropFilter" in ops]
    update = [ops for ops in inside if ops not in backward]
    assert backward
    assert update
    assert not any({"IteratorGetNext", "MaxPoolGrad"} & ops for ops in inside)
    assert not any("If" in op for ops in inside for op in ops)  # a branch would wait for the host


@pytest.fixture(scope="module")
def fused(begin: Begin, small_training: SmallTraining) -> tuple[State, Chunk]:
    """A chunk whose blocks have 4 steps."""
    config = small_training(train={"jit": "on", "length": "4 steps", "global_batch": 2}, data={"placement": "device"})
    return begin(config, 1, small_cnn)


def programs_run(chunk: Chunk, steps: int) -> int:
    """How many compiled programs a chunk of that many steps runs."""
    ran = 0
    assert isinstance(chunk.steps, Fused)
    program = chunk.steps.program

    def counted(*given: Any) -> Any:
        nonlocal ran
        ran += 1
        return program(*given)

    chunk.steps.program = counted
    try:
        assert chunk(steps).steps == steps
    finally:
        chunk.steps.program = program
    return ran


def test_a_block_is_one_program_and_is_compiled_once(fused: tuple[State, Chunk]) -> None:
    _, chunk = fused
    assert [programs_run(chunk, steps) for steps in (4, 8, 2, 1, 0, 1, 3, 6)] == [1, 2, 1, 1, 0, 1, 1, 3]
    assert isinstance(chunk.steps, Fused)
    assert chunk.steps.program.experimental_get_tracing_count() == 1


def test_chunks_of_whole_blocks_compute_nothing_twice(fused: tuple[State, Chunk]) -> None:
    state, chunk = fused
    chunk((1 - state.optimizer.iterations.numpy()) % 4)  # as an event cuts a block behind its first step
    lengths = [chunk.steps.whole(pace) for pace in (1, 3, 4, 6, 8, 10)]
    assert lengths == [3, 3, 3, 7, 7, 11]
    assert programs_run(chunk, 3) == 1
    assert [chunk.steps.whole(pace) for pace in (1, 4, 6, 7, 40)] == [4, 4, 4, 8, 40]
    assert programs_run(chunk, chunk.steps.whole(7)) == 2


def test_a_chunk_waits_for_nothing_before_its_end(fused: tuple[State, Chunk], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a device has computed is read: TensorFlow's own way from a tensor to the host is closed."""
    _, chunk = fused

    def read(tensor: Any, *_: Any) -> Any:
        raise AssertionError(f"{tensor.shape} was read")

    eager = type(tf.constant(0))
    values = chunk.values()
    with monkeypatch.context() as closed:
        for name in ("numpy", "_numpy", "__bool__", "__int__", "__float__", "__index__", "__array__"):
            closed.setattr(eager, name, read)
        after, progress, _ = chunk.steps.take(values, 9)
    assert int(progress.steps) == 9
    assert not np.array_equal(after.weights, values.weights)


def test_what_goes_to_the_device_in_a_block_is_rows(fused: tuple[State, Chunk]) -> None:
    _, chunk = fused
    block = next(chunk.steps.source.batches())
    assert sum(part.numpy().nbytes for part in tf.nest.flatten(block)) == 4 * 2 * (8 + 4 + 8)  # row, weight, position


def test_the_program_holds_no_branch_and_calls_nobody(fused: tuple[State, Chunk]) -> None:
    _, chunk = fused
    steps = chunk.steps
    assert isinstance(steps, Fused)
    given = (chunk.values(), steps.started(), steps.source.data, next(steps.source.batches()), tf.constant([0, 4]))
    graph = steps.program.get_concrete_function(*given).graph.as_graph_def()
    operations = {node.op for function in graph.library.function for node in function.node_def}
    operations |= {node.op for node in graph.node}
    assert {"Conv2D", "Conv2DBackpropFilter"} <= operations
    assert not {"If", "StatelessIf", "PyFunc", "EagerPyFunc", "MaxPoolGrad"} & operations


@pytest.mark.slow
def test_gradient_norms_are_those_of_uncompiled_code(begin: Begin, small_training: SmallTraining) -> None:
    def norms(jit: str) -> list[list[float]]:
        train = {"global_batch": 7, "noise_scale": "2 steps", "jit": jit, "length": "3 steps"}
        _, chunk = begin(small_training(train=train, optimizer={"name": "adam", "learning_rate": 1e-4}), 1, small_cnn)
        return [list(row.values()) for steps in (1, 4) for row in chunk(steps).norms]

    plain, compiled = norms("off"), norms("on")
    assert len(plain) == 2
    np.testing.assert_allclose(compiled, plain, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_loss_that_is_not_finite_freezes_the_state(begin: Begin, small_training: SmallTraining, count: int) -> None:
    train = {"ema": 0.9, "jit": "on", "length": "4 steps", "global_batch": 2}
    config = small_training(optimizer={"learning_rate": 1e30}, train=train)
    state, chunk = begin(config, count, small_cnn)
    result = chunk(6)
    assert 0 < result.steps < 6
    assert np.isfinite([result.loss, result.metrics["accuracy"], result.gradient_norm]).all()
    assert state.optimizer.iterations.numpy() == result.steps
    for path, variable in state.variables().items():
        assert np.all(np.isfinite(variable.numpy())), path


def with_statistics_and_masks() -> keras.Model:
    pixels = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(3, 3, strides=3, use_bias=False, kernel_initializer=GlorotUniform(1))(pixels)
    x = keras.layers.Dropout(0.3, seed=4)(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    x = keras.layers.Dense(10, kernel_initializer=GlorotUniform(2), kernel_regularizer="l2")(keras.layers.Flatten()(x))
    return keras.Model(pixels, x)


@pytest.mark.slow
def test_a_resume_in_the_middle_of_a_block_is_exact(begin: Begin, small_training: SmallTraining) -> None:
    model = with_statistics_and_masks
    config = small_training(
        train={"jit": "on", "length": "4 steps", "global_batch": 4, "ema": 0.9}, data={"shift": 1}, optimizer=ADAM
    )
    (whole, chunk), (first, before) = begin(config, 1, model), begin(config, 1, model)
    chunk(7)
    before(3)
    second, behind = begin(config, 1, model, first_step=3)
    for old, new in zip(first.variables().values(), second.variables().values(), strict=True):
        new.assign(old.numpy())
    behind(4)
    for (path, expected), actual in zip(whole.variables().items(), second.variables().values(), strict=True):
        np.testing.assert_array_equal(actual.numpy(), expected.numpy(), err_msg=path)


@pytest.mark.parametrize("jit", ["on", "off"])
def test_what_layers_keep_beside_weights_is_trained_and_averaged(
    begin: Begin, small_training: SmallTraining, jit: str
) -> None:
    config = small_training(train={"jit": jit, "length": "4 steps", "global_batch": 4, "ema": 0.9})
    state, chunk = begin(config, 1, with_statistics_and_masks)
    before = [variable.numpy() for variable in state.model.non_trainable_variables]
    assert len(before) == 3  # two statistics and the masks' seed
    assert chunk(3).steps == 3
    after = [variable.numpy() for variable in state.model.non_trainable_variables]
    averaged = [variable.numpy() for variable in state.result.non_trainable_variables]
    is_statistic = [value.dtype.kind == "f" for value in before]
    assert sorted(is_statistic) == [False, True, True]
    for old, new, average, moves in zip(before, after, averaged, is_statistic, strict=True):
        if moves:
            assert not np.array_equal(old, new)
            assert (np.abs(average - old) < np.abs(new - old)).all()  # on its way from the first to the last
            assert not np.array_equal(average, old)
        else:  # masks are functions of the example's position
            np.testing.assert_array_equal(new, old)
            np.testing.assert_array_equal(average, old)
