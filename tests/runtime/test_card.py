"""The card of a model, and the files that carry it."""

import json
from dataclasses import replace

import pytest

from caloforge.errors import FileError, ModelError
from caloforge.runtime import Model, ModelCard, ModelFile, load, read_card_of
from caloforge.runtime.card import read_card
from caloforge.runtime.model_file import metadata_of, with_safetensors_metadata
from caloforge.showers import IncidentSpectrum, incidents


@pytest.fixture
def card(tiny_model):
    return read_card_of(tiny_model)


@pytest.fixture
def weights(tmp_path, card):
    """A file of weights: one tensor of two numbers, and the card."""
    tensors = {"generator.scale": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps({"__metadata__": card.to_metadata(), **tensors}).encode()
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return path


def test_a_card_survives_its_metadata(card):
    full = replace(
        card,
        spectrum=IncidentSpectrum(
            (11, 22), (1.0, 2.0, 5.0), "list", (0.1, 0.2), (-1.0, 1.0), (-1.0, 1.0, -2.0, 2.0), (1.0, 2.0)
        ),
        conditions=("energy", "direction"),
        physics="G4EmStandardPhysics",
        commit="c903d28",
        recipe={"model": {"approach": "nested3d", "window": [9, 9]}, "steps": 10},
    )
    assert read_card(full.to_metadata(), "card") == full
    assert json.loads(json.dumps(full.to_json()))["spectrum"]["theta"] == [0.1, 0.2]


def test_the_card_is_read_without_an_engine(tiny_model, weights, card):
    assert read_card_of(weights) == card == load(tiny_model, threads=1).card
    found = ModelFile.read(tiny_model)
    assert (found.size, found.sha256) == (tiny_model.stat().st_size, load(tiny_model, threads=1).sha256)


def test_weights_are_not_a_graph(weights):
    with pytest.raises(ModelError, match=r"drawn from the \.onnx file"):
        load(weights)


def test_new_metadata_leave_the_tensors_as_they_are(tmp_path, weights, card):
    safetensors = pytest.importorskip("safetensors", reason="safetensors (extra 'train') is not installed")
    other = replace(card, name="other")
    content = with_safetensors_metadata(weights.read_bytes(), other.to_metadata(), "tiny.safetensors")
    assert content == with_safetensors_metadata(content, other.to_metadata(), "tiny.safetensors")
    (tmp_path / "new.safetensors").write_bytes(content)
    assert read_card_of(tmp_path / "new.safetensors") == other
    with safetensors.safe_open(tmp_path / "new.safetensors", "np") as file:
        assert file.get_tensor("generator.scale").tolist() == [0, 0]
        assert file.metadata()["caloforge.name"] == "other"


def test_weights_cut_anywhere_are_refused(tmp_path, weights):
    content = weights.read_bytes()
    for size in [*range(1, len(content), 97), len(content) - 1]:
        (tmp_path / "cut.safetensors").write_bytes(content[:size])
        with pytest.raises(ModelError):
            read_card_of(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    "header", ['{"a": {}}', '{"a": 1}', '{"a": {"data_offsets": [0]}}', '{"a": {"data_offsets": "x"}}']
)
def test_weights_with_a_broken_header_are_refused(tmp_path, header):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(ModelError):
        read_card_of(path)


@pytest.mark.parametrize("name", ["x.onnx", "x.safetensors"])
def test_files_that_are_something_else(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(FileError, match="does not exist"):
        read_card_of(path)
    for content in (b"hello, world", b"\xff" * 100, b"\x08\x00" * 10, b"[]"):
        path.write_bytes(content)
        with pytest.raises(ModelError):
            read_card_of(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"spectrum": None}, "spectrum"),
        ({"conditions": None}, "conditions"),
        ({"spectrum": '{"particles": [11], "energy": [-1]}'}, "energies"),
        ({"spectrum": '{"particles": [11], "energy": [1], "position": "cell"}'}, "in mm, not as 'cell'"),
        ({"conditions": '["charge"]'}, "conditions"),
        ({"recipe": "[1, 2"}, "not valid JSON"),
        ({"format_version": "99"}, "upgrade"),
        ({"format_version": "1"}, "older caloforge"),
        ({"detector_toml": "name = 'x'"}, "detector"),
    ],
)
def test_metadata_that_are_missing_or_wrong(card, change, words):
    whole = card.to_metadata()
    changed = {**whole, **{f"caloforge.{key}": text for key, text in change.items()}}
    with pytest.raises(ModelError, match=words):
        read_card({key: text for key, text in changed.items() if text is not None}, "x.onnx")


def test_a_file_without_metadata(write_tiny_model):
    with pytest.raises(ModelError, match="no metadata of caloforge"):
        Model(write_tiny_model("bare.onnx", metadata={}))


def test_the_engine_reads_the_same_metadata(tiny_model):
    import onnxruntime

    session = onnxruntime.InferenceSession(tiny_model.read_bytes(), providers=["CPUExecutionProvider"])
    found = metadata_of(tiny_model.read_bytes(), "x.onnx")
    assert found == dict(session.get_modelmeta().custom_metadata_map)


def test_positions_of_cards_are_in_mm(card):
    with pytest.raises(ModelError, match="not as 'cell'"):
        replace(card, spectrum=replace(card.spectrum, position="cell"))


def test_ways_outside_are_told_apart(card: ModelCard):
    found = card.departures(incidents(22, [500.0, 2e5], theta=0.3, x=1.0))
    assert [text.split()[0] for text in found.extrapolated] == ["energy"]
    assert [text.split()[0] for text in found.refused] == ["theta", "x"]
    assert card.outside(incidents(22, [1e3, 1e5])) == []
