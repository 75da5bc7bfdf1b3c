"""The card of an exported model: from a run's folder, and figures that are added later."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from caloforge import __version__
from caloforge.config import read_text
from caloforge.errors import FileError, InputError, ModelError, did_you_mean, require
from caloforge.files import atomic
from caloforge.runtime import Model, ModelCard

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

    missing = [key for key in ("detector", "pdgs", "energy_range") if not metadata.get(key)]
    if missing:
        raise ModelError(f"the run does not say its {', '.join(missing)}: train it again with this version")
    data = metadata.get("data") or {}
    score = metadata.get("score")
    theta = metadata.get("theta_range") or (0.0, 0.0)
    return ModelCard(
        name=name or detectors.parse(metadata["detector"], "detector of the run").name,
        approach=approach,
        detector_toml=metadata["detector"],
        particles=tuple(int(pdg) for pdg in metadata["pdgs"]),
        energy_range=outward(*metadata["energy_range"]),
        noise_size=noise_size,
        theta_range=(float(theta[0]), float(theta[1])),
        version=__version__,
        training_data={**data, "showers": metadata.get("n_showers", 0), "steps": metadata.get("step", 0)},
        validation={} if score is None else {"physics_score": {"value": float(score)}},
    )


def outward(low: float, high: float) -> tuple[float, float]:
    """Round a range outward to three digits: the range that energies were drawn from, not what was drawn.

    >>> outward(1000.17, 99963.2)
    (1000.0, 100000.0)
    """

    def rounded(value: float, up: bool) -> float:
        unit = Decimal(1).scaleb(Decimal(value).adjusted() - 2)
        steps = math.ceil(Decimal(value) / unit) if up else math.floor(Decimal(value) / unit)
        return float(steps * unit)

    return rounded(float(low), up=False), rounded(float(high), up=True)


def figures(path: str | Path) -> dict[str, Any]:
    """Read figures for a card: a JSON object with the tables `validation` and `speed`, or one of them.

    Raises:
        FileError: If the file is missing or no JSON.
        InputError: If it holds anything else.
    """
    try:
        data = json.loads(read_text(path, "file of figures"))
    except json.JSONDecodeError as error:
        raise FileError(f"'{path}' is no JSON: {error}") from error
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

    The graph stays as it is.

    Args:
        source: The ONNX file.
        path: The file to write; may be the same.
        data: As from `figures`.
        name: Name of the model; the old one if not given.

    Raises:
        FileError: If a file cannot be read or written.
        ModelError: If the source is no model.
        MissingExtraError: If onnx is not installed.
    """
    onnx = require("onnx", "export")
    model = Model(source, threads=1)
    card = add_figures(replace(model.card, name=name or model.card.name), data)
    graph = onnx.load_model_from_string(Path(source).read_bytes())
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, card.to_metadata())
    with atomic(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())
    return card
