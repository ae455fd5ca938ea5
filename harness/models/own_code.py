"""Modules of the user's own, imported for what they register with Keras."""

import importlib
import os
import sys
from collections.abc import Sequence

from harness.errors import UserError


def import_modules(names: Sequence[str]) -> None:
    """Import them, from the working directory too, where nothing else has their name.

    Raises UserError where one isn't there, or fails.
    """
    here = os.getcwd()
    if names and here not in sys.path:
        sys.path.append(here)  # last: no file there may stand in for a library
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(f"--import {name}: there is no module {error.name}, in {here} or installed") from None
        except Exception as error:  # noqa: BLE001  the user's own code, which may do anything
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            raise UserError(f"--import {name}: it can't be imported: {type(error).__name__}: {reason}") from None
