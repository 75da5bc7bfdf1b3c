"""What a model says about itself: the metadata of its files (`docs/runtime.md`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from caloforge import detectors
from caloforge.detectors import Detector
from caloforge.errors import CaloForgeError, ModelError
from caloforge.showers import CONDITIONS, Condition, Incidents, IncidentSpectrum, incidents

FORMAT_VERSION = 2
"""Version of the contract of a model file."""

PREFIX = "caloforge."

_CONDITION_OF: dict[str, Condition] = {
    "particle": "particle",
    "energy": "energy",
    "theta": "direction",
    "phi": "direction",
    "x": "position",
    "y": "position",
}
"""The condition that each variable of an incident belongs to, by the first word of what a spectrum says of it."""

_AZIMUTHS = 361
"""Azimuths at which a spectrum is compared with another: both may be any part of a turn."""


@dataclass(frozen=True)
class Departures:
    """In which ways incidents leave the spectrum of a model, a sentence each.

    Attributes:
        refused: In what the model is not conditioned on: it would draw the same showers as inside.
        extrapolated: In what it is conditioned on.
    """

    refused: tuple[str, ...] = ()
    extrapolated: tuple[str, ...] = ()


def training_data(run: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a run was trained on, see `ModelCard.training_data`.

    Args:
        run: What `run.json` holds, and the `step` of the generator.
    """
    found = {**(run.get("data") or {}), "showers": run.get("n_showers", 0), "steps": run.get("step", 0)}
    return {**found, "start": run["start"]} if run.get("start") else found


@dataclass(frozen=True)
class ModelCard:
    """What a model was trained on, for which incidents it holds, and how well it did.

    Attributes:
        name: Name of the model, for instance `clic-ecal`.
        approach: The approach that it is an instance of, for instance `gan3d`.
        detector_toml: Text of the detector file.
        spectrum: The incidents that it holds for; its position is a point or a rectangle.
        conditions: What of the incident it is conditioned on, of `CONDITIONS`.
        noise_size: Number Z of standard normal numbers that one shower takes.
        physics: Physics of the Geant4 showers that it was trained on.
        threshold: Cells below are set to zero after the graph has run, in MeV; 0 leaves the output as it is.
        version: Version of caloforge that exported it.
        commit: Git commit of the code that trained it, empty if unknown.
        format_version: Version of the contract of the file.
        parameters: Number of trained parameters in the graph.
        flops: Floating point operations for one shower (two for a multiply-add), 0 if unknown.
        recipe: The resolved recipe that it was trained with.
        training_data: What it was trained on: file name, SHA-256, number of showers, steps; `start` says the same of
            the weights that it began with.
        validation: Figures by observable, for instance `{"auc": {"value": 0.61, "floor": 0.5}}`.
        speed: Figures of a benchmark, for instance ms per shower, batch, threads, machine.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: str
    approach: str
    detector_toml: str
    spectrum: IncidentSpectrum
    conditions: tuple[Condition, ...]
    noise_size: Annotated[int, Field(ge=0)]
    physics: str = ""
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    version: str = ""
    commit: str = ""
    format_version: int = FORMAT_VERSION
    parameters: Annotated[int, Field(ge=0)] = 0
    flops: Annotated[int, Field(ge=0)] = 0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    training_data: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    speed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.spectrum.position == "cell":
            raise ModelError(f"card of model {self.name!r}: give the position in mm, not as 'cell'")
        unknown = [name for name in self.conditions if name not in CONDITIONS]
        if unknown:
            raise ModelError(f"card of model {self.name!r}: unknown conditions {', '.join(unknown)}")

    @cached_property
    def detector(self) -> Detector:
        """The detector that the model draws showers of.

        Raises:
            DetectorError: If the text is not a valid detector file.
        """
        return detectors.parse(self.detector_toml, f"detector of model {self.name!r}")

    def to_metadata(self) -> dict[str, str]:
        """Return the card as the metadata of a model file: text by key, structured values as JSON."""
        return {
            PREFIX + key: value if isinstance(value, str) else json.dumps(value)
            for key, value in self._values().items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the card as plain data, with name and shape of the detector instead of its file."""
        values = self._values()
        del values["detector_toml"]
        plain: dict[str, Any] = json.loads(json.dumps(values))
        plain["detector"] = {"name": self.detector.name, "shape": list(self.detector.shape)}
        return plain

    def _values(self) -> dict[str, Any]:
        values = {column.name: getattr(self, column.name) for column in fields(self)}
        return {**values, "spectrum": asdict(self.spectrum)}

    def outside(self, given: Incidents | IncidentSpectrum) -> list[str]:
        """Say in which ways incidents, or all of a spectrum, leave what the model holds for.

        Returns:
            One sentence a way, none if all are inside. phi means nothing at theta = 0.
        """
        found = self.departures(given)
        return [*found.refused, *found.extrapolated]

    def departures(self, given: Incidents | IncidentSpectrum) -> Departures:
        """Say in which ways incidents, or all of a spectrum with its position in mm, leave what the model holds for."""
        drawn = given if isinstance(given, Incidents) else _extremes(given)
        by_condition: dict[Condition, list[str]] = {}
        for sentence in self.spectrum.outside(drawn):
            by_condition.setdefault(_CONDITION_OF[sentence.split()[0]], []).append(sentence)
        refused, extrapolated = [], []
        for condition, sentences in by_condition.items():
            text = ", ".join(sentences)
            if condition == "particle":  # between particles nothing can be extrapolated
                refused.append(f"{text}: model {self.name!r} does not know this particle")
            elif condition in self.conditions:
                extrapolated.append(f"{text}: model {self.name!r} was not trained for this")
            else:
                refused.append(
                    f"{text}: model {self.name!r} is not conditioned on the {condition} of the incident"
                )
        return Departures(tuple(refused), tuple(extrapolated))


