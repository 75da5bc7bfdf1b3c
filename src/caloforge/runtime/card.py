"""What an exported model says about itself: the metadata of its ONNX file (`docs/runtime.md`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from caloforge import detectors
from caloforge.detectors import Detector
from caloforge.errors import CaloForgeError, ModelError
from caloforge.showers import Incidents, particle_name
from caloforge.units import format_energy

FORMAT_VERSION = 1
"""Version of the contract of the ONNX file; a reader refuses a newer one."""

PREFIX = "caloforge."

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Range = tuple[_Finite, _Finite]


@dataclass(frozen=True)
class ModelCard:
    """What a model was trained on, for which incidents it holds, and how well it did.

    Attributes:
        name: Name of the model, for instance `clic-ecal`.
        approach: The approach that it is an instance of, for instance `gan3d`.
        detector_toml: Text of the detector file.
        particles: PDG ids that it was trained on.
        energy_range: Lowest and highest kinetic energy that it was trained on, in MeV.
        noise_size: Number Z of standard normal numbers that one shower takes.
        theta_range: Angles from the layer normal, in rad.
        x_range: Impact points in mm from the centre of the central cell.
        y_range: Likewise.
        threshold: Cells below are set to zero after the graph has run, in MeV; 0 leaves the output as it is.
        version: Version of caloforge that exported it.
        format_version: Version of the contract of the ONNX file.
        parameters: Number of trained parameters in the graph.
        flops: Floating point operations for one shower (two for a multiply-add), 0 if unknown.
        training_data: What it was trained on: file name, SHA-256, number of showers.
        validation: Figures by observable, for instance `{"auc": {"value": 0.61, "floor": 0.5}}`.
        speed: Figures of a benchmark, for instance ms per shower, batch, threads, machine.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: str
    approach: str
    detector_toml: str
    particles: Annotated[tuple[int, ...], Field(min_length=1)]
    energy_range: tuple[_Positive, _Positive]
    noise_size: Annotated[int, Field(ge=0)]
    theta_range: _Range = (0.0, 0.0)
    x_range: _Range = (0.0, 0.0)
    y_range: _Range = (0.0, 0.0)
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    version: str = ""
    format_version: int = FORMAT_VERSION
    parameters: Annotated[int, Field(ge=0)] = 0
    flops: Annotated[int, Field(ge=0)] = 0
    training_data: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    speed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def detector(self) -> Detector:
        """The detector that the model draws showers of.

        Raises:
            DetectorError: If the text is no valid detector file.
        """
        return detectors.parse(self.detector_toml, f"detector of model {self.name!r}")

    def to_metadata(self) -> dict[str, str]:
        """Return the card as the metadata of an ONNX file: text by key, structured values as JSON."""
        values = {column.name: getattr(self, column.name) for column in fields(self)}
        return {
            PREFIX + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the card as plain data, with name and shape of the detector instead of its file."""
        values = {c.name: getattr(self, c.name) for c in fields(self) if c.name != "detector_toml"}
        plain: dict[str, Any] = json.loads(json.dumps(values))
        plain["detector"] = {"name": self.detector.name, "shape": list(self.detector.shape)}
        return plain

    def outside(self, incidents: Incidents) -> list[str]:
        """Say in which ways incidents leave what the model was trained on.

        Returns:
            One sentence per way, none if all are inside. Bounds hold to a part in a million (float32).
        """
        found = []
        strangers = sorted(set(incidents.pdg.tolist()) - set(self.particles))
        if strangers:
            known = ", ".join(map(particle_name, self.particles))
            names = ", ".join(map(particle_name, strangers))
            found.append(f"particle {names}: model {self.name!r} was trained on {known}")
        for text, values, (low, high) in (
            ("energy", incidents.energy, self.energy_range),
            ("theta", incidents.theta, self.theta_range),
            ("x", incidents.x, self.x_range),
            ("y", incidents.y, self.y_range),
        ):
            slack = 1e-6 * max(abs(low), abs(high)) + 1e-6
            if values.size and (values.min() < low - slack or values.max() > high + slack):
                ends = [_write(text, float(v)) for v in (values.min(), values.max(), low, high)]
                asked = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
                found.append(f"{text} {asked}: model {self.name!r} was trained on {ends[2]} to {ends[3]}")
        return found


def _write(quantity: str, value: float) -> str:
    if quantity == "energy":
        return format_energy(value)
    return f"{value:.4g} {'rad' if quantity == 'theta' else 'mm'}"


def read_card(metadata: Mapping[str, str], source: str) -> ModelCard:
    """Read a card from the metadata of an ONNX file.

    Args:
        metadata: Text by key; keys without the prefix `caloforge.` are ignored.
        source: Name of the file in error messages.

    Raises:
        ModelError: If it is no metadata of caloforge, of a newer format, or broken.
    """
    ours = {key.removeprefix(PREFIX): text for key, text in metadata.items() if key.startswith(PREFIX)}
    if not ours:
        raise ModelError(
            f"'{source}' is an ONNX file but carries no metadata of caloforge (or was cut off): "
            "make it with 'caloforge export'"
        )
    texts = {"name", "approach", "detector_toml", "version"}
    values: dict[str, Any] = {}
    for key, text in ours.items():
        try:
            values[key] = text if key in texts else json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"'{source}': metadata '{PREFIX}{key}' is no valid JSON: {error}") from error
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ModelError(
            f"'{source}' has format {version}, this caloforge reads up to {FORMAT_VERSION}: "
            "upgrade with pip install --upgrade caloforge"
        )
    known = {column.name for column in fields(ModelCard)}
    missing = ", ".join(f"'{PREFIX}{key}'" for key in sorted(known - values.keys()))
    if missing:
        raise ModelError(
            f"'{source}': metadata {missing} missing: the file was cut off, or made by other means"
        )
    try:
        card = TypeAdapter(ModelCard).validate_python({k: v for k, v in values.items() if k in known})
        card.detector  # noqa: B018  a broken detector is found when the model is loaded, not when it is used
    except ValidationError as error:
        places = "; ".join(
            f"'{PREFIX}{'.'.join(map(str, item['loc']))}': {item['msg']}" for item in error.errors()
        )
        raise ModelError(f"'{source}': broken metadata: {places}") from error
    except CaloForgeError as error:
        raise ModelError(f"'{source}': broken metadata: {error}") from error
    return card
