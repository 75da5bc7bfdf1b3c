"""Training showers: threshold, selection, order, symmetries, held-out part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.detectors import Detector
from caloforge.errors import TrainingError
from caloforge.models import Batch
from caloforge.showers import Showers, incidents, write_showers
from caloforge.training import data as training_data
from caloforge.training.data import Batches, SparseShowers, held_out_showers, load_showers, split
from caloforge.training.recipe import DataRecipe

ALL = DataRecipe()


def test_loading_applies_the_threshold(small: Detector, showers: Showers, data: Path, tmp_path: Path) -> None:
    loaded = load_showers(data, small, ALL, tmp_path)
    expected = showers.with_threshold().energies
    assert (expected != showers.energies).any()
    chosen = np.array([3, 0, 3, 399])
    np.testing.assert_array_equal(loaded.dense(chosen), expected[chosen])
    np.testing.assert_array_equal(loaded.dense(np.arange(400)), expected)
    assert loaded.dense(np.arange(0)).shape == (0, 5, 7, 7)


def test_showers_larger_than_memory_live_in_a_file(
    small: Detector, showers: Showers, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_data, "MEMORY_PART", 0.0)
    loaded = load_showers(data, small, ALL, tmp_path)
    assert isinstance(loaded.energies, np.memmap)
    np.testing.assert_array_equal(loaded.dense(np.arange(400)), showers.with_threshold().energies)


def test_selection_by_particle_and_energy(
    small: Detector, showers: Showers, data: Path, tmp_path: Path
) -> None:
    recipe = DataRecipe(particles=("gamma",), energy="5:20")
    loaded = load_showers(data, small, recipe, tmp_path)
    mask = (
        (showers.incidents.pdg == 22) & (showers.incidents.energy >= 5e3) & (showers.incidents.energy <= 2e4)
    )
    assert len(loaded) == mask.sum()
    np.testing.assert_array_equal(
        loaded.dense(np.arange(len(loaded))), showers[mask].with_threshold().energies
    )


def test_an_empty_shower_stays_empty(small: Detector, tmp_path: Path) -> None:
    energies = np.zeros((3, *small.shape), np.float32)
    energies[1, 2, 3, 4] = 1.0
    path = tmp_path / "few.h5"
    write_showers(path, Showers(energies, incidents(11, np.full(3, 1e3)), small))
    np.testing.assert_array_equal(load_showers(path, small, ALL, tmp_path).dense(np.arange(3)), energies)
    write_showers(path, Showers(np.zeros_like(energies), incidents(11, np.full(3, 1e3)), small))
    with pytest.raises(TrainingError, match="no cell of any shower"):
        load_showers(path, small, ALL, tmp_path)


def test_destinations_are_the_symmetries(small: Detector) -> None:
    cells = np.random.default_rng(0).random(small.shape)
    table = small.destinations()
    assert len(table) == 8
    for operation, moves in zip(small.symmetries, table, strict=True):
        moved = np.empty(small.n_cells)
        moved[moves] = cells.reshape(-1)
        where = small.positions[moves, :2]
        expected = np.stack(operation.points(*small.positions[:, :2].T), axis=1)
        np.testing.assert_allclose(where, expected, atol=1e-9)


@pytest.fixture
def batches(small: Detector, data: Path, tmp_path: Path) -> Batches:
    loaded = load_showers(data, small, ALL, tmp_path)
    return Batches(loaded, np.arange(400), small, batch_size=64, seed=3)


def test_an_epoch_holds_every_shower_once(batches: Batches, showers: Showers) -> None:
    assert batches.per_epoch == 6
    seen = torch.cat([batches[step].incident[:, 1] for step in range(6)]).numpy()
    assert len(np.unique(seen)) == 6 * 64
    assert np.isin(seen, showers.incidents.energy).all()
    second = torch.cat([batches[step].incident[:, 1] for step in range(6, 12)]).numpy()
    assert (seen != second).mean() > 0.9


def test_batches_are_a_function_of_the_step(batches: Batches) -> None:
    later = batches[13]
    batches[2]
    again = batches[13]
    assert torch.equal(later.showers, again.showers)
    assert torch.equal(later.incident, again.incident)
    assert later.showers.dtype == later.incident.dtype == torch.float32
    assert later.showers.shape == (64, 5, 7, 7)


def test_symmetries_keep_layer_energies_and_move_cells(
    batches: Batches, small: Detector, data: Path, tmp_path: Path
) -> None:
    still = Batches(batches.showers, np.arange(400), small, batch_size=64, seed=3, symmetries=False)
    moved, kept = batches[4], still[4]
    assert torch.equal(moved.incident, kept.incident)
    torch.testing.assert_close(moved.showers.sum((2, 3)), kept.showers.sum((2, 3)))
    same = (moved.showers == kept.showers).flatten(1).all(1).float().mean()
    assert 0.0 < same < 0.4  # the identity is one of eight


def test_ranks_share_a_batch(batches: Batches, small: Detector) -> None:
    parts = [
        Batches(batches.showers, np.arange(400), small, batch_size=64, seed=3, rank=r, world_size=2)[5]
        for r in range(2)
    ]
    assert torch.equal(torch.cat([p.showers for p in parts]), batches[5].showers)
    with pytest.raises(TrainingError, match="shared by 3 ranks"):
        Batches(batches.showers, np.arange(400), small, batch_size=64, seed=3, world_size=3)


def inclined(small: Detector, showers: Showers, tmp_path: Path, **columns: object) -> SparseShowers:
    path = tmp_path / "inclined.h5"
    given = incidents(11, showers.incidents.energy, **columns)  # type: ignore[arg-type]
    write_showers(path, Showers(showers.energies, given, small))
    return load_showers(path, small, ALL, tmp_path)


def test_symmetries_leave_a_fixed_direction_as_it_is(
    small: Detector, showers: Showers, tmp_path: Path
) -> None:
    """Incidents along x at an angle: the mirror of y is left, for a model that is told no direction."""
    loaded = inclined(small, showers, tmp_path, theta=0.1)
    batches = Batches(loaded, np.arange(400), small, batch_size=64, seed=1)
    assert len(batches.matrices) == 2
    np.testing.assert_allclose(batches.matrices[1], [[1, 0], [0, -1]])
    assert (batches[0].incident[:, 3] == 0).all()


def test_symmetries_act_on_showers_and_incidents_together(
    small: Detector, showers: Showers, tmp_path: Path
) -> None:
    """For a model that is conditioned on direction and place: centroids turn with their incidents."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-5, 5, (2, 400))
    phi = rng.uniform(-3, 3, 400)
    conditions = ("energy", "direction", "position")
    loaded = inclined(small, showers, tmp_path, theta=0.3, phi=phi, x=x, y=y)
    batches = Batches(loaded, np.arange(400), small, batch_size=64, seed=1, conditions=conditions)
    still = Batches(loaded, np.arange(400), small, batch_size=64, seed=1, symmetries=False)
    assert len(batches.matrices) == 8
    moved, kept = batches[3], still[3]
    assert not torch.equal(moved.incident, kept.incident)
    torch.testing.assert_close(moved.incident[:, :3], kept.incident[:, :3])

    def relative(batch: Batch) -> torch.Tensor:
        """Centroid in the direction of the incident and of its place: the same for image and original."""
        cells = batch.showers.flatten(1)
        centre = (
            cells @ torch.tensor(small.positions[:, :2], dtype=torch.float32) / cells.sum(1, keepdim=True)
        )
        along = torch.stack([batch.incident[:, 3].cos(), batch.incident[:, 3].sin()], 1)
        return torch.stack([(centre * along).sum(1), (centre * batch.incident[:, 4:]).sum(1)], 1)

    torch.testing.assert_close(relative(moved), relative(kept), atol=1e-3, rtol=1e-3)


def test_split_is_seeded_and_disjoint() -> None:
    training, held_out = split(1000, 0.1, seed=1)
    assert len(held_out) == 100
    np.testing.assert_array_equal(np.sort(np.concatenate([training, held_out])), np.arange(1000))
    np.testing.assert_array_equal(split(1000, 0.1, seed=1)[1], held_out)
    assert (split(1000, 0.1, seed=2)[1] != held_out).any()
    with pytest.raises(TrainingError, match="cannot be split"):
        split(1, 0.1, seed=1)


def test_held_out_showers(small: Detector, showers: Showers, data: Path, tmp_path: Path) -> None:
    loaded = load_showers(data, small, ALL, tmp_path)
    chosen = np.arange(100, 200)
    drawn = held_out_showers(loaded, chosen, 30, small, seed=1)
    assert len(drawn) == 30
    assert np.isin(drawn.incidents.energy, showers.incidents.energy[100:200]).all()
    assert len(held_out_showers(loaded, chosen, 1000, small, seed=1)) == 100
