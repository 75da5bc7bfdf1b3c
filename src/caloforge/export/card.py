"""The card of an exported model: from a run's folder, and figures that are added later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from caloforge import __version__
from caloforge.config import read_text
from caloforge.errors import FileError, InputError, ModelError, did_you_mean, require
from caloforge.files import atomic
from caloforge.runtime import Model, ModelCard
from caloforge.runtime.card import training_data
from caloforge.runtime.model_file import ONNX, WEIGHTS, read_content, with_safetensors_metadata
from caloforge.showers import IncidentSpectrum

FIGURES = ("validation", "speed")
"""Tables of the card that a file of figures may fill."""


def run_card(
    metadata: Mapping[str, Any], approach: str, noise_size: int, name: str | None = None
) -> ModelCard:
    """Make the card of a run.

    Args:
        metadata: What `caloforge.training.load_run` says about the run.
        approach: Name of the approach.
        noise_size: Number of standard normal numbers that one shower takes.
        name: Name of the model; the detector's if not given.

    Raises:
        ModelError: If the run does not say what it was trained on.
    """
    from caloforge import detectors

    missing = [key for key in ("detector", "spectrum", "conditions") if metadata.get(key) is None]
    if missing:
        raise ModelError(f"the run does not say its {', '.join(missing)}: train it again with this version")
    score = metadata.get("score")
    return ModelCard(
        name=name or detectors.parse(metadata["detector"], "detector of the run").name,
        approach=approach,
        detector_toml=metadata["detector"],
        spectrum=IncidentSpectrum.parse(metadata["spectrum"], "spectrum of the run"),
        conditions=tuple(metadata["conditions"]),
        noise_size=noise_size,
        physics=metadata.get("physics") or "",
        version=__version__,
        commit=metadata.get("commit") or "",
        recipe=metadata.get("recipe") or {},
        training_data=training_data(metadata),
        validation={} if score is None else {"physics_score": {"value": float(score)}},
    )


def figures(path: str | Path) -> dict[str, Any]:
    """Read figures for a card: a JSON object with the tables `validation` and `speed`, or one of them.

    Raises:
        FileError: If the file is missing or not JSON.
        InputError: If it holds anything else.
    """
    try:
        data = json.loads(read_text(path, "file of figures"))
    except json.JSONDecodeError as error:
        raise FileError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(table, dict) for table in data.values()):
        raise InputError(f"'{path}': expected a JSON object with the tables {' and '.join(FIGURES)}")
    for key in data:
        if key not in FIGURES:
            raise InputError(f"'{path}': unknown table {key!r}{did_you_mean(key, FIGURES)}")
    return data


def add_figures(card: ModelCard, data: Mapping[str, Any]) -> ModelCard:
    """Return the card with figures added; new ones replace old ones of the same name."""
    return replace(
        card,
        validation={**card.validation, **data.get("validation", {})},
        speed={**card.speed, **data.get("speed", {})},
    )


def replace_figures(
    source: str | Path, path: str | Path, data: Mapping[str, Any], name: str | None = None
) -> ModelCard:
    """Copy an exported model with new figures, and perhaps another name, in its card.

    Graph and weights stay as they are. Weights beside the source are copied likewise, beside the new file.

    Args:
        source: The ONNX file.
        path: The ONNX file to write; may be the same.
        data: As from `figures`.
        name: Name of the model; the old one if not given.

    Raises:
        FileError: If a file cannot be read or written.
        ModelError: If the source is not a model.
        MissingExtraError: If onnx is not installed.
    """
    onnx = require("onnx", "export")
    path, weights = onnx_path(path), Path(source).with_suffix(WEIGHTS)
    with Model(source, threads=1) as model:
        card = add_figures(replace(model.card, name=name or model.card.name), data)
    graph = onnx.load_model_from_string(read_content(source))
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, card.to_metadata())
    contents = {path: graph.SerializeToString()}
    if weights.exists():
        contents[path.with_suffix(WEIGHTS)] = with_safetensors_metadata(
            read_content(weights), weights_metadata(card), str(weights)
        )
    for file, content in contents.items():
        with atomic(file) as temporary:
            temporary.write_bytes(content)
    return card


def weights_metadata(card: ModelCard) -> dict[str, str]:
    """Return the metadata of a file of weights: the card, and that the tensors are PyTorch's."""
    return {"format": "pt", **card.to_metadata()}


def onnx_path(path: str | Path) -> Path:
    """Return the path of an ONNX file to write.

    Raises:
        FileError: If its name does not end in `.onnx`.
    """
    path = Path(path)
    if path.suffix != ONNX:
        raise FileError(f"'{path}': the name of a model ends in {ONNX}")
    return path
