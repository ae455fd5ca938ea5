"""The `model:` section → what builds that model: from raw pixels to logits, the same at each call."""

import random
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from harness.config import Config
from harness.config.loss import logits_for
from harness.errors import ConfigError, HarnessError, RunError
from harness.imports import load_object, reason
from harness.keras_internals import fresh_names, graph_layers, infer_by_default, last_operation
from harness.models import cnn
from harness.models.applications import is_application, of_pixels
from harness.models.export import load
from harness.models.logits import WrongShape, as_functional, ending, pixels_to_logits, takes
from harness.models.preprocessing import shape_after, with_input
from harness.runs.run_dir import RunDir

_MOST_NAMED = 8
_returned: weakref.WeakSet[keras.Model] = weakref.WeakSet()
"""What the users' own functions have built."""


def builder(
    config: Config, image_shape: tuple[int, int, int], classes: int, dtype: str | None = None
) -> Callable[[], keras.Model]:
    """What builds the config's model for such images, with the same weights and names at each call.

    Args:
        config: whose model, seed and precision are taken.
        image_shape: height, width, channels.
        classes: how many logits; a `binary` loss has one for two classes.
        dtype: instead of `train.precision`.

    What it gives is a Functional model from pixels (n, height, width, channels), 0 to 255, to logits (n, classes). It
    raises ConfigError where that can't be had, DataError where the images are too small.
    """
    return partial(_build, config, image_shape, logits_for(config.loss, classes), dtype or config.train.precision)


def trained(run: RunDir) -> keras.Model:
    """The exported model of a run. Raises RunError where it isn't there or can't be loaded."""
    name = run.read_config().model.name
    if name is not None and ":" in name:
        with suppress(ConfigError):  # for what its module registers with Keras, which few models need
            load_object(name, "model.name")
    return load(run.model_file)


def _build(config: Config, image_shape: tuple[int, int, int], classes: int, dtype: str) -> keras.Model:
    section = config.model
    taken = shape_after(section.input, image_shape)
    if section.file is not None:
        network = _of_file(section.file, taken, classes, dtype)
    elif section.is_own:
        network = _own(config, taken, classes, dtype)
    else:
        assert section.name is not None
        cnn.check_image_shape(section.name, taken)
        scales = section.input.normalize is None
        network = cnn.build(section.name, taken, classes, config.seed, dtype, scales=scales)
    with fresh_names():
        model = with_input(section.input, network, image_shape, "float64" if dtype == "float64" else "float32")
    infer_by_default(model)
    _freeze(model, section.freeze)
    return model


def _own(config: Config, image_shape: tuple[int, int, int], classes: int, dtype: str) -> keras.Model:
    path = config.model.name
    assert path is not None
    function = _function(path, config.model.input.normalize is None)
    with _seeded(config.seed), _policy(f"mixed_{dtype}" if dtype in ("bfloat16", "float16") else dtype):
        try:
            model = function(image_shape, classes, **config.model.arguments)
            if isinstance(model, keras.Sequential) and not model.built:  # it begins with no Input
                model.build((None, *image_shape))
        except HarnessError:
            raise
        except Exception as error:
            fix = ""
            if is_application(path) and config.model.arguments.get("weights") is None:
                fix = ": model.input can give it images of another size and color"
            raise ConfigError(f"model.name: {path}{image_shape, classes} fails: {reason(error)}{fix}") from error
        wanted = f"it must return a keras.Model from images {image_shape} to logits ({classes},)"
        if not isinstance(model, keras.Model):
            raise ConfigError(f"model.name: {path} returned {type(model).__name__}: {wanted}")
        if model in _returned:
            raise ConfigError(
                f"model.name: {path} returned a model that it had returned before: build a new one each time"
            )
        _returned.add(model)
        model = as_functional(model, image_shape)
    if len(model.inputs) != 1 or not takes(model, image_shape):
        taken = ", ".join(str(tensor.shape[1:]) for tensor in model.inputs)
        raise ConfigError(f"model.name: {path} returned a model with inputs {taken}: {wanted}")
    _check(model, f"model.name: {path} returned a model", classes)
    if (last := ending(last_operation(model))) is not None:
        raise ConfigError(f"model.name: {path} returned a model that ends in a {last}: {wanted}, before any {last}")
    return model


def _function(path: str, scales: bool) -> Callable[..., Any]:
    """What builds the model; `scales`: whether one of keras.applications scales the pixels itself."""
    found: Any = load_object(path, "model.name")
    if not callable(found):
        raise ConfigError(
            f"model.name: {path} is a {type(found).__name__}: it must be a function (image_shape, classes) → Model"
        )
    return partial(of_pixels, found, scales=scales) if is_application(path) else found


def _of_file(file: str, image_shape: tuple[int, int, int], classes: int, dtype: str) -> keras.Model:
    if dtype not in ("float32", "float64"):
        raise ConfigError(
            f"train.precision: {dtype}, but a model from model.file is trained in float32: set it to float32"
        )
    try:
        with fresh_names():
            model = pixels_to_logits(load(Path(file)), image_shape, keep_single_logit=classes != 2)
    except WrongShape as error:
        raise ConfigError(f"model.file: {error}; model.input.size and model.input.color can bring them to it") from None
    except RunError as error:
        raise ConfigError(f"model.file: {error}") from None
    fix = "; load it in a function of your own, and give it another last layer"
    _check(model, f"model.file: {file} is a model", classes, fix)
    return model


def _check(model: keras.Model, what: str, classes: int, fix: str = "") -> None:
    """Raise ConfigError, which begins with `what`, where a model can't be trained on so many classes; `fix` is what to
    do where it has outputs for others."""
    given = [tuple(tensor.shape[1:]) for tensor in model.outputs]
    if given != [(classes,)]:
        raise ConfigError(f"{what} with outputs {', '.join(map(str, given))}: it must return logits ({classes},){fix}")
    if any(isinstance(layer, keras.layers.Lambda) for layer in graph_layers(model)):
        raise ConfigError(
            f"{what} with a Lambda layer, with which no exported model can be loaded: write a layer of your own"
        )
    kinds = sorted({variable.dtype for variable in model.trainable_variables})
    if len(kinds) != 1:
        raise ConfigError(f"{what} with weights in {' and '.join(kinds) or 'nothing'}: they must all be in one dtype")
    paths = [variable.path for variable in model.variables]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise ConfigError(f"{what} with two variables called {twice}: give its layers names of their own")


def _freeze(model: keras.Model, patterns: Sequence[str]) -> None:
    """Let the layers whose names match stay as they are. Raises ConfigError where none does, or nothing is left."""
    layers = graph_layers(model)
    for pattern in patterns:
        matching = [layer for layer in layers if fnmatchcase(layer.name, pattern)]
        if not matching:
            names = [layer.name for layer in layers if layer.weights]
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            raise ConfigError(
                f"model.freeze: no layer is called {pattern}: there are {', '.join(names[:_MOST_NAMED])}{more}"
            )
        for layer in matching:
            layer.trainable = False
    if not model.trainable_variables:
        raise ConfigError(f"model.freeze: {', '.join(patterns)} leave nothing to train")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """What Keras draws and how it calls layers depend on the seed alone. The states of Python's and NumPy's own random
    numbers are put back; TensorFlow's seed stays the run's."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with fresh_names():
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


@contextmanager
def _policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
