"""A trained model, ready to draw showers."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import InputError, ModelError
from caloforge.runtime.backends import INPUTS, OUTPUT, Backend, GraphInfo, open_backend
from caloforge.runtime.card import ModelCard, read_card
from caloforge.runtime.model_file import WEIGHTS, metadata_of, read_content
from caloforge.runtime.random_numbers import CHUNK, INCIDENTS, NOISE, noise, random_numbers
from caloforge.showers import Incidents, IncidentSpectrum, Showers, particle_ids, spectrum
from caloforge.showers.spectrum import Position


class OutOfRangeWarning(UserWarning):
    """A model was asked for incidents outside what it was trained on."""


class Model:
    """A model from an ONNX file.

    Incidents and noise depend on the seed alone, and the first n showers of a longer sample are the sample of n. The
    engine rounds differently with the number of showers that it gets at once, hence with `batch`, `threads` and the
    length of the sample, and from engine to engine. That is a part in a million of a cell, but where a graph decides
    (is a cell hit, how many hits are there) rounding can flip the decision: see "What differs" in `docs/runtime.md`
    for how many showers do. The distributions are the same.

    A context manager; without it the threads end with the object.

    Args:
        path: The ONNX file.
        threads: Number of threads; all cores that the process may use if not given.
        backend: The engine, `onnxruntime` or `openvino`.

    Attributes:
        path: The ONNX file.
        card: What the model says about itself.
        detector: The detector.
        sha256: Hash of the file, in hexadecimal.
        backend: The engine with the loaded graph.

    Raises:
        FileError: If the file is missing or unreadable.
        ModelError: If it is not a model of caloforge, or broken.
        MissingExtraError: If the engine is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None, backend: str = "onnxruntime") -> None:
        self.path = Path(path)
        if self.path.suffix == WEIGHTS:
            raise ModelError(f"'{path}' holds weights to train on; showers are drawn from the .onnx file")
        content = read_content(self.path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.size = len(content)
        self.card: ModelCard = read_card(metadata_of(content, str(path)), str(path))
        self.detector: Detector = self.card.detector
        self.backend: Backend = open_backend(backend, self.path, content, threads)
        _check_graph(self.backend.info, self.card, str(path))

    def __repr__(self) -> str:
        return (
            f"Model({self.card.name!r}, {self.card.approach}, detector {self.detector.name!r}, "
            f"{self.backend.name}, {self.backend.threads} threads)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads of the engine; drawing again starts them again."""
        self.backend.close()

    def forward(
        self, incident: NDArray[np.float32], noise: NDArray[np.float32], batch: int = 128
    ) -> NDArray[np.float32]:
        """Run the graph.

        Args:
            incident: (n_showers, 6) float32: pdg, kinetic energy in MeV, theta, phi, x, y.
            noise: (n_showers, Z) float32, standard normal.
            batch: Number of showers that the graph gets at once.

        Returns:
            Energies in MeV, (n_showers, *detector.shape) float32.

        Raises:
            InputError: If the batch is not positive or the shapes do not fit.
            ModelError: If the engine fails or gives values that are negative or not finite.
        """
        n = len(incident)
        _check_batch(batch)
        if incident.shape != (n, 6) or noise.shape != (n, self.card.noise_size):
            raise InputError(
                f"incident {incident.shape} and noise {noise.shape}: "
                f"expected (n, 6) and (n, {self.card.noise_size})"
            )
        try:
            if 0 < n <= batch:
                energies = self.backend.run(incident, noise)
            else:
                energies = np.empty((n, *self.detector.shape), np.float32)
                for start in range(0, n, batch):
                    rows = slice(start, start + batch)
                    energies[rows] = self.backend.run(incident[rows], noise[rows])
        except Exception as error:  # the engines' own exceptions share no base but Exception
            raise ModelError(f"{self.backend.name} failed on '{self.path}': {error}") from error
        if n and not (energies.min() >= 0 and energies.max() < np.inf):  # NaN fails both
            raise ModelError(f"'{self.path}' drew cells that are negative or not finite: the model is broken")
        if self.card.threshold > 0:  # a product is four times as fast as assigning where below
            np.multiply(energies, energies >= np.float32(self.card.threshold), out=energies)
        return energies

    def generate(
        self,
        particle: str | int | Sequence[int] = "e-",
        energy: float | tuple[float, float] = 50_000.0,
        n: int = 1,
        seed: int = 0,
        *,
        theta: float | tuple[float, float] = 0.0,
        phi: float | tuple[float, float] = 0.0,
        position: Position = (0.0, 0.0),
        batch: int = 128,
        strict: bool = False,
    ) -> Showers:
        """Draw showers.

        Args:
            particle: Name, PDG id, or several (`"e-,gamma"`), used in turn.
            energy: Kinetic energy in MeV, or (lowest, highest) for log-uniform energies.
            n: Number of showers.
            seed: Seed of incidents and noise.
            theta: Angle from the layer normal in rad, or (lowest, highest), uniform in solid angle.
            phi: Azimuth in rad, or (lowest, highest), uniform.
            position: Impact point on the front face in mm, (x, y), a rectangle (x0, x1, y0, y1), or `cell`: uniform
                over a rectangle of one cell's size around (0, 0).
            batch: Number of showers that the graph gets at once.
            strict: Fail, instead of warning, outside what the model was trained on.

        Raises:
            InputError: If an argument cannot be used, or leaves what the model holds for in what it is not
                conditioned on, or, with `strict`, in anything.
            ModelError: If the model fails.
        """
        asked = spectrum(particle_ids(particle), energy, theta, phi, position)
        parts = list(self.stream(asked, n, seed, batch=batch, strict=strict))
        return parts[0] if len(parts) == 1 else Showers.concatenate(parts)

    def generate_incidents(
        self, incidents: Incidents, seed: int = 0, *, batch: int = 128, strict: bool = False
    ) -> Showers:
        """Draw one shower for each incident.

        Args:
            incidents: The incidents.
            seed: Seed of the noise.
            batch: Number of showers that the graph gets at once.
            strict: Fail, instead of warning, outside what the model was trained on.

        Raises:
            InputError: As in `generate`.
            ModelError: If the model fails.
        """
        self.check(incidents, strict)
        matrix = incidents.matrix()
        energies = np.empty((len(incidents), *self.detector.shape), np.float32)
        for chunk, start in enumerate(range(0, len(incidents), CHUNK)):
            rows = slice(start, start + CHUNK)
            energies[rows] = self._draw(matrix[rows], seed, chunk, batch)
        return Showers(energies, incidents, self.detector, self.provenance(seed))

    def stream(
        self, spectrum: IncidentSpectrum, n: int, seed: int = 0, *, batch: int = 128, strict: bool = False
    ) -> Iterator[Showers]:
        """Draw showers in chunks of at most `CHUNK`, for jobs larger than memory.

        The arguments are checked at once, the showers drawn as they are asked for.

        Args:
            spectrum: How incidents are distributed.
            n: As in `generate`.
            seed: As in `generate`.
            batch: As in `generate`.
            strict: As in `generate`.

        Raises:
            InputError: As in `generate`.
        """
        if n < 1:
            raise InputError(f"n = {n}: expected at least one shower")
        _check_batch(batch)
        random_numbers(seed, 0, NOISE)  # checks the seed
        self.check(spectrum, strict)
        return (self.draw_chunk(spectrum, chunk, n, seed, batch=batch) for chunk in range(-(-n // CHUNK)))

    def draw_chunk(
        self, spectrum: IncidentSpectrum, chunk: int, n: int, seed: int, *, batch: int = 128
    ) -> Showers:
        """Draw one chunk of a sample: showers `CHUNK * chunk` and on, whether or not others are drawn.

        What the model holds for is not checked, see `check`.

        Args:
            spectrum: How incidents are distributed.
            chunk: Number of the chunk, from 0.
            n: Number of showers of the whole sample.
            seed: Seed of incidents and noise.
            batch: Number of showers that the graph gets at once.
        """
        rows = min(CHUNK, n - chunk * CHUNK)
        drawn = spectrum.draw(CHUNK, random_numbers(seed, chunk, INCIDENTS), self.detector)[:rows]
        energies = self._draw(drawn.matrix(), seed, chunk, batch)
        return Showers(energies, drawn, self.detector, self.provenance(seed, spectrum))

    def _draw(self, matrix: NDArray[np.float32], seed: int, chunk: int, batch: int) -> NDArray[np.float32]:
        drawn = noise(seed, chunk, len(matrix), self.card.noise_size, self.backend.threads)
        return self.forward(matrix, drawn, batch)

    def provenance(self, seed: int, spectrum: IncidentSpectrum | None = None) -> dict[str, str]:
        """Attributes of a file of showers of this model."""
        facts = {
            "source": f"model {self.card.name} ({self.card.approach})",
            "model": self.card.name,
            "model_sha256": self.sha256,
            "runtime": f"{self.backend.name} {self.backend.version}",
            "physics": self.card.physics,
            "seed": str(seed),
        }
        if spectrum is not None:
            facts["spectrum"] = spectrum.on(self.detector).to_json()
        return facts

    def check(self, given: Incidents | IncidentSpectrum, strict: bool = False) -> None:
        """Refuse incidents that the model cannot draw showers of; warn outside what it was trained on.

        Raises:
            InputError: If an impact point lies outside the readout; if they leave what the model holds for in what
                it is not conditioned on; with `strict`, if they leave it in anything. It names every way.
        """
        if isinstance(given, IncidentSpectrum):
            given = given.on(self.detector)
        else:
            given.check_inside(self.detector)
        found = self.card.departures(given)
        wrong = found.refused + (found.extrapolated if strict else ())
        if wrong:
            raise InputError("; ".join(wrong))
        for text in found.extrapolated:
            warnings.warn(text, OutOfRangeWarning, stacklevel=3)


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise InputError(f"batch {batch}: expected at least 1")


def _check_graph(info: GraphInfo, card: ModelCard, source: str) -> None:
    wanted = {INPUTS[0]: (None, 6), INPUTS[1]: (None, card.noise_size), OUTPUT: (None, *card.detector.shape)}
    found = {**info.inputs, **info.outputs}
    for name, shape in wanted.items():
        if name not in found:
            raise ModelError(f"'{source}': its graph has no {name!r}; it has {', '.join(map(repr, found))}")
        actual = found[name]
        fits = len(actual) == len(shape) and all(
            a is None or a == b for a, b in zip(actual, shape, strict=True)
        )
        if not fits:
            raise ModelError(
                f"'{source}': {name!r} has shape {_text(actual)}, its metadata says {_text(shape)}"
            )


def _text(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
