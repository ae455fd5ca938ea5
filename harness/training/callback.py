"""What users have called between steps: callbacks of their own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config.callback import CallbackSection
from harness.config.duration import Duration
from harness.errors import CallbackFailed, ConfigError
from harness.imports import load_object, reason
from harness.training.events import Every
from harness.training.state import State
from harness.training.writers import CALLBACK, Row, Writer, lasting

Values = Mapping[str, float | str | NDArray[np.uint8]]
"""By name: numbers, texts, and images (height, width[, channels]) uint8."""


class Callback:
    """Something to be called between steps, on the first worker:

        class Norms(harness.Callback):
            every = "100 steps"

            def __call__(self, step, state, rows):
                kernel = state.model.get_layer("conv_1").kernel
                return {"conv_1": float(np.linalg.norm(kernel))}

    Its numbers and texts land in metrics.jsonl, as a row of split "callback" under its name, and with its images in
    TensorBoard. A function is a callback too.
    """

    every: str = "1 epoch"
    """How often, as durations stand in a config; `every` there counts for more."""

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> Values | None:
        """Look at the state after `step` steps.

        Args:
            step: how many were taken.
            state: `state.model` is the Keras model under training, `state.result` what is evaluated and exported: the
                averaged model where there is one.
            rows: those of metrics.jsonl so far.

        What it raises ends the run, on all workers together.
        """
        raise NotImplementedError


def interval(section: CallbackSection) -> Duration:
    """How often a callback is called. Raises ConfigError where there is none of that name."""
    if section.every is not None:
        return section.every
    given = getattr(load_object(section.name, "callbacks"), "every", Callback.every)
    try:
        return CallbackSection.model_validate({"name": section.name, "every": given}).every or Duration.parse("1 epoch")
    except ValueError:
        raise ConfigError(f"callbacks: {section.name} says every = {given!r}: write a duration, '1 epoch'") from None


_RESERVED = {"step", "split", "name"}
NamedCallback = tuple[str, Callable[..., Any]]


class OwnCallbacks(Writer):
    """Calls the config's callbacks when they are due, with the rows so far."""

    def __init__(self, callbacks: Sequence[NamedCallback], due: Sequence[Every], earlier: Iterable[Row]) -> None:
        names = [name for name, _ in callbacks]
        numbered = [
            (name if names.index(name) == index else f"{name}_{index + 1}", call)
            for index, (name, call) in enumerate(callbacks)
        ]
        self._due = list(zip(numbered, due, strict=True))
        self._rows = list(earlier)

    def write(self, row: Row) -> None:
        self._rows.append(lasting(row))

    def called(self, step: int, state: State) -> list[Row]:
        rows = []
        for (name, call), every in self._due:
            if every.includes(step):
                values = _values(name, call, step, state, self._rows)
                if values:
                    rows.append({"step": step, "split": CALLBACK, "name": name, **values})
        return rows


def made(section: CallbackSection) -> NamedCallback:
    """The callback and its name. Raises ConfigError where it can't be had."""
    found = load_object(section.name, "callbacks")
    arguments = section.arguments
    if isinstance(found, type):
        try:
            return found.__name__, found(**arguments)
        except Exception as error:
            raise ConfigError(f"callbacks: {section.name} can't be made: {reason(error)}") from error
    name = getattr(found, "__name__", type(found).__name__)
    if not callable(found):
        raise ConfigError(f"callbacks: {section.name} is {type(found).__name__}, and must be a harness.Callback")
    return name, (lambda *given: found(*given, **arguments)) if arguments else found


def _values(name: str, call: Callable[..., Any], step: int, state: State, rows: Sequence[Row]) -> dict[str, Any]:
    try:
        given = call(step, state, rows)
    except Exception as error:
        raise CallbackFailed(f"callback {name} fails at step {step:,}: {reason(error)}") from error
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise CallbackFailed(f"callback {name} returned {type(given).__name__}: it must return a dict, or None")
    if taken := _RESERVED & set(map(str, given)):
        raise CallbackFailed(f"callback {name}: the key {min(taken)} is the row's own: give it another name")
    return {str(key): _value(f"callback {name}: {key}", value) for key, value in given.items()}


def _value(what: str, value: Any) -> float | str | NDArray[np.uint8] | None:
    """As it is written: None for a number that is not finite, which JSON can't hold."""
    array = np.asarray(value)
    if isinstance(value, str):
        return value
    if array.ndim == 0 and array.dtype.kind in "bfiu":
        return float(array) if np.isfinite(array) else None
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype == np.uint8 and is_image and array.size:
        return array
    raise CallbackFailed(
        f"{what} is {array.dtype} of shape {array.shape}: it must be a number, a text, or an image uint8 (height, "
        "width[, 1, 3 or 4 channels])"
    )
