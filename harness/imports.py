"""Objects of the user's own, by the path that they can be imported from: `package.module:name`.

A class or function that has no such path, such as a lambda, is known by the name that `handed` gives it, for as long as
that lasts.
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from harness.errors import ConfigError, UserError

_handed: ContextVar[Mapping[str, Any]] = ContextVar("_handed", default=MappingProxyType({}))


def load_object(path: str, key: str) -> Any:
    """What `package.module:name` names; the module may lie in the working directory.

    Args:
        path: the module's name and, after a colon, the object's, with dots for what is inside it.
        key: of the config, for the message.

    Raises ConfigError where there is no such module or object, or the module can't be imported.
    """
    if path in _handed.get():
        return _handed.get()[path]
    module_name, name = _split(path, key)
    main = sys.modules["__main__"]
    if module_name == "__main__" and "<" not in name and hasattr(main, name):
        return getattr(main, name)
    _check_is_importable(path, key)
    try:
        found: Any = _import(module_name)
    except UserError as error:
        raise ConfigError(f"{key}: {error}") from None
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            close = get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{key}: the module {module_name} has no {name}{hint}") from None
    return found


def check_elsewhere(paths: Mapping[str, str]) -> None:
    """Raise ConfigError where another process, started here, plainly won't find one of these import paths, which are by
    their keys of the config. Nothing is imported for it: that would bring TensorFlow in, or what it says of GPUs."""
    for key, path in paths.items():
        module_name, _ = _split(path, key)
        _check_is_importable(path, key)
        package = module_name.partition(".")[0]
        _look_in_working_directory()
        if importlib.util.find_spec(package) is None:
            raise ConfigError(f"{key}: there is no module {package}, in {os.getcwd()} or installed")


def check_loadable(paths: Mapping[str, str]) -> None:
    """As `check_elsewhere`, and that each object is there, which a process of its own finds out by importing it."""
    check_elsewhere(paths)
    if not paths:
        return
    command = [sys.executable, "-P", "-c", _LOAD, json.dumps(dict(paths))]
    on_cpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(command, env=on_cpu, capture_output=True, text=True, check=False)
    if ended.returncode:
        *_, told = ["no reason given", *(ended.stdout or ended.stderr).splitlines()]
        raise ConfigError(told)


_LOAD = """
import json, sys
from harness.errors import ConfigError
from harness.imports import load_object
try:
    for key, path in json.loads(sys.argv[1]).items():
        load_object(path, key)
except ConfigError as error:
    print(error)
    sys.exit(2)
"""


def path_of(value: Any) -> str:
    """The import path of a class or function; of one that can't be imported, something that looks like one."""
    module, name = getattr(value, "__module__", "__main__"), getattr(value, "__qualname__", "<object>")
    return f"{module}:{name}"


def is_importable(value: Any) -> bool:
    """Whether another process finds `value` by its path."""
    module, _, name = path_of(value).partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return module != "__main__" and found is value


@contextmanager
def handed(objects: Mapping[str, Any]) -> Iterator[None]:
    """While entered, `load_object` gives these by their names, in this thread."""
    before = _handed.set({**_handed.get(), **objects})
    try:
        yield
    finally:
        _handed.reset(before)


def import_modules(names: Sequence[str]) -> None:
    """Import modules for what they register with Keras. Raises UserError where one isn't there, or fails."""
    for name in names:
        try:
            _import(name)
        except UserError as error:
            raise UserError(f"--import {name}: {error}") from None


def reason(error: BaseException) -> str:
    """What went wrong in the user's own code, in one line, and where."""
    package = os.path.dirname(__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and not frame.filename.startswith(package)
    ]
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
    wrapped = lines[0].startswith("Exception encountered when calling")  # by Keras, around what says more
    message = " ".join(lines[:2] if wrapped else lines[:1]).replace("\x1b[1m", "").replace("\x1b[0m", "")
    return f"{type(error).__name__}: {message}{place}"


def _split(path: str, key: str) -> tuple[str, str]:
    """The module's name and the object's."""
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"{key}: {path!r} is not an import path: write package.module:name")
    return module_name, name


def _check_is_importable(path: str, key: str) -> None:
    if path.startswith("__main__:") or "<" in path:
        again = "over again, as data=…" if key == "data.source" else "to harness.train(…) again"
        raise ConfigError(
            f"{key}: {path} was defined in a script or notebook: move it to a module of its own, and name that, "
            f"or hand it {again}"
        )


def _import(name: str) -> Any:
    _look_in_working_directory()
    try:
        return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  the user's own code, which may do anything
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise UserError(f"there is no module {error.name}, in {os.getcwd()} or installed") from None
        raise UserError(f"{name} can't be imported: {reason(error)}") from None


def _look_in_working_directory() -> None:
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # last: no file there may stand in for a library
