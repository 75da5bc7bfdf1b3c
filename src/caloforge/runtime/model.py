"""A trained model, ready to draw showers."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import FileError, InputError, ModelError
from caloforge.runtime.backends import INPUTS, OUTPUT, GraphInfo, open_backend
from caloforge.runtime.card import ModelCard, read_card
from caloforge.showers import Incidents, Showers, draw_incidents, parse_particles

CHUNK = 1000
"""Showers that share one seed; random numbers depend on (seed, number of the chunk) and nothing else."""

NOISE_BLOCK = 64
"""Showers whose noise comes from one source."""

_INCIDENT_STREAM, _NOISE_STREAM = 0, 1


class OutOfRangeWarning(UserWarning):
    """A model was asked for incidents outside what it was trained on."""


def random_numbers(seed: int, chunk: int, stream: int, block: int = 0) -> np.random.Generator:
    """Return a source of random numbers: PCG64 of SeedSequence(seed, spawn_key=(chunk, stream, block)).

    Args:
        seed: The seed of the whole sample.
        chunk: Number of the chunk of `CHUNK` showers.
        stream: 0 for incidents, 1 for noise.
        block: Number of the block of `NOISE_BLOCK` showers in the chunk; 0 for incidents.

    Raises:
        InputError: If the seed is negative.
    """
    if seed < 0:
        raise InputError(f"seed {seed}: expected a whole number that is not negative")
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk, stream, block)))
    )


def noise(seed: int, chunk: int, n: int, size: int, threads: int = 1) -> NDArray[np.float32]:
    """Return the noise of the first n showers of a chunk, (n, size) float32, standard normal.

    Blocks of `NOISE_BLOCK` showers have sources of their own: threads share the work and change nothing.
    """
    values = np.empty((n, size), np.float32)

    def fill(block: int) -> None:
        rng = random_numbers(seed, chunk, _NOISE_STREAM, block)
        rng.standard_normal(out=values[block * NOISE_BLOCK : (block + 1) * NOISE_BLOCK], dtype=np.float32)

    blocks = range(-(-n // NOISE_BLOCK))
    if threads > 1 and len(blocks) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, blocks))
    else:
        for block in blocks:
            fill(block)
    return values


class Model:
    """A model from an ONNX file.

    Results depend on the seed alone: the number of threads, the batch and the length of the sample change
    them by float32 rounding at the most, and the first n showers of a longer sample are the sample of n.

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
        ModelError: If it is no model of caloforge, or broken.
        MissingExtraError: If the engine is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None, backend: str = "onnxruntime") -> None:
        self.path = Path(path)
        content = _read(self.path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.size = len(content)
        self.backend = open_backend(backend, self.path, content, threads)
        self.card: ModelCard = read_card(self.backend.info.metadata, str(path))
        self.detector: Detector = self.card.detector
        _check_graph(self.backend.info, self.card, str(path))

    def __repr__(self) -> str:
        return (
            f"Model({self.card.name!r}, {self.card.approach}, detector {self.detector.name!r}, "
            f"{self.backend.name}, {self.backend.threads} threads)"
        )

    def forward(
        self, incident: NDArray[np.float32], noise: NDArray[np.float32], batch: int = 128
    ) -> NDArray[np.float32]:
        """Run the graph.

        Args:
            incident: (n_showers, 6) float32: pdg, kinetic energy in MeV, theta, phi, x, y.
            noise: (n_showers, Z) float32, standard normal.
            batch: Number of showers that the graph gets at once.

        Returns:
            Energies in MeV, (n_showers, n_layers, n_rows, n_columns) float32.

        Raises:
            InputError: If the batch is not positive or the shapes do not fit.
            ModelError: If the engine fails or gives values that are negative or not finite.
        """
        n = len(incident)
        if batch < 1:
            raise InputError(f"batch {batch}: expected at least 1")
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
        batch: int = 128,
        strict: bool = False,
    ) -> Showers:
        """Draw showers of normal incidents at the centre.

        Args:
            particle: Name, PDG id, or several (`"e-,gamma"`), used in turn.
            energy: Kinetic energy in MeV, or (lowest, highest) for log-uniform energies.
            n: Number of showers.
            seed: Seed of incidents and noise.
            batch: Number of showers that the graph gets at once.
            strict: Fail, instead of warning, outside what the model was trained on.

        Raises:
            InputError: If an argument cannot be used, or with `strict` is outside the trained range.
            ModelError: If the model fails.
        """
        parts = list(self.stream(particle, energy, n, seed, batch=batch, strict=strict))
        if len(parts) == 1:
            return parts[0]
        return Showers.concatenate(parts)

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
            InputError: With `strict`, outside the trained range.
            ModelError: If the model fails.
        """
        self.check_range(incidents, strict)
        matrix = incidents.matrix()
        energies = np.empty((len(incidents), *self.detector.shape), np.float32)
        for chunk, start in enumerate(range(0, len(incidents), CHUNK)):
            part = matrix[start : start + CHUNK]
            energies[start : start + CHUNK] = self.forward(
                part, noise(seed, chunk, len(part), self.card.noise_size, self.backend.threads), batch
            )
        return Showers(energies, incidents, self.detector, self.provenance(seed))

    def stream(
        self,
        particle: str | int | Sequence[int] = "e-",
        energy: float | tuple[float, float] = 50_000.0,
        n: int = 1,
        seed: int = 0,
        *,
        batch: int = 128,
        strict: bool = False,
        first_chunk: int = 0,
    ) -> Iterator[Showers]:
        """Draw the showers of `generate` in chunks of at most `CHUNK`, for jobs larger than memory.

        The arguments are checked at once, the showers drawn as they are asked for.

        Args:
            particle: As in `generate`.
            energy: As in `generate`.
            n: As in `generate`.
            seed: As in `generate`.
            batch: As in `generate`.
            strict: As in `generate`.
            first_chunk: Number of the chunk to begin with.
        """
        pdgs, bounds = particle_ids(particle), energy_bounds(energy)
        if n < 1:
            raise InputError(f"n = {n}: expected at least one shower")
        if batch < 1:
            raise InputError(f"batch {batch}: expected at least 1")
        corners = _corners(pdgs, bounds)
        self.check_range(corners, strict)
        random_numbers(seed, 0, _NOISE_STREAM)  # checks the seed
        return self._chunks(pdgs, bounds, n, seed, batch=batch, first=first_chunk)

    def _chunks(
        self, pdgs: Sequence[int], bounds: tuple[float, float], n: int, seed: int, *, batch: int, first: int
    ) -> Iterator[Showers]:
        for chunk in range(first, -(-n // CHUNK)):
            rows = min(CHUNK, n - chunk * CHUNK)
            rng = random_numbers(seed, chunk, _INCIDENT_STREAM)
            incidents = draw_incidents(CHUNK, pdgs, bounds, rng)[:rows]
            energies = self.forward(
                incidents.matrix(),
                noise(seed, chunk, rows, self.card.noise_size, self.backend.threads),
                batch,
            )
            yield Showers(energies, incidents, self.detector, self.provenance(seed))

    def provenance(self, seed: int) -> dict[str, str]:
        """Attributes of a file of showers of this model."""
        return {
            "source": f"model {self.card.name} ({self.card.approach})",
            "model": self.card.name,
            "model_sha256": self.sha256,
            "runtime": f"{self.backend.name} {self.backend.version}",
            "seed": str(seed),
        }

    def check_range(self, incidents: Incidents, strict: bool = False) -> None:
        """Warn, or with `strict` fail, if incidents are outside what the model was trained on.

        Raises:
            InputError: With `strict`, naming every way in which they are outside.
        """
        found = self.card.outside(incidents)
        if found and strict:
            raise InputError("; ".join(found))
        for text in found:
            warnings.warn(text, OutOfRangeWarning, stacklevel=3)


def particle_ids(particle: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return PDG ids of a name, several names with commas, an id, or several ids.

    >>> particle_ids("e-,gamma"), particle_ids(11), particle_ids([11, 22])
    ((11, 22), (11,), (11, 22))

    Raises:
        InputError: If a name is unknown or none is given.
    """
    if isinstance(particle, str):
        return parse_particles(particle)
    found = (particle,) if isinstance(particle, int | np.integer) else tuple(particle)
    if not found:
        raise InputError("no particle given; write for instance 'e-' or 11")
    return tuple(int(pdg) for pdg in found)


