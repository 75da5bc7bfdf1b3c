"""Errors that say what is wrong, where, and what to do.

Every error that a user can cause derives from `CaloForgeError`; the command line prints its message without a
traceback and exits with its `exit_code`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class CaloForgeError(Exception):
    """Base of all errors whose message is meant for the user."""

    exit_code = 1


class InputError(CaloForgeError):
    """An argument, a name or a value that cannot be used."""

    exit_code = 2


class FileError(CaloForgeError):
    """A file that is missing, broken, of the wrong kind, or cannot be written."""

    exit_code = 3


class DetectorError(InputError):
    """A detector file or name that cannot be used."""


class MissingExtraError(CaloForgeError):
    """An optional dependency is not installed; the message names the extra."""

    exit_code = 4


class Geant4Error(CaloForgeError):
    """Geant4, or its data sets, cannot do what was asked."""

    exit_code = 5


class ModelError(CaloForgeError):
    """A model that cannot be loaded or run."""

    exit_code = 6


class TrainingError(CaloForgeError):
    """A training that cannot start or go on."""

    exit_code = 7


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the closest known name, or a list of what exists.

    >>> did_you_mean("clic-ecl", ["clic-ecal"])
    "; did you mean 'clic-ecal'?"
    >>> did_you_mean("zzz", ["b", "a"])
    "; known are 'a', 'b'"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return "; known are " + ", ".join(map(repr, names)) if names else ""


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency where it is used.

    Args:
        module: Name of the module, for instance `torch`.
        extra: The extra of `caloforge` that installs it, for instance `train`.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: If it is not installed; the message gives the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise MissingExtraError(
            f"this needs {module!r}, which is not installed: pip install 'caloforge[{extra}]'"
        ) from error
