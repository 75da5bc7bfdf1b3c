"""The library of frozen showers: nothing but stored showers, scaled and turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from caloforge import detectors
from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models import Batch
from caloforge.models.library import Library, LibraryConfig, LibraryGenerator
from caloforge.testing import READOUTS, draw_incidents, synthetic_showers
from caloforge.training import checkpoint

SMALL = """
name = "small"
threshold = 0.015
physics = { production_cut = 0.7 }
readout = { kind = "cartesian", cells = [5, 5], size = [5.0, 5.0] }
[[stack]]
repeat = 4
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
DETECTOR = detectors.parse(SMALL)
N = 40


@pytest.fixture(scope="module")
def sample() -> Batch:
    rng = np.random.default_rng(1)
    cells = rng.gamma(2, 0.2, (N, *DETECTOR.shape)) * (rng.random((N, *DETECTOR.shape)) < 0.3)
    cells[cells < DETECTOR.threshold] = 0
    incident = np.zeros((N, 6), np.float32)
    incident[:, 0], incident[:, 1] = np.resize([11, 22], N), np.exp(rng.uniform(7, 11, N))
    return Batch.whole(torch.from_numpy(incident), torch.from_numpy(cells.astype(np.float32)))


def library(sample: Batch, detector: Detector = DETECTOR, **config: Any) -> LibraryGenerator:
    approach = Library(detector, Library.size(LibraryConfig(**config), detector, sample))
    approach.prepare(sample)
    generator = approach.generator.eval()
    assert isinstance(generator, LibraryGenerator)
    return generator


def noise(n: int, seed: int = 2) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def images(shower: Tensor) -> Tensor:
    moved = torch.zeros(8, DETECTOR.n_cells)
    moved.scatter_(1, torch.from_numpy(DETECTOR.destinations()), shower.flatten().expand(8, -1))
    return moved.reshape(8, *DETECTOR.shape)


def test_a_shower_of_the_same_energy_comes_back_up_to_a_symmetry(sample: Batch) -> None:
    generator = library(sample, neighbours=1)
    drawn = generator(sample.incident, noise(N))
    for made, stored in zip(drawn, sample.showers, strict=True):
        assert any(torch.equal(made, image) for image in images(stored))


def test_nothing_but_stored_showers_of_near_energies_and_the_same_particle(sample: Batch) -> None:
    k = 3
    generator = library(sample, neighbours=k)
    rng = np.random.default_rng(3)
    incident = torch.zeros(200, 6)
    incident[:, 0] = torch.from_numpy(rng.choice([11.0, 22.0], 200))
    incident[:, 1] = torch.from_numpy(np.exp(rng.uniform(6.5, 11.5, 200)))
    drawn = generator(incident, noise(200))
    seen = set()
    for (pdg, energy), made in zip(incident[:, :2], drawn, strict=True):
        candidates = torch.nonzero(sample.incident[:, 0] == pdg)[:, 0]
        far = (sample.incident[candidates, 1] / energy).log().abs()
        matches = []
        for number in candidates[far.argsort()[:k]]:
            scaled = sample.showers[number] * (energy / sample.incident[number, 1])
            scaled = torch.where(scaled >= DETECTOR.threshold, scaled, 0.0)
            matches += [
                int(number) for image in images(scaled) if torch.allclose(made, image, rtol=1e-5, atol=1e-7)
            ]
        assert matches
        seen.add(matches[0])
    assert len(seen) > N / 2


def test_scaling_keeps_the_response(sample: Batch) -> None:
    generator = library(sample, neighbours=1)
    incident = sample.incident.clone()
    incident[:, 1] *= 1 + 1e-4  # up, so that no cell falls below the threshold
    drawn = generator(incident, noise(N)).sum((1, 2, 3)) / incident[:, 1]
    stored = sample.showers.sum((1, 2, 3)) / sample.incident[:, 1]
    torch.testing.assert_close(drawn, stored, rtol=1e-5, atol=0)


def test_the_threshold_is_applied_again(sample: Batch) -> None:
    generator = library(sample, neighbours=1)
    incident = sample.incident.clone()
    incident[:, 1] *= 0.1
    drawn = generator(incident, noise(N))
    assert drawn[drawn > 0].min() >= DETECTOR.threshold
    assert (drawn > 0).sum() < (sample.showers > 0).sum()


def test_all_neighbours_and_symmetries_are_drawn(sample: Batch) -> None:
    generator = library(sample, neighbours=4)
    n = 2000
    drawn = generator(sample.incident[:1].expand(n, -1), noise(n))
    assert len({tuple(shower.flatten().tolist()) for shower in drawn}) == 4 * 8
    counts = np.unique(
        generator.nearest(sample.incident[:1].expand(n, -1), torch.rand(n)), return_counts=True
    )[1]
    assert counts.min() > 0.2 * n


def test_hits_are_stored_and_nothing_else(sample: Batch, tmp_path) -> None:
    generator = library(sample)
    hits = int((sample.showers > 0).sum())
    assert (generator.cells.dtype, len(generator.cells)) == (torch.int16, hits + 1)
    path = tmp_path / "library.safetensors"
    checkpoint.write(path, generator.state_dict(), {})
    assert path.stat().st_size < 6 * hits + 8000
    empty = Library(
        DETECTOR, LibraryConfig(particles=("e-", "gamma"), conditions=("particle", "energy"))
    ).generator
    checkpoint.load_network(empty, checkpoint.read(path)[0], str(path))
    assert torch.equal(empty(sample.incident, noise(N)), generator(sample.incident, noise(N)))


def test_as_many_showers_as_asked_for_are_wanted() -> None:
    assert Library(DETECTOR, LibraryConfig(showers=123)).prepare_showers == 123


def test_an_empty_shower_stays_empty(sample: Batch) -> None:
    generator = library(Batch.whole(sample.incident, torch.zeros_like(sample.showers)))
    assert not generator(sample.incident, noise(N)).any()


def test_at_one_energy_all_showers_are_drawn(sample: Batch) -> None:
    incident = sample.incident.clone()
    incident[:, 1] = 1e4
    generator = library(Batch.whole(incident, sample.showers))
    chosen = generator.nearest(
        incident[:1].expand(2000, -1), torch.rand(2000, generator=torch.Generator().manual_seed(1))
    )
    assert len(chosen.unique()) == N / 2


@pytest.mark.parametrize("readout", ["rectangular", "cylinder"])
def test_the_nearest_direction_and_place_are_taken(readout: str) -> None:
    detector = detectors.parse(READOUTS[readout])
    drawn = draw_incidents(detector, 60, ("particle", "energy", "direction", "position"))
    sample = synthetic_showers(detector, drawn)
    generator = library(sample, detector, neighbours=1)
    showers = generator(sample.incident, noise(60))
    torch.testing.assert_close(showers, sample.showers, rtol=1e-5, atol=0)  # not moved by any symmetry


def test_errors(sample: Batch) -> None:
    electrons = sample.select(sample.incident[:, 0] == 11)
    with pytest.raises(InputError, match=r"gets 0 showers of gamma, fewer than model\.neighbours = 4"):
        library(electrons, particles=("e-", "gamma"))
    for wrong in ({"neighbours": 0}, {"showers": 0}, {"particles": ("e-", "e-")}):
        with pytest.raises(ValueError, match="validation error"):
            LibraryConfig(**wrong)
    with pytest.raises(ValueError, match="unknown particle"):
        LibraryConfig(particles=("electrn",))
