"""`nested3d`: the cells of showers, given their layers, on readouts of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest
import torch
from torch import Tensor

from caloforge import detectors
from caloforge.errors import DetectorError, InputError
from caloforge.models import Batch
from caloforge.models.nested3d import Nested3D, Nested3DConfig
from caloforge.models.nested3d.cells import Cells
from caloforge.models.nested3d.frame import Frame, Place
from caloforge.models.nested3d.generator import Nested3DGenerator
from caloforge.models.nested3d.lattice import REACH, Lattice
from caloforge.models.nested3d.stages import plan_stages
from caloforge.testing import synthetic_showers
from caloforge.testing.synthetic import draw_incidents
from caloforge.testing.training import train_on_two_ranks

TEXT = """
name = "small"
threshold = 0.015
physics = { production_cut = 0.7 }
readout = { kind = "cartesian", cells = CELLS, size = [5.0, 5.0] }
[[stack]]
repeat = 6
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
CYLINDER = TEXT.replace(
    '{ kind = "cartesian", cells = CELLS, size = [5.0, 5.0] }',
    '{ kind = "cylindrical", sectors = 6, rings = [0, 5, 10, 15, 20, 25] }',
)
N, LAYERS = 30, 6


@dataclass(frozen=True)
class Case:
    """A generator far from its cautious beginning, with what it draws from and what it drew."""

    generator: Nested3DGenerator
    incident: Tensor
    hits: Tensor
    energy: Tensor
    noise: Tensor

    @property
    def cells(self) -> Cells:
        return self.generator.cells

    def features(self) -> tuple[Tensor, Place | None]:
        context = self.generator.context(self.incident)
        place, of_frame, _ = self.generator.places(self.incident)
        core = torch.zeros(N, self.generator.core.n_features)
        return self.cells.features(context, self.hits, self.energy, of_frame, core), place

    @torch.no_grad()
    def draw(self, noise: Tensor | None = None) -> Tensor:
        features, place = self.features()
        noise = self.noise if noise is None else noise
        return self.cells.sample(features, self.hits, self.energy, place, noise)