def energy_bounds(energy: float | tuple[float, float]) -> tuple[float, float]:
    """Return the (lowest, highest) energy in MeV.

    >>> energy_bounds(50_000), energy_bounds((1e3, 1e5))
    ((50000.0, 50000.0), (1000.0, 100000.0))

    Raises:
        InputError: If an energy is not positive and finite, or the lowest exceeds the highest.
    """
    if isinstance(energy, int | float | np.number):
        energy = (float(energy), float(energy))
    if len(energy) != 2:
        raise InputError(f"energy {energy}: give one energy or (lowest, highest), in MeV")
    low, high = float(energy[0]), float(energy[1])
    if not (0 < low <= high < float("inf")):
        raise InputError(f"energy {low:g} to {high:g} MeV: expected positive, finite, lowest first")
    return low, high


def _corners(pdgs: Sequence[int], bounds: tuple[float, float]) -> Incidents:
    from caloforge.showers import incidents

    pdg, energy = np.meshgrid(np.asarray(pdgs), np.asarray(bounds))
    return incidents(pdg.ravel(), energy.ravel())


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileError(f"model '{path}' does not exist") from error
    except OSError as error:
        raise FileError(f"model '{path}' cannot be read: {error.strerror}") from error
    if not content:
        raise ModelError(f"model '{path}' is empty")
    return content


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
