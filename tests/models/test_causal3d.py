import numpy as np
import pytest
import torch

from caloforge import detectors
from caloforge.models._causal_cells import CausalCells
from caloforge.models._layers import encode_incident

DETECTOR = detectors.parse(
    """
name = "small"
production_cut = 0.7
threshold = 0.015
readout = { kind = "cartesian", cells = [9, 9], size = [5.0, 5.0] }
[[stack]]
repeat = 4
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
)
N = 40


def small(depth: int, mixtures: int) -> CausalCells:
    return CausalCells(
        DETECTOR,
        3,
        window=5,
        width=8,
        depth=depth,
        hidden=8,
        features=4,
        mixtures=mixtures,
        most_around=40,
        most_in_pass=9,
        clumping=0.2,
    )


@pytest.fixture(scope="module")
def cells() -> CausalCells:
    torch.manual_seed(1)
    made = small(depth=1, mixtures=3)
    for parameter in made.parameters():  # far from the cautious beginning, so that everything matters
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.fixture(scope="module")
def drawn(cells: CausalCells) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    hits = torch.randint(0, 30, (N, 4), generator=random).float()
    energy = hits * (0.015 + torch.rand(N, 4, generator=random))
    incident = torch.zeros(N, 6)
    incident[:, 0], incident[:, 1] = 11.0, torch.linspace(1e3, 1e5, N)
    context = encode_incident(incident, (11, 22))
    noise = torch.randn(N, cells.noise_size, generator=random)
    with torch.no_grad():
        showers = cells.sample(context, hits, energy, noise)
    return {"context": context, "hits": hits, "energy": energy, "noise": noise, "showers": showers}


def test_each_layer_has_its_hits_and_energy(drawn) -> None:
    showers = drawn["showers"]
    torch.testing.assert_close((showers > 0).sum((2, 3)).float(), drawn["hits"])
    torch.testing.assert_close(showers.sum((2, 3)), drawn["energy"], rtol=1e-4, atol=1e-4)
    assert (showers[showers > 0] >= 0.015).all()


def test_training_sees_what_drawing_saw(cells, drawn, monkeypatch) -> None:
    """What each pass is told and sees of the layers before: all at once in training, step by step in drawing."""
    seen: dict[str, list] = {"drawing": [], "training": []}
    window_pass, phase = cells.window_pass, "drawing"

    def record(base, matrix, told):
        seen[phase].append((base, told))
        return window_pass(base, matrix, told)

    monkeypatch.setattr(cells, "window_pass", record)
    with torch.no_grad():
        again = cells.sample(*(drawn[name] for name in ("context", "hits", "energy", "noise")))
        phase = "training"
        cells.losses(drawn["context"], again)
    assert (len(seen["drawing"]), len(seen["training"])) == (4 * 4, 4)
    for number in range(4):
        for k in range(2):
            steps = torch.stack([pair[k] for pair in seen["drawing"][number::4]], 1)
            at_once = seen["training"][number][k].unflatten(0, (N, 4))
            torch.testing.assert_close(steps, at_once, rtol=2e-3, atol=2e-3)


def test_a_layer_depends_on_nothing_behind_it(cells, drawn) -> None:
    noise = drawn["noise"].clone()
    start = 0
    for size in cells._noise_sizes:
        part = noise[:, start : start + 4 * size].unflatten(1, (4, size))
        part[:, 2:] += torch.linspace(-1, 1, size)
        start += 4 * size
    with torch.no_grad():
        other = cells.sample(drawn["context"], drawn["hits"], drawn["energy"], noise)
    torch.testing.assert_close(other[:, :2], drawn["showers"][:, :2])
    assert not torch.allclose(other[:, 2:], drawn["showers"][:, 2:])


def test_a_pass_sees_the_passes_before(cells) -> None:
    n_summary = cells.summarised.shape[1]
    for number, matrix in list(enumerate(cells.matrices()))[1:]:
        told = torch.zeros(1, n_summary + sum(cells.sizes[:number]), requires_grad=True)
        drawn = cells.window_pass(torch.ones(1, cells.sizes[number], 8), matrix, told)
        drawn[0].square().sum().backward()
        assert (told.grad[:, n_summary:] != 0).all()


def test_likelihood_falls_with_training() -> None:
    torch.manual_seed(3)
    made = small(depth=1, mixtures=3)
    random = torch.Generator().manual_seed(4)
    showers = torch.rand(16, 4, 9, 9, generator=random) * (torch.rand(16, 4, 9, 9, generator=random) < 0.2)
    showers[showers < 0.015] = 0
    context = torch.zeros(16, 3)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    totals = []
    for _ in range(45):
        total = sum(made.losses(context, showers))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert np.isfinite(totals).all()
    assert totals[-1] < 0.7 * totals[0]


def test_independent_hits_get_their_true_probability() -> None:
    """Cells hit at random with 20 %: given how many hits a pass has, less than the entropy of such a coin is left."""
    torch.manual_seed(5)
    made = small(depth=0, mixtures=2)
    random = torch.Generator().manual_seed(6)
    optimizer = torch.optim.Adam(made.parameters(), 1e-2)
    recent = []
    for step in range(120):
        hit = torch.rand(32, 4, 9, 9, generator=random) < 0.2
        _, of_hits, _ = made.losses(torch.zeros(32, 3), 0.3 * hit.float())
        optimizer.zero_grad()
        of_hits.backward()
        optimizer.step()
        if step >= 100:
            recent.append(float(of_hits.detach()) / (4 * 81))
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert 0.8 * entropy < np.mean(recent) < 1.02 * entropy
