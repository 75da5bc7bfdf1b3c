"""From a torch generator to an ONNX file."""

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch (extra 'train') is not installed")
pytest.importorskip("onnxscript", reason="onnxscript (extra 'export') is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from caloforge import detectors  # noqa: E402
from caloforge.cli import main  # noqa: E402
from caloforge.errors import FileError, InputError, ModelError  # noqa: E402
from caloforge.export import export_generator, figures, replace_figures, run_card  # noqa: E402
from caloforge.export.parity import sample_inputs  # noqa: E402
from caloforge.models import Generator  # noqa: E402
from caloforge.runtime import ModelCard, load, read_card_of  # noqa: E402
from caloforge.showers import IncidentSpectrum  # noqa: E402


class EveryLayer(Generator):
    """The operations that generators are likely to use, in one small net for 3 x 5 x 5 cells."""

    noise_size = 6

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(9, 24)
        self.embed = nn.Embedding(2, 3)
        self.up = nn.ConvTranspose2d(6, 4, 3, stride=2)
        self.flat = nn.Conv2d(4, 3, 3, padding=1)
        self.deep = nn.Conv3d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm3d(2)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.register_buffer("scale", torch.tensor([1.0, 1.5, 0.5]))

    def forward(self, incident, noise):
        kind = torch.where(incident[:, 0] == 22, 1, 0)
        energy = incident[:, 1:2] / 1e3
        h = functional.silu(self.dense(torch.cat([noise * energy.log(), self.embed(kind)], 1)))
        h = functional.leaky_relu(self.up(h.view(-1, 6, 2, 2)), 0.2)
        h = functional.interpolate(self.flat(h), size=(5, 5), mode="nearest")
        h = self.norm(self.deep(h[:, None])).mean(1)
        cells = functional.softplus(4 * h.flatten(2))
        best, _ = torch.sort(cells, dim=-1, descending=True)
        hits = torch.clamp(energy.long(), 1, 25)
        cut = torch.gather(best, 2, hits[:, :, None].expand(-1, 3, 1) - 1)
        cells = cells * (cells >= cut)
        share = cells / torch.cumsum(cells, -1)[..., -1:]
        layers = self.scale * energy * torch.exp(-energy / 50)
        top = torch.topk(share, 3, dim=-1).values.mean(-1, keepdim=True)
        return torch.clamp((share + 0.01 * top * (cells > 0)) * layers[..., None], min=0).view(-1, 3, 5, 5)


def card(detector_toml, **changes):
    facts = {
        "name": "tiny",
        "approach": "gan3d",
        "detector_toml": detector_toml,
        "spectrum": IncidentSpectrum((11, 22), (1e3, 1e5)),
        "conditions": ("particle", "energy"),
        "noise_size": 6,
    }
    return ModelCard(**{**facts, **changes})


@pytest.fixture
def toml(tiny_model):
    return load(tiny_model, threads=1).card.detector_toml


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return EveryLayer()


def test_the_file_draws_what_torch_draws(tmp_path, generator, toml):
    written, parity = export_generator(generator, tmp_path / "m.onnx", card(toml), threads=1)
    assert parity.cells_off <= 1e-4
    assert written.parameters == sum(p.numel() for p in generator.parameters())
    assert written.flops > 2 * 9 * 24
    model = load(tmp_path / "m.onnx", threads=1)
    assert model.card == written
    rng = np.random.default_rng(1)
    incident = np.zeros((11, 6), np.float32)
    incident[:, 0], incident[:, 1] = np.where(np.arange(11) % 2, 11, 22), np.geomspace(1e3, 1e5, 11)
    noise = rng.standard_normal((11, 6), dtype=np.float32)
    with torch.no_grad():
        expected = generator.eval()(torch.from_numpy(incident), torch.from_numpy(noise)).numpy()
    for batch in (1, 4, 11):
        np.testing.assert_allclose(model.forward(incident, noise, batch), expected, rtol=1e-3, atol=1e-4)


def test_the_file_says_nothing_of_the_machine_and_is_the_same_again(tmp_path, generator, toml):
    for name in ("a.onnx", "b.onnx"):
        export_generator(generator, tmp_path / name, card(toml), threads=1)
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    assert b".py" not in content
    assert os.getcwd().encode() not in content


def test_the_generator_keeps_its_mode(tmp_path, generator, toml):
    generator.train()
    export_generator(generator, tmp_path / "m.onnx", card(toml), threads=1)
    assert generator.training


class Moody(EveryLayer):
    """Draws something else in the graph than in torch."""

    def forward(self, incident, noise):
        drawn = super().forward(incident, noise)
        return drawn * 1.1 if torch.compiler.is_exporting() else drawn


def test_a_graph_that_differs_is_not_written(tmp_path, toml):
    with pytest.raises(ModelError, match="does not draw what torch draws"):
        export_generator(Moody(), tmp_path / "m.onnx", card(toml), threads=1)
    assert not [path for path in tmp_path.iterdir() if "m.onnx" in path.name]


class Negative(EveryLayer):
    def forward(self, incident, noise):
        return super().forward(incident, noise) - 1


class Branching(EveryLayer):
    def forward(self, incident, noise):
        drawn = super().forward(incident, noise)
        return drawn if float(drawn.sum()) > 0 else drawn + 1


@pytest.mark.parametrize(("kind", "words"), [(Negative, "negative"), (Branching, "cannot export")])
def test_generators_that_break_the_contract(tmp_path, toml, kind, words):
    with pytest.raises(ModelError, match=words):
        export_generator(kind(), tmp_path / "m.onnx", card(toml), threads=1)
    assert not (tmp_path / "m.onnx").exists()


def test_wrong_shape_noise_and_names(tmp_path, generator, toml):
    with pytest.raises(ModelError, match="card says 7"):
        export_generator(generator, tmp_path / "m.onnx", card(toml, noise_size=7))
    with pytest.raises(FileError, match=r"ends in \.onnx"):
        export_generator(generator, tmp_path / "m.pt", card(toml))
    with pytest.raises(ModelError, match="'showers' has shape"):
        export_generator(
            generator, tmp_path / "m.onnx", card(detectors.toml("clic-ecal"), name="clic-ecal"), threads=1
        )
    with pytest.raises(FileError, match="does not exist"):
        export_generator(generator, tmp_path / "none" / "m.onnx", card(toml), threads=1)


METADATA = {
    "spectrum": {"particles": [11], "energy": [1e3, 1e5], "theta": [0.0, 0.5], "position": [-1, 1, -1, 1]},
    "conditions": ["energy", "direction"],
    "physics": "G4EmStandardPhysics",
    "data": {"file": "train.h5", "sha256": "abc"},
    "n_showers": 100,
    "step": 7,
    "score": 0.5,
    "recipe": {"model": {"approach": "gan3d"}},
    "commit": "c903d28",
}
"""What `load_run` says of a run, without the detector."""


def test_the_card_of_a_run(toml):
    metadata = {**METADATA, "detector": toml}
    made = run_card(metadata, "gan3d", 6)
    assert made.name == "tiny"
    assert made.spectrum == IncidentSpectrum((11,), (1e3, 1e5), theta=(0, 0.5), position=(-1, 1, -1, 1))
    assert made.conditions == ("energy", "direction")
    assert (made.physics, made.commit, made.recipe) == (
        "G4EmStandardPhysics",
        "c903d28",
        {"model": {"approach": "gan3d"}},
    )
    assert made.training_data == {"file": "train.h5", "sha256": "abc", "showers": 100, "steps": 7}
    before = {"training_data": {"file": "before.h5", "showers": 900}}
    assert run_card({**metadata, "start": before}, "gan3d", 6).training_data["start"] == before
    assert made.validation == {"physics_score": {"value": 0.5}}
    assert run_card({**metadata, "conditions": []}, "gan3d", 6).conditions == ()
    with pytest.raises(ModelError, match="spectrum"):
        run_card({**metadata, "spectrum": None}, "gan3d", 6)


def test_the_check_sees_all_corners(toml):
    wide = IncidentSpectrum((11, 22), (1e3, 1e5), theta=(0, 0.5), phi=(0, 6.0), position=(-2, 2, -1, 1))
    incident, noise = sample_inputs(card(toml, spectrum=wide))
    assert len(incident) == len(noise) == 148
    corner = np.array([22, 1e5, 0.5, 6.0, -2, 1], np.float32)
    assert (incident == corner).all(axis=1).any()
    assert len(np.unique(incident[:, :2], axis=0)) > 50


@pytest.fixture
def run(monkeypatch, generator, toml):
    """A run that has a trained generator."""
    recipe = SimpleNamespace(model=SimpleNamespace(approach="gan3d"))
    facts = {**METADATA, "detector": toml}
    approach = SimpleNamespace(generator=generator)
    training = SimpleNamespace(load_run=lambda folder: (approach, recipe, facts))
    monkeypatch.setitem(sys.modules, "caloforge.training", training)
    return facts


def test_a_run_becomes_a_graph_and_its_weights(tmp_path, run, generator, capsys):
    safetensors = pytest.importorskip("safetensors", reason="safetensors (extra 'train') is not installed")
    path = tmp_path / "m.onnx"
    assert main(["export", "run", "-o", str(path), "--name", "mine", "--threads", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["weights"] == str(tmp_path / "m.safetensors")
    card = read_card_of(path)
    assert (card.name, card.recipe) == ("mine", METADATA["recipe"])
    assert read_card_of(tmp_path / "m.safetensors") == card
    with safetensors.safe_open(tmp_path / "m.safetensors", "pt") as file:
        weights = {name.removeprefix("generator."): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    again = EveryLayer()
    again.load_state_dict(weights)
    for name, tensor in generator.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert main(["models", str(tmp_path / "m.safetensors")]) == 0
    assert "theta 0 to 28.65 degrees" in capsys.readouterr().out


def test_new_figures_reach_both_files(tmp_path, run, capsys):
    path = tmp_path / "m.onnx"
    assert main(["export", "run", "-o", str(path), "--threads", "1"]) == 0
    before = (tmp_path / "m.safetensors").read_bytes()
    replace_figures(path, path, {"speed": {"ms_per_shower": 0.3}})
    assert read_card_of(path).speed == {"ms_per_shower": 0.3}
    assert read_card_of(path.with_suffix(".safetensors")) == read_card_of(path)
    replace_figures(path, tmp_path / "other.onnx", {}, "other")
    assert read_card_of(tmp_path / "other.safetensors").name == "other"
    replace_figures(path, path, {"speed": {}})
    assert len((tmp_path / "m.safetensors").read_bytes()) > len(before)


def test_figures_are_added_without_touching_the_graph(tmp_path, tiny_model, capsys):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"validation": {"shape": {"value": 0.1}}, "speed": {"ms_per_shower": 0.4}}))
    output = tmp_path / "new.onnx"
    words = [
        "export",
        str(tiny_model),
        "-o",
        str(output),
        "--figures",
        str(path),
        "--name",
        "other",
        "--json",
    ]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["card"]["name"] == "other"
    old, new = load(tiny_model, threads=1), load(output, threads=1)
    assert new.card.validation == {**old.card.validation, "shape": {"value": 0.1}}
    assert new.card.speed == {"ms_per_shower": 0.4}
    np.testing.assert_array_equal(old.generate(n=5).energies, new.generate(n=5).energies)
    replace_figures(output, output, {"speed": {}})
    assert load(output, threads=1).card.name == "other"


def test_figures_that_cannot_be_used(tmp_path):
    path = tmp_path / "figures.json"
    for text, kind, words in (
        ("{", FileError, "not JSON"),
        ("[]", InputError, "expected a JSON object"),
        ('{"validatoin": {}}', InputError, "did you mean 'validation'"),
    ):
        path.write_text(text)
        with pytest.raises(kind, match=words):
            figures(path)


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "m.onnx")]) == 3
    assert "a training run" in capsys.readouterr().err
