"""The engines that run a model's graph: ONNX Runtime, and OpenVINO where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError, ModelError, did_you_mean, require

INPUTS = ("incident", "noise")
OUTPUT = "showers"
PART = 4
"""Showers per thread from which on the threads work on showers of their own."""


@dataclass(frozen=True)
class GraphInfo:
    """Shapes of a graph's inputs and outputs (None: any size)."""

    inputs: Mapping[str, tuple[int | None, ...]]
    outputs: Mapping[str, tuple[int | None, ...]]


class Backend(Protocol):
    """An engine with a loaded graph."""

    name: str
    version: str
    threads: int
    info: GraphInfo

    def run(self, incident: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (n, 6) incidents and (n, Z) noise to energies in MeV, (n, *shape of the detector)."""

    def close(self) -> None:
        """End the threads that the engine holds; it can still be run, which starts them again."""


def default_threads() -> int:
    """Number of CPU cores that this process may use."""
    import os

    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _session(content: bytes, source: str, threads: int, optimise: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_mem_reuse = False  # with it, graphs of thousands of operations take 14 % longer
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base but Exception
        raise ModelError(
            f"'{source}' cannot be loaded, the file is broken or not an ONNX model: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _shapes(nodes: Any) -> dict[str, tuple[int | None, ...]]:
    return {
        node.name: tuple(size if isinstance(size, int) else None for size in node.shape) for node in nodes
    }


def _info(session: Any) -> GraphInfo:
    return GraphInfo(_shapes(session.get_inputs()), _shapes(session.get_outputs()))


class OnnxRuntime:
    """ONNX Runtime on the CPU.

    A batch is cut into as many parts as there are threads, each run by one: for graphs of many small operations that
    is nearly twice as fast on two cores as sharing out every operation, which is slower even for a single shower.
    """

    name = "onnxruntime"

    def __init__(self, content: bytes, source: str, threads: int) -> None:
        import onnxruntime

        self.version = str(onnxruntime.__version__)
        self.threads = threads
        self._session = _session(content, source, 1, optimise=True)
        self.info = _info(self._session)
        self._pool: ThreadPoolExecutor | None = None

    def run(self, incident: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map incidents and noise to energies."""
        n, threads = len(incident), self.threads
        if threads == 1 or n < PART * threads:
            return _run(self._session, incident, noise)
        self._pool = self._pool or ThreadPoolExecutor(threads)
        edges = [n * k // threads for k in range(threads + 1)]
        rows = [slice(*pair) for pair in pairwise(edges)]
        parts = self._pool.map(lambda part: _run(self._session, incident[part], noise[part]), rows)
        return np.concatenate(list(parts))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _run(session: Any, incident: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
    outputs: list[NDArray[np.float32]] = session.run(
        [OUTPUT], dict(zip(INPUTS, (incident, noise), strict=True))
    )
    return outputs[0]


class OpenVino:
    """OpenVINO on the CPU, in float32."""

    name = "openvino"

    def __init__(self, content: bytes, source: str, threads: int) -> None:
        openvino = require("openvino", "export")
        self.version = str(openvino.__version__)
        self.threads = threads
        self.info = _info(_session(content, source, 1, optimise=False))
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            core = openvino.Core()
            self._request = core.compile_model(
                core.read_model(content, b""), "CPU", settings
            ).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]  # the lines before say where in OpenVINO
            raise ModelError(f"OpenVINO cannot run '{source}': {reason}; use onnxruntime") from error

    def run(self, incident: NDArray[np.float32], noise: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map incidents and noise to energies."""
        results = self._request.infer(dict(zip(INPUTS, (incident, noise), strict=True)))
        return np.array(results[OUTPUT])

    def close(self) -> None:
        """Nothing to end: OpenVINO's threads are those of the process."""


BACKENDS: dict[str, type[OnnxRuntime] | type[OpenVino]] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}
"""The engines by name."""


def available() -> tuple[str, ...]:
    """Names of the engines that are installed here."""
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)


def open_backend(name: str, path: Path, content: bytes, threads: int | None) -> Backend:
    """Load a graph into an engine.

    Args:
        name: Name of the engine, a key of `BACKENDS`.
        path: Where the file lies, for messages.
        content: Bytes of the ONNX file.
        threads: Number of threads; all cores that the process may use if not given.

    Raises:
        InputError: If there is no such engine or the number of threads is not positive.
        MissingExtraError: If it is not installed.
        ModelError: If the file is not an ONNX model.
    """
    if name not in BACKENDS:
        raise InputError(f"unknown backend {name!r}{did_you_mean(name, BACKENDS)}")
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads}, expected at least 1")
    engine: type[OnnxRuntime] | type[OpenVino] = BACKENDS[name]
    return engine(content, str(path), threads or default_threads())
