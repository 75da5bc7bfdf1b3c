"""Detectors from TOML: the shipped library by name, the user's own by path."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from caloforge.config import parse_toml, read_text, validate
from caloforge.detectors.calochallenge import read_binning
from caloforge.detectors.detector import Detector
from caloforge.errors import DetectorError, did_you_mean


@lru_cache
def names() -> tuple[str, ...]:
    """Names of the shipped detectors.

    >>> "clic-ecal" in names()
    True
    """
    library = resources.files("caloforge.detectors") / "library"
    return tuple(
        sorted(
            entry.name.removesuffix(".toml") for entry in library.iterdir() if entry.name.endswith(".toml")
        )
    )


@lru_cache(maxsize=64)
def parse(text: str, source: str = "detector") -> Detector:
    """Read a detector from TOML text.

    Args:
        text: The TOML document (see `docs/detectors.md`).
        source: Its name in error messages.

    Raises:
        DetectorError: Naming the source, the key and what is wrong with it.
    """
    data = parse_toml(text, source, DetectorError)
    if "production_cut" in data:
        raise DetectorError(
            f"{source}: key 'production_cut' has moved: write it into a table [physics] (docs/detectors.md); files "
            "of before November 2026 are read with --detector"
        )
    return validate(Detector, data, source, DetectorError)


def toml(name: str | Path) -> str:
    """Return the TOML text of a shipped detector (by name) or of a detector file (by path).

    Raises:
        DetectorError: If there is no such shipped detector.
        FileError: If the file is missing or unreadable.
    """
    if isinstance(name, Path) or name.endswith(".toml"):
        return read_text(name, "detector file")
    if name not in names():
        raise DetectorError(
            f"detector {name!r} not found{did_you_mean(name, names())} (or give the path of a .toml file)"
        )
    return (resources.files("caloforge.detectors") / "library" / f"{name}.toml").read_text(encoding="utf-8")


def load(name: str | Path) -> Detector:
    """Load a shipped detector by name or a detector file by its path.

    The path ends in `.toml`, or in `.xml` for the binning file of a CaloChallenge data set.

    >>> load("clic-ecal").shape
    (25, 25, 25)

    Raises:
        DetectorError: If there is no such detector or the file has an error.
        FileError: If the file is missing or unreadable.
    """
    if str(name).endswith(".xml"):
        return read_binning(name)
    return parse(toml(name), str(name))
