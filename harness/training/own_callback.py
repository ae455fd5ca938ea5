"""Callbacks of the user's own: from an entry of the config to what the loop calls."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.config.callbacks import CallbackSection
from harness.config.duration import Duration
from harness.errors import CallbackFailed, ConfigError
from harness.imports import load_object, reason
from harness.training.callback import Callback, Row
from harness.training.rows import CALLBACK, without_images
from harness.training.state import State

_RESERVED = {"step", "split", "name"}
_GIVEN = ("step", "state", "rows")
"""What stands for the arguments that a callback is called with."""


class OwnCallback(Callback):
    """Makes a row of what the user's callback returns."""

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self._name = name
        self._call = call

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> Row | None:
        given = self._call_user(f"failed at step {step:,}", self._call, step, state, list(map(without_images, rows)))
        values = _values(self._name, given)
        return {"split": CALLBACK, "name": self._name, **values} if values else None

    def end(self, step: int, state: State, rows: Sequence[Row]) -> None:
        if isinstance(self._call, Callback):
            rows = list(map(without_images, rows))
            self._call_user(f"failed at its end, at step {step:,}", self._call.end, step, state, rows)

    def close(self) -> None:
        if isinstance(self._call, Callback):
            self._call_user("can't be closed", self._call.close)

    def _call_user(self, failure: str, call: Callable[..., Any], *given: Any) -> Any:
        try:
            return call(*given)
        except (Exception, SystemExit) as error:  # with the latter a run that is not complete would end as if it were
            raise CallbackFailed(f"callback {self._name} {failure}: {reason(error)}") from error


def interval(section: CallbackSection) -> Duration | None:
    """How often a callback is called; None between all chunks. Raises ConfigError where there is none of that name."""
    if section.every is not None:
        return section.every
    given = getattr(load_object(section.name, "callbacks"), "every", Callback.every)
    try:
        return CallbackSection.model_validate({"name": section.name, "every": given}).every
    except ValueError:
        raise ConfigError(
            f"callbacks: {section.name} says every = {given!r}: write a duration, such as '1 epoch'"
        ) from None


def check(section: CallbackSection) -> None:
    """Raise ConfigError where what the config names is plainly no callback, or doesn't take the arguments that it has
    for it. Nothing is called."""
    found = load_object(section.name, "callbacks")
    is_class = isinstance(found, type)
    if not callable(found):
        raise ConfigError(f"callbacks: {section.name} is {type(found).__name__}, and must be a harness.Callback")
    called = next((kind for kind in (found if is_class else type(found)).__mro__ if "__call__" in vars(kind)), Callback)
    if called is Callback:
        raise ConfigError(f"callbacks: {section.name} has no __call__(self, step, state, rows)")
    if is_class:
        _check_call(f"callbacks: {section.name} can't be created", found, (), section.arguments)
        _check_call(f"callbacks: {section.name}.__call__", found.__call__, (None, *_GIVEN), {})
    else:
        _check_call(f"callbacks: {section.name} can't be called", found, _GIVEN, section.arguments)


def _check_call(failure: str, call: Callable[..., Any], given: Sequence[Any], arguments: Mapping[str, Any]) -> None:
    try:
        with suppress(ValueError):  # what is written in C may tell nothing of its arguments
            inspect.signature(call, follow_wrapped=False).bind(*given, **arguments)
    except TypeError as error:
        how = " with (step, state, rows)" if given else ""
        raise ConfigError(f"{failure}{how}: {error}") from None


def own_callbacks(sections: Sequence[CallbackSection]) -> list[OwnCallback]:
    """The config's callbacks, named apart where several have one name. Raises ConfigError where one can't be had."""
    made = [_made(section) for section in sections]
    names = [name for name, _ in made]
    return [
        OwnCallback(name if names.index(name) == index else f"{name}_{index + 1}", call)
        for index, (name, call) in enumerate(made)
    ]


def _made(section: CallbackSection) -> tuple[str, Callable[..., Any]]:
    found = load_object(section.name, "callbacks")
    arguments = section.arguments
    if isinstance(found, type):
        try:
            return found.__name__, found(**arguments)
        except Exception as error:
            raise ConfigError(f"callbacks: {section.name} can't be created: {reason(error)}") from error
    name = getattr(found, "__name__", type(found).__name__)
    return name, (lambda *given: found(*given, **arguments)) if arguments else found


def _values(name: str, given: Any) -> dict[str, Any]:
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
