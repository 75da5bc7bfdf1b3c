"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TOY_DETECTOR = """
name = "toy"
threshold = 0.1
[physics]
production_cut = 0.7
[readout]
kind = "cartesian"
cells = [9, 9]
size = [5.0, 5.0]
[[stack]]
repeat = 8
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.5, sensitive = true }]
"""
"""Eight layers of 9 x 9 cells, 20 X0."""

TINY_DETECTOR = """
name = "tiny"
threshold = 0.015
[physics]
production_cut = 0.7
[readout]
kind = "cartesian"
cells = [5, 5]
size = [5.1, 5.1]
[[stack]]
repeat = 3
slices = [{ material = "G4_W", thickness = 4.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
"""Three layers of 5 x 5 cells."""


@pytest.fixture
def write_tiny_model(tmp_path: Path) -> Callable[..., Path]:
    """Write an exported model of a tiny detector: cells |noise @ w| E / 1000, trained from 1 to 100 GeV.

    Keyword arguments change entries of the card; `metadata` replaces the metadata, `cells` the graph's cells
    and `sign` the sign of the output.
    """
    onnx = pytest.importorskip("onnx", reason="onnx (extra 'export') is not installed")

    def write(
        name: str = "tiny.onnx", metadata: Any = None, cells: int = 5, sign: float = 1.0, **card: Any
    ) -> Path:
        from caloforge.runtime import ModelCard
        from caloforge.showers import IncidentSpectrum

        size = 4
        weights = np.random.default_rng(0).standard_normal((size, 3 * 5 * cells)).astype(np.float32)
        helper, numbers = onnx.helper, onnx.numpy_helper.from_array
        graph = helper.make_graph(
            [
                helper.make_node("MatMul", ["noise", "weights"], ["mixed"]),
                helper.make_node("Abs", ["mixed"], ["positive"]),
                helper.make_node("Gather", ["incident", "one"], ["energy"], axis=1),
                helper.make_node("Mul", ["energy", "scale"], ["scaled"]),
                helper.make_node("Mul", ["positive", "scaled"], ["flat"]),
                helper.make_node("Reshape", ["flat", "shape"], ["showers"]),
            ],
            "tiny",
            [
                helper.make_tensor_value_info("incident", onnx.TensorProto.FLOAT, ["n", 6]),
                helper.make_tensor_value_info("noise", onnx.TensorProto.FLOAT, ["n", size]),
            ],
            [helper.make_tensor_value_info("showers", onnx.TensorProto.FLOAT, ["n", 3, 5, cells])],
            [
                numbers(weights, "weights"),
                numbers(np.array([1]), "one"),
                numbers(np.float32(sign * 1e-3), "scale"),
                numbers(np.array([-1, 3, 5, cells]), "shape"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        facts = {
            "name": "tiny",
            "approach": "gan3d",
            "detector_toml": TINY_DETECTOR,
            "spectrum": IncidentSpectrum((11, 22), (1e3, 1e5)),
            "conditions": ("particle", "energy"),
            "noise_size": size,
            "parameters": weights.size,
            "validation": {"auc": {"value": 0.6, "floor": 0.5}},
        }
        props = ModelCard(**{**facts, **card}).to_metadata() if metadata is None else metadata
        helper.set_model_props(model, props)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def tiny_model(write_tiny_model: Callable[..., Path]) -> Path:
    """An exported model of a tiny detector."""
    return write_tiny_model()


@pytest.fixture(scope="session")
def toy_detector() -> Any:
    """A detector of eight layers of 9 x 9 cells."""
    from caloforge.detectors import parse

    return parse(TOY_DETECTOR, "toy")


@pytest.fixture(scope="session")
def toy_showers(toy_detector: Any) -> Callable[..., Any]:
    """Make n parametrised showers of e- and gamma, 1 to 100 GeV: a gamma profile along, exponential across.

    They have the right symmetries and fluctuate in depth, number of spots and energy.
    """
    from caloforge.showers import IncidentSpectrum, Showers

    n_layers, n_rows, n_columns = toy_detector.shape

    def make(n: int, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        incidents = IncidentSpectrum((11, 22), (1e3, 1e5)).draw(n, rng, toy_detector)
        spots = rng.poisson(2 * np.sqrt(incidents.energy))
        owner = np.repeat(np.arange(n), spots)
        depth = 1.5 + 0.3 * np.log(incidents.energy / 1e3) + 0.4 * (incidents.pdg == 22) + 0.3 * rng.random(n)
        layer = rng.gamma(3.0, depth[owner] / 3)
        radius, angle = rng.exponential(6.0, len(owner)), rng.uniform(0, 2 * np.pi, len(owner))
        row = np.round(radius * np.sin(angle) / 5.0) + n_rows // 2
        column = np.round(radius * np.cos(angle) / 5.0) + n_columns // 2
        inside = (layer < n_layers) & (abs(row - 4) <= 4) & (abs(column - 4) <= 4)
        energy = rng.gamma(2.0, 0.5, len(owner)) * (0.02 * incidents.energy / np.maximum(spots, 1))[owner]
        cells = np.zeros((n, n_layers, n_rows, n_columns), dtype=np.float32)
        place = (owner, layer.astype(int), row.astype(int), column.astype(int))
        np.add.at(cells, tuple(index[inside] for index in place), energy[inside].astype(np.float32))
        return Showers(cells, incidents, toy_detector, {"source": "toy", "seed": str(seed)})

    return make
