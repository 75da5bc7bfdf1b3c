"""From a torch generator to an ONNX file."""

import json
import os

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
from caloforge.models._base import Generator  # noqa: E402
from caloforge.runtime import ModelCard, load  # noqa: E402


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
        "particles": (11, 22),
        "energy_range": (1e3, 1e5),
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


def test_the_card_of_a_run(toml):
    metadata = {
        "detector": toml,
        "pdgs": [11],
        "energy_range": [1e3, 1e5],
        "theta_range": [0.0, 0.0],
        "data": {"file": "train.h5", "sha256": "abc"},
        "n_showers": 100,
        "step": 7,
        "score": 0.5,
    }
    made = run_card(metadata, "gan3d", 6)
    assert made.name == "tiny"
    assert made.training_data == {"file": "train.h5", "sha256": "abc", "showers": 100, "steps": 7}
    assert made.validation == {"physics_score": {"value": 0.5}}
    with pytest.raises(ModelError, match="energy_range"):
        run_card({**metadata, "energy_range": None}, "gan3d", 6)


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
        ("{", FileError, "no JSON"),
        ("[]", InputError, "expected a JSON object"),
        ('{"validatoin": {}}', InputError, "did you mean 'validation'"),
    ):
        path.write_text(text)
        with pytest.raises(kind, match=words):
            figures(path)


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "m.onnx")]) == 3
    assert "no folder of a training run" in capsys.readouterr().err
