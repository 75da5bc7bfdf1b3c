"""Physics of the shipped models that needs no reference, in distribution: symmetries, places, edges, containment."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from caloforge.detectors import Symmetry
from caloforge.models.parts.encoder import RELEASED
from caloforge.runtime import Model, load, names
from caloforge.showers import Incidents, Showers, incidents

pytestmark = pytest.mark.long

N = 2000
LEAST_P = 1e-4
"""p-value below which two samples differ; some forty tests are made here."""


@cache
def model(name: str) -> Model:
    return load(name)


TILTED = [name for name in names() if {"direction", "position"} <= set(model(name).card.conditions)]
SQUARE = [name for name in TILTED if len(model(name).detector.symmetries) == 8]


def draw(name: str, given: Incidents, seed: int) -> Showers:
    return model(name).generate_incidents(given, seed=seed).with_threshold()


def spectrum(name: str, seed: int, **columns: object) -> Incidents:
    card = model(name).card
    drawn = card.spectrum.draw(N, np.random.default_rng(seed), card.detector)
    return replace(drawn, **{key: np.asarray(value, dtype=np.float32) for key, value in columns.items()})


def observables(showers: Showers) -> np.ndarray:
    """Visible energy, hits, centroid in x and y, spread in x and y, mean layer; each by the incident energy's power."""
    detector = showers.detector
    assert detector is not None
    cells = showers.flat.astype(np.float64)
    total = np.maximum(cells.sum(1), 1e-9)
    centre = cells @ detector.positions / total[:, None]
    square = cells @ detector.positions[:, :2] ** 2 / total[:, None] - centre[:, :2] ** 2
    energy = showers.incidents.energy
    columns = [total / energy, (cells > 0).sum(1) / energy**0.8, *centre.T, *np.sqrt(np.maximum(square, 0)).T]
    return np.stack(columns, 1)


def same(first: Showers, second: Showers) -> None:
    """Samples with independent noise agree: Kolmogorov-Smirnov for each observable, pulls of mean cells."""
    stats = pytest.importorskip("scipy.stats", reason="scipy (extra 'report') is not installed")
    for one, two in zip(observables(first).T, observables(second).T, strict=True):
        if np.ptp(one) > 1e-6:
            assert stats.ks_2samp(one, two).pvalue > LEAST_P
    means = [(s.flat / s.incidents.energy[:, None]).astype(np.float64) for s in (first, second)]
    error = np.sqrt(sum(m.var(0) / len(m) for m in means))
    hot = np.argsort(-means[1].mean(0))[:100]
    pulls = (means[0].mean(0) - means[1].mean(0))[hot] / error[hot]
    assert np.abs(pulls).max() < 5.5
    assert (pulls**2).mean() < 2.0


@pytest.mark.parametrize("name", SQUARE)
@pytest.mark.parametrize("operation", ["quarter turn", "mirror x = y", "mirror x"])
def test_symmetries_turn_showers_with_their_incidents(name: str, operation: str) -> None:
    """Phi plus 90 degrees with (x, y) turned is the turned shower; phi to 90 degrees minus phi the transposed one."""
    detector = model(name).detector
    number, symmetry = next((k, one) for k, one in enumerate(detector.symmetries) if one.name == operation)
    given = spectrum(name, 1)
    same(
        moved(draw(name, given, 1), symmetry, detector.destinations()[number]),
        draw(name, given.moved(symmetry), 2),
    )


def moved(showers: Showers, symmetry: Symmetry, destinations: np.ndarray) -> Showers:
    cells = np.zeros_like(showers.flat)
    cells[:, destinations] = showers.flat
    return replace(
        showers, energies=cells.reshape(showers.energies.shape), incidents=showers.incidents.moved(symmetry)
    )