def _extremes(spectrum: IncidentSpectrum) -> Incidents:
    """Return incidents that hold all ends of a spectrum, variable by variable."""
    x0, x1, y0, y1 = spectrum.rectangle
    n = _AZIMUTHS + len(spectrum.particles)
    theta = np.full(n, spectrum.theta[1])
    theta[0] = spectrum.theta[0]
    return incidents(
        np.resize(np.array(spectrum.particles), n),
        np.resize(spectrum.energy_range, n),
        theta,
        np.resize(np.linspace(*spectrum.phi, _AZIMUTHS), n),
        np.resize([x0, x1], n),
        np.resize([y0, y1], n),
    )


def read_card(metadata: Mapping[str, str], source: str) -> ModelCard:
    """Read a card from the metadata of a model file.

    Args:
        metadata: Text by key; keys without the prefix `caloforge.` are ignored.
        source: Name of the file in error messages.

    Raises:
        ModelError: If they are not metadata of caloforge, of another format, or broken.
    """
    ours = {key.removeprefix(PREFIX): text for key, text in metadata.items() if key.startswith(PREFIX)}
    if not ours:
        raise ModelError(
            f"'{source}' carries no metadata of caloforge (or was cut off): make it with 'caloforge export'"
        )
    texts = {"name", "approach", "detector_toml", "physics", "version", "commit"}
    values: dict[str, Any] = {}
    for key, text in ours.items():
        try:
            values[key] = text if key in texts else json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"'{source}': metadata '{PREFIX}{key}' is not valid JSON: {error}") from error
    _check_version(values.get("format_version"), source)
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


def _check_version(version: Any, source: str) -> None:
    if not isinstance(version, int) or version == FORMAT_VERSION:
        return
    if version > FORMAT_VERSION:
        raise ModelError(
            f"'{source}' has format {version}, this caloforge reads format {FORMAT_VERSION}: "
            "upgrade with pip install --upgrade caloforge"
        )
    raise ModelError(
        f"'{source}' has format {version}, of an older caloforge; this one reads format {FORMAT_VERSION}: "
        "train the model again"
    )
