"""The models that the package ships, by name."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from caloforge.errors import ModelError, did_you_mean
from caloforge.runtime.model import Model
from caloforge.runtime.model_file import ONNX, WEIGHTS


def _folder() -> Path:
    return Path(str(resources.files("caloforge.runtime") / "models"))


def names() -> tuple[str, ...]:
    """Names of the shipped models."""
    return tuple(sorted(path.stem for path in _folder().glob(f"*{ONNX}")))


def find(name: str | Path) -> Path:
    """Return the file of a shipped model (by name), or the path of a model file itself (`.onnx`, `.safetensors`).

    Raises:
        ModelError: If no model of that name is shipped.
    """
    if isinstance(name, Path) or name.endswith((ONNX, WEIGHTS)):
        return Path(name)
    if name not in names():
        raise ModelError(
            f"no model {name!r} is shipped{did_you_mean(name, names())} (or give the path of an .onnx file)"
        )
    return _folder() / f"{name}{ONNX}"


def load(name: str | Path, threads: int | None = None, backend: str = "onnxruntime") -> Model:
    """Load a shipped model by name or a model file by its path (ending in `.onnx`).

    Args:
        name: Name or path.
        threads: Number of threads; all cores that the process may use if not given.
        backend: The engine, `onnxruntime` or `openvino`.

    Raises:
        FileError: If the file is missing or unreadable.
        ModelError: If no model of that name is shipped, or the file is broken.
    """
    return Model(find(name), threads, backend)