def make(text: str, conditions: tuple[str, ...], theta: float = 0.0) -> Case:
    detector = detectors.parse(text)
    config = Nested3DConfig.model_validate(
        {
            "particles": ["e-", "gamma"],
            "conditions": list(conditions),
            "unit": 0.1,
            "window": 5,
            "reach": 6,
            "most_around": 20,
            "pool": 120,
            "width": 8,
            "energy_width": 8,
            "hidden": 8,
            "features": 4,
            "mixtures": 3,
            "shapes": 2,
            "directional": 1,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        generator = Nested3DGenerator(detector, config)
        for parameter in generator.cells.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    random = torch.Generator().manual_seed(2)
    hits = torch.randint(0, 22, (N, LAYERS), generator=random).float()
    energy = hits * (0.15 + torch.rand(N, LAYERS, generator=random))
    incident = torch.zeros(N, 6)
    incident[:, 0], incident[:, 1] = 11.0, torch.linspace(1e3, 1e5, N)
    if "direction" in conditions:
        incident[:, 2], incident[:, 3] = theta, torch.linspace(-3.0, 3.0, N)
        incident[:, 4:] = 4 * torch.rand(N, 2, generator=random) - 2
    noise = torch.randn(N, generator.cells.noise_size, generator=random)
    return Case(generator.eval(), incident, hits, energy, noise)


MOVING = ("energy", "direction", "position")
CASES = {
    "normal": (TEXT.replace("CELLS", "[13, 13]"), ("energy",), 0.0),
    "moving": (TEXT.replace("CELLS", "[13, 13]"), MOVING, 0.3),
    "even": (TEXT.replace("CELLS", "[12, 14]"), MOVING, 0.3),
    "cylinder": (CYLINDER, ("energy",), 0.0),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return make(*CASES[request.param])


@pytest.mark.parametrize("n_layers", [1, 2, 3, 6, 25, 28])
def test_each_layer_sees_the_nearest_ones_that_are_drawn(n_layers: int) -> None:
    order: list[int] = []
    for stage in plan_stages(n_layers):
        for layer, before, after in zip(stage.layers, stage.before, stage.after, strict=True):
            assert (order[before - 1] if before else -1) == max((k for k in order if k < layer), default=-1)
            assert (order[after - 1] if after else -1) == min((k for k in order if k > layer), default=-1)
        order += stage.layers
    assert sorted(order) == list(range(n_layers))


def test_each_layer_has_its_hits_and_energy(case: Case) -> None:
    showers = case.draw()
    found = (showers > 0).flatten(2).sum(2).float()
    assert (found <= case.hits).all()
    full = found == case.hits  # all but where two hits around the window met, or one fell outside the readout
    assert full.float().mean() > 0.9
    sums = showers.flatten(2).sum(2)
    torch.testing.assert_close(sums[full], case.energy[full], rtol=1e-3, atol=1e-3)
    assert (showers[showers > 0] >= 0.15 - 1e-5).all()


def test_training_sees_what_drawing_saw(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps and conditions of every pass: masked in training, step by step in drawing."""
    showers = case.draw()
    complete = ((showers > 0).flatten(2).sum(2).float() == case.hits).all(1)
    assert complete.sum() >= 5
    seen: dict[str, list] = {"drawing": [], "training": []}
    phase = "drawing"
    for passes in case.cells.passes:
        for network in passes:
            forward = network.forward

            def record(maps, conditions, bells, forward=forward):
                seen[phase].append((maps, conditions, *(bells or ())))
                return forward(maps, conditions, bells)

            monkeypatch.setattr(network, "forward", record)
    with torch.no_grad():
        again = case.draw()
        phase = "training"
        features, place = case.features()
        around, window = case.cells.around_and_window(again.flatten(2), place)
        case.cells.losses(features, again.flatten(2), around, window, place, torch.zeros(N))
    assert len(seen["drawing"]) == len(seen["training"]) == 4 * len(case.cells.stages)
    for pair in zip(seen["drawing"], seen["training"], strict=True):
        for one, other in zip(*pair, strict=True):
            first, second = (values.unflatten(0, (N, -1))[complete] for values in (one, other))
            torch.testing.assert_close(first, second, rtol=2e-3, atol=3e-3)


def test_a_stage_depends_on_nothing_that_is_drawn_later(case: Case) -> None:
    noise = case.noise.clone()
    n_first = len(case.cells.stages[0].layers)
    n_window = case.cells.lattice.n_cells
    noise[:, n_first * n_window : LAYERS * n_window] += 0.7
    one, other = case.draw(), case.draw(noise)
    first = list(case.cells.stages[0].layers)
    rest = [layer for layer in range(LAYERS) if layer not in first]
    torch.testing.assert_close(other[:, first], one[:, first])
    assert not torch.allclose(other[:, rest], one[:, rest])


def test_whole_cells_only_move_a_shower() -> None:
    """Two columns and a row further, the same shower; what leaves the readout is lost."""
    case = make(*CASES["moving"])
    one = case.draw()
    case.incident[:, 4] += 10.0
    case.incident[:, 5] += 5.0
    other = case.draw()
    torch.testing.assert_close(other[:, :, 1:, 2:], one[:, :, :-1, :-2])
    assert float(other[:, :, :, 0].sum()) == 0
    assert other.sum() <= one.sum() + 1e-3


def test_the_axis_crosses_the_cell_in_the_middle_of_the_window() -> None:
    detector = detectors.load("clic-ecal-wide")
    config = Nested3DConfig(particles=("e-",), conditions=("energy", "direction", "position"), unit=0.1)
    generator = Nested3DGenerator(
        detector, config.model_copy(update={"window": 9, "reach": 12, "most_around": 30, "pool": 99})
    )
    frame = generator.frame
    assert isinstance(frame, Frame)
    incident = torch.tensor(
        [[11.0, 1e4, 0.4, 0.7, 1.0, -2.0], [11.0, 1e4, 0.4, 0.7, 1.0 + 5.1 * 3, -2.0 - 5.1]]
    )
    place = frame(incident)
    z = torch.tensor(detector.z, dtype=torch.float32)
    x = incident[:1, 4] + torch.tan(torch.tensor(0.4)) * torch.cos(torch.tensor(0.7)) * z
    found = (place.column[0] - 25 + place.fraction[0, :, 0]) * 5.1
    torch.testing.assert_close(found, x, atol=1e-3, rtol=1e-4)
    assert (place.fraction.abs() <= 0.5 + 1e-5).all()
    torch.testing.assert_close(place.fraction[1], place.fraction[0], atol=1e-4, rtol=0)
    assert torch.equal(place.shift[1] - place.shift[0], torch.tensor([-1.0, 3.0]))


@pytest.mark.parametrize(("name", "beyond"), [("crystals", -55.0), ("clic-ecal-wide", 3.0)])
def test_the_depth_of_the_axis_is_fitted(name: str, beyond: float) -> None:
    """Crystals whose energy lies at 60 mm on average, not at 115 mm; silicon of 0.32 mm that sees 3 mm further."""
    detector = detectors.load(name)
    config = Nested3DConfig(particles=("e-",), conditions=("energy", "direction", "position"), unit=20.0)
    sizes = {"window": 5, "reach": 6, "most_around": 30, "pool": 30}
    frame = Nested3DGenerator(detector, config.model_copy(update=sizes)).frame
    assert isinstance(frame, Frame)
    random = torch.Generator().manual_seed(1)
    incident = torch.zeros(500, 6)
    incident[:, 1], incident[:, 2] = 1e4, 0.17 * torch.rand(500, generator=random)
    incident[:, 3], incident[:, 4:] = (
        6 * torch.rand(500, generator=random),
        20 * torch.rand(500, 2, generator=random),
    )
    slope = torch.tan(incident[:, 2:3]) * torch.stack([incident[:, 3].cos(), incident[:, 3].sin()], 1)
    depth = (frame.z + beyond)[None, :, None]
    noise = torch.randn(500, detector.n_layers, 2, generator=random)
    centres = incident[:, None, 4:] + depth * slope[:, None] + noise
    frame.encoder.fit(incident)
    frame.fit(incident, centres, torch.ones(500, detector.n_layers))
    found = frame.depth(incident) - frame.z
    torch.testing.assert_close(found, torch.full_like(found, beyond), atol=3.0 if beyond < 0 else 0.3, rtol=0)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (9, 9), (6, 4), (1, 3), (16, 9)])
def test_passes_cover_the_window_once(rows: int, columns: int) -> None:
    lattice = Lattice(rows, columns)
    assert sorted(lattice.inside.tolist()) == list(range(rows * columns))
    assert lattice.sizes == tuple(len(lattice.cells(k)) for k in range(len(lattice.sizes)))


@pytest.mark.parametrize("sectors", [1, 2, 6, 16])
def test_sectors_close_to_a_circle(sectors: int) -> None:
    lattice = Lattice(sectors, 5, circular=True)
    cells = torch.arange(sectors * 5.0).reshape(1, 1, sectors, 5)
    padded = lattice.padded(cells)[0, 0]
    assert padded.shape == (sectors + 2 * REACH, 5 + 2 * REACH)
    for row in range(-REACH, sectors + REACH):
        own, opposite = row % sectors, (row + sectors // 2) % sectors
        torch.testing.assert_close(padded[row + REACH, REACH:-REACH], cells[0, 0, own])
        torch.testing.assert_close(padded[row + REACH, :REACH], cells[0, 0, opposite, :REACH].flip(0))
        assert (padded[row + REACH, -REACH:] == 0).all()


def test_it_is_refused_what_it_does_not_know() -> None:
    assert Nested3D.supported_conditions(detectors.parse(CYLINDER)) == ("particle", "energy")
    for approach in (Nested3D,):
        approach.check_readout(detectors.parse(CYLINDER))

    class Irregular:
        kind = "hexagonal"

    class Strange:
        name, readout = "strange", Irregular()

    with pytest.raises(DetectorError, match="hexagonal"):
        Nested3D.check_readout(Strange())  # type: ignore[arg-type]


def test_sizes_follow_detector_and_showers() -> None:
    """A shower of one hot cell and a ring three cells away: the window holds it, or leaves the ring outside."""
    detector = detectors.parse(TEXT.replace("CELLS", "[13, 13]"))
    showers = torch.zeros(40, LAYERS, 13, 13)
    showers[:, :, 6, 6] = 1.0
    showers[:, :, 6, 10] = 0.02
    incident = torch.zeros(40, 6)
    incident[:, 0], incident[:, 1] = 22.0, torch.linspace(1e3, 1e4, 40)
    config = Nested3D.size(Nested3DConfig(), detector, Batch.whole(incident, showers))
    assert config.particles == ("gamma",)
    assert config.conditions == ("energy",)
    assert (config.window, config.reach) == (5, 4)
    assert config.most_around == 2  # 1.3 times one hit
    assert Nested3D.size(Nested3DConfig(window=9), detector, Batch.whole(incident, showers)).most_around == 0
    approach = Nested3D(detector, config)
    approach.prepare(Batch.whole(incident, showers))


def test_crowded_rings_belong_to_the_window() -> None:
    """A ring four cells from the axis that is hit all around: its hits are not placed one by one."""
    detector = detectors.parse(TEXT.replace("CELLS", "[13, 13]"))
    showers = torch.zeros(40, LAYERS, 13, 13)
    showers[:, :, 6, 6] = 1.0
    showers[:, 3, 2:11, 2:11] += 0.001 + 0.02 * (torch.rand(40, 9, 9) > 0.5)
    incident = torch.zeros(40, 6)
    incident[:, 0], incident[:, 1] = 22.0, torch.linspace(1e3, 1e4, 40)
    config = Nested3D.size(Nested3DConfig(), detector, Batch.whole(incident, showers))
    assert config.window == 9
    assert config.most_around == 0


def test_showers_beside_the_centre_are_refused() -> None:
    """The model moves showers by whole cells itself, and learns from those that hit a central cell."""
    detector = detectors.parse(TEXT.replace("CELLS", "[9, 8]"))
    sample = synthetic_showers(detector, draw_incidents(detector, 40, ("energy", "position")))
    config = Nested3D.size(Nested3DConfig(), detector, sample)
    Nested3D(detector, config).prepare(sample)
    sample.incident[3, 5] = 11.0
    with pytest.raises(InputError, match="--position cell"):
        Nested3D(detector, config).prepare(sample)


def test_hits_around_windows_stay_in_readouts_that_are_not_square() -> None:
    """Hits are placed in a square, of which part lies outside a rectangular readout: then edges are looked at."""
    detector = detectors.parse(TEXT.replace("CELLS", "[9, 15]"))
    sample = synthetic_showers(detector, draw_incidents(detector, 40, ("energy",)))
    assert Nested3D.size(Nested3DConfig(window=5), detector, sample).edges
    with pytest.raises(InputError, match=r"leave model\.edges out"):
        Nested3D.size(Nested3DConfig(window=5, edges=False), detector, sample)


def test_showers_whose_cells_count_may_be_on_one_rank_only() -> None:
    """The loss of cells is a mean over the showers chosen on all ranks, also where a rank has none."""
    detector = detectors.parse(TEXT.replace("CELLS", "[9, 9]"))
    sample = synthetic_showers(detector, draw_incidents(detector, 10, ("energy",)))
    approach = Nested3D(detector, Nested3D.size(Nested3DConfig(cell_batch=1), detector, sample))
    approach.prepare(sample)
    for whole, halves in zip(*train_on_two_ranks(approach, sample), strict=True):
        assert float((whole - halves).norm()) <= 1e-3 * float(whole.norm()) + 1e-6


def test_two_energies_are_a_spectrum() -> None:
    """Fits that go with energy have two points only."""
    detector = detectors.parse(TEXT.replace("CELLS", "[9, 9]"))
    sample = synthetic_showers(detector, draw_incidents(detector, 300, ("energy",)))
    sample.incident[:, 1] = torch.where(torch.arange(300) % 2 == 0, 1e4, 5e4)
    approach = Nested3D(detector, Nested3D.size(Nested3DConfig(), detector, sample))
    approach.prepare(sample)
    assert all(bool(values.isfinite().all()) for values in approach.generator.state_dict().values())


def test_centroids_are_relative_to_the_axis_where_it_runs_between_cells() -> None:
    detector = detectors.parse(TEXT.replace("CELLS", "[8, 8]"))
    sample = synthetic_showers(detector, draw_incidents(detector, 300, ("energy",)))
    approach = Nested3D(detector, Nested3D.size(Nested3DConfig(), detector, sample))
    approach.prepare(sample)
    generator = cast(Nested3DGenerator, approach.generator)
    cells = sample.showers.flatten(2) / generator.unit
    place, _, _ = generator.places(sample.incident)
    _, centroid = generator.cells.core(cells, generator.cells.window_of(cells, place), place)
    assert float(centroid.mean(0).abs().max()) < 0.1
