"""The samples of a comparison: showers observed piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, check_shape
from caloforge.errors import FileError, InputError
from caloforge.files import file_hash
from caloforge.physics import DetailedObservables, observe_details
from caloforge.progress import progress
from caloforge.showers import Incidents, IncidentSpectrum, ShowerFile, Showers, particle_name
from caloforge.units import GeV
from caloforge.validation.cells import SparseCells

MIN_SHOWERS = 50
"""Fewest showers of a sample that can be compared."""

MAX_CELLS = 50_000
"""Showers whose cells are kept for the tests that need them: the first ones of a file."""

_PIECE = 500
_DISPLAY_ENERGY = 50 * GeV


@dataclass(frozen=True)
class Sample:
    """One of the two samples of a comparison.

    Attributes:
        name: For people: the file, or what the caller calls it.
        observables: Of all its showers.
        cells: Cells of its first showers (at most `MAX_CELLS`).
        weights: Monte Carlo weights of the showers, (N,); 1 for a plain sample.
        provenance: Where it comes from.
        kind: Layout of the file: `CaloForge`, `CaloChallenge`, `3D GAN`; or `memory`.
        sha256: Of the file; empty for showers in memory.
    """

    name: str
    observables: DetailedObservables
    cells: SparseCells
    weights: NDArray[np.float64]
    provenance: dict[str, str] = field(default_factory=dict)
    kind: str = "memory"
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.observables)

    @property
    def weighted(self) -> bool:
        """Whether the Monte Carlo weights differ."""
        return bool(np.ptp(self.weights) > 0)

    @property
    def declared(self) -> IncidentSpectrum | None:
        """The spectrum of incidents as the file says, or None if it does not.

        Raises:
            InputError: If what it says is not a spectrum.
        """
        text = self.provenance.get("spectrum")
        return IncidentSpectrum.parse_json(text, f"{self.name}: spectrum") if text else None

    @property
    def spectrum(self) -> IncidentSpectrum:
        """The spectrum of incidents as the file says, or else around those that are there."""
        return self.declared or IncidentSpectrum.around(self.observables.incidents)

    @property
    def example(self) -> int:
        """The shower for the event display: of the first particle, the closest to 50 GeV."""
        return _nearest(self.observables.incidents[: len(self.cells)])

    def select(self, chosen: NDArray[np.integer]) -> Sample:
        """Return some of the showers (indices in rising order)."""
        return replace(
            self,
            observables=self.observables[chosen],
            cells=self.cells[chosen[chosen < len(self.cells)]],
            weights=self.weights[chosen],
        )

    def unweighted(self, rng: np.random.Generator) -> Sample:
        """Return showers that follow the weighted distribution without weights, for tests that know none.

        A shower is kept with the probability weight / largest weight.
        """
        if not self.weighted:
            return self
        kept = np.flatnonzero(rng.random(len(self)) * self.weights.max() < self.weights)
        return replace(self.select(kept), weights=np.ones(len(kept)))


def read_sample(
    source: Showers | str | Path,
    name: str,
    detector: Detector | None = None,
    bar: bool = False,
    weights: NDArray[np.floating] | None = None,
    pdg: int | None = None,
) -> Sample:
    """Observe showers, or the showers of a file piece by piece.

    Args:
        source: Showers, or the path of a shower file (of any size).
        name: Name of the sample in messages and in the report.
        detector: The detector, where the showers do not carry it.
        bar: Show a progress bar.
        weights: Monte Carlo weights, (N,); the dataset `weights` of the file, or 1, if not given.
        pdg: PDG id of the incidents where the file does not say.

    Raises:
        FileError: If the file cannot be used.
        DetectorError: If the showers do not fit the detector.
        InputError: If the showers are too few, all empty, not finite or negative, if their detector is
            unknown or a weight is negative.
    """
    if isinstance(source, Showers):
        _not_empty(len(source), name)
        showers = source.check(name)
        if showers.detector is None:
            if detector is None:
                raise InputError(f"{name}: the detector of these showers is unknown: give it")
            check_shape(detector, showers.shape, name)
            showers = replace(showers, detector=detector)
        pieces = (showers[start : start + _PIECE] for start in range(0, len(showers), _PIECE))
        parts = [_observe(piece) for piece in pieces]
        return _joined(name, parts, weights, dict(showers.provenance))
    with ShowerFile(source, detector, pdg=pdg) as file:
        _not_empty(len(file), name)
        if file.detector is None:
            raise InputError(
                f"{name}: the file does not say which detector its {file.n_cells} cells belong to: give "
                "--detector (a name, a .toml file, or a CaloChallenge binning .xml file)"
            )
        if weights is None:
            weights = _weights(Path(source), len(file))
        parts = []
        with progress(f"reading {name}", len(file), enabled=bar) as shown:
            for piece in file.chunks(_PIECE):
                parts.append(_observe(piece, keep=sum(len(c) for _, c in parts) < MAX_CELLS))
                shown.advance(len(piece))
        return _joined(name, parts, weights, file.provenance, file.kind, file_hash(source))


def carried_detector(source: Showers | Sample | str | Path, pdg: int | None = None) -> Detector | None:
    """Return the detector that showers or their file say they are of, or None if they do not say.

    Args:
        source: Showers, a sample, or the path of a file.
        pdg: PDG id of the incidents where the file does not say.

    Raises:
        FileError: If the file cannot be used.
    """
    if isinstance(source, Showers):
        return source.detector
    if isinstance(source, Sample):
        return source.observables.detector
    with ShowerFile(source, pdg=pdg) as file:
        return file.detector


def _observe(piece: Showers, keep: bool = True) -> tuple[DetailedObservables, SparseCells]:
    observables = observe_details(piece)
    return observables, SparseCells.of(piece if keep else piece[:0], observables.threshold)


def _joined(
    name: str,
    parts: list[tuple[DetailedObservables, SparseCells]],
    weights: NDArray[np.floating] | None,
    provenance: dict[str, str],
    kind: str = "memory",
    sha256: str = "",
) -> Sample:
    observables = DetailedObservables.concatenate([o for o, _ in parts])
    return Sample(
        name,
        observables,
        SparseCells.concatenate([c for _, c in parts]),
        _checked(weights, len(observables), name),
        provenance,
        kind,
        sha256,
    )


def _checked(weights: NDArray[np.floating] | None, n: int, name: str) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(n)
    found = np.asarray(weights, dtype=np.float64).reshape(-1)
    if found.shape != (n,):
        raise InputError(f"{name}: {len(found)} weights for {n} showers")
    if not np.isfinite(found).all() or (found < 0).any() or found.sum() <= 0:
        raise InputError(f"{name}: weights must be finite, not negative, and not all zero")
    return found


def _weights(path: Path, n: int) -> NDArray[np.float64] | None:
    with h5py.File(path, "r") as file:
        if "weights" not in file:
            return None
        found = file["weights"]
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.size != n:
            raise FileError(f"'{path}': dataset 'weights' does not hold one number for each of {n} showers")
        return np.asarray(found[()], dtype=np.float64).reshape(n)


def _not_empty(n: int, name: str) -> None:
    if n < MIN_SHOWERS:
        raise InputError(f"{name}: {n} showers are too few to compare; at least {MIN_SHOWERS} are needed")


def _nearest(incidents: Incidents) -> int:
    distance = np.abs(np.log(incidents.energy / _DISPLAY_ENERGY))
    return int(np.argmin(np.where(incidents.pdg == incidents.pdg.min(), distance, np.inf)))


def particle_counts(sample: Sample) -> dict[str, int]:
    """Return the number of showers by particle name."""
    pdgs, counts = np.unique(sample.observables.incidents.pdg, return_counts=True)
    return {particle_name(int(pdg)): int(n) for pdg, n in zip(pdgs, counts, strict=True)}