@pytest.mark.parametrize("name", TILTED)
@pytest.mark.filterwarnings("ignore::caloforge.runtime.OutOfRangeWarning")
def test_whole_cells_move_showers(name: str) -> None:
    """The place is periodic by a cell: the same noise gives the same shower, one column and two rows further."""
    detector = model(name).detector
    dx, dy = detector.readout.pitch
    given = spectrum(name, 3)
    further = replace(given, x=(given.x + dx).astype(np.float32), y=(given.y + 2 * dy).astype(np.float32))
    one, other = draw(name, given, 4), draw(name, further, 4)
    moved_cells = np.zeros_like(one.energies)
    moved_cells[:, :, 2:, 1:] = one.energies[:, :, :-2, :-1]
    # rounding of the impact point flips a decision here and there
    equal = np.isclose(moved_cells, other.energies, rtol=1e-2, atol=1e-2).reshape(N, -1).all(1)
    assert equal.mean() > 0.9
    assert other.visible_energy.sum() <= one.visible_energy.sum() * 1.001


@pytest.mark.parametrize("name", TILTED)
@pytest.mark.filterwarnings("ignore::caloforge.runtime.OutOfRangeWarning")
def test_showers_at_the_edge_lose_what_geant4_loses(name: str) -> None:
    """Half a cell inside the edge, one and two cells: the part of the response that is left."""
    if find_spec("geant4_pybind") is None:  # importing it would ask for Geant4's data sets
        pytest.skip("geant4-pybind (extra 'geant4') is not installed")
    detector = model(name).detector
    width, _ = detector.readout.half_size
    dx, _ = detector.readout.pitch
    energy, n = min(5e3, model(name).card.spectrum.energy_range[1]), 150
    for cells in (0.5, 1.5, 2.5):
        given = incidents(11, np.full(n, energy), x=width - cells * dx)
        truth = simulate(detector, given)
        drawn = draw(name, incidents(11, np.full(10 * n, energy), x=width - cells * dx), 5)
        parts = [s.visible_energy / s.incidents.energy for s in (truth, drawn)]
        error = np.hypot(*(part.std() / np.sqrt(len(part)) for part in parts))
        assert parts[1].mean() == pytest.approx(parts[0].mean(), abs=4 * error + 0.03 * parts[0].mean())


def simulate(detector: object, given: Incidents) -> Showers:
    """Geant4 in a process of its own: one process simulates one detector."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        energies = pool.apply(_simulated, (detector, given))
    return Showers(energies, given, detector).with_threshold()  # type: ignore[arg-type]


def _simulated(detector: object, given: Incidents) -> np.ndarray:
    from caloforge.geant4 import simulate as geant4

    return geant4(detector, given, seed=3).energies  # type: ignore[arg-type]


@pytest.mark.skipif("crystals" not in names(), reason="the model 'crystals' is not shipped")
def test_crystals_never_see_more_than_there_is() -> None:
    card = model("crystals").card
    given = spectrum("crystals", 6)
    drawn = draw("crystals", given, 7)
    released = np.array([RELEASED.get(int(pdg), 0.0) for pdg in given.pdg])
    assert (drawn.visible_energy <= (given.energy + released) * (1 + 1e-5)).all()
    assert card.detector.n_layers == 1


@pytest.mark.skipif("crystals" not in names(), reason="the model 'crystals' is not shipped")
def test_crystals_contain_what_they_contain_in_geant4() -> None:
    """Mean containment within .2 %, and the errors of both samples."""
    detector = model("crystals").detector
    given = incidents(11, np.full(300, 1e4))
    parts = [
        s.visible_energy / s.incidents.energy
        for s in (simulate(detector, given), draw("crystals", incidents(11, np.full(4000, 1e4)), 8))
    ]
    error = np.hypot(*(part.std() / np.sqrt(len(part)) for part in parts))
    assert parts[1].mean() == pytest.approx(parts[0].mean(), abs=0.002 + 3 * error)


def _wide_and_narrow() -> bool:
    return {"clic-ecal", "clic-ecal-wide"} <= set(names())


@pytest.mark.skipif(not _wide_and_narrow(), reason="the model 'clic-ecal-wide' is not shipped")
def test_the_wide_model_is_the_narrow_one_at_normal_incidence() -> None:
    given = spectrum("clic-ecal", 9)
    wide = draw("clic-ecal-wide", given, 10)
    middle = slice(13, 38)
    cut = np.ascontiguousarray(wide.energies[:, :, middle, middle])
    narrow = draw("clic-ecal", given, 11)
    same(Showers(cut, given, narrow.detector), narrow)
