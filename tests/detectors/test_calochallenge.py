"""Binning files of the CaloChallenge, and showers in their cells."""

import h5py
import numpy as np
import pytest

from caloforge.detectors import load, parse, to_toml
from caloforge.errors import DetectorError, FileError
from caloforge.showers import ShowerFile

LAYER = '<Layer id="{}" r_edges="0,4.65,9.3,13.95,18.6,23.25,27.9,32.55,37.2,41.85" n_bin_alpha="16"/>'


@pytest.fixture
def binning(tmp_path):
    path = tmp_path / "binning_dataset_2.xml"
    layers = "".join(LAYER.format(number) for number in range(45))
    path.write_text(
        f'<?xml version="1.0"?><Bins><Particle pid="11" name="electron">{layers}</Particle></Bins>'
    )
    return path


def test_data_set_2(binning):
    detector = load(str(binning))
    assert detector.shape == (45, 16, 9)
    assert detector.n_cells == 6480
    assert detector.name == "binning_dataset_2"
    assert detector.threshold == pytest.approx(0.0005 / 0.033)
    assert detector.readout.radius == pytest.approx(4.65 * (np.arange(9) + 0.5))
    shipped = load("calochallenge-2")
    assert detector.positions == pytest.approx(shipped.positions)
    assert detector.threshold == pytest.approx(shipped.threshold, rel=1e-5)
    assert detector.stack == shipped.stack
    assert parse(to_toml(detector)) == detector


def test_a_file_of_the_calochallenge(binning, tmp_path):
    path = tmp_path / "dataset_2_1.hdf5"
    with h5py.File(path, "w") as file:
        file["showers"] = np.ones((3, 6480), np.float32)
        file["incident_energies"] = np.full((3, 1), 1e3)
    with ShowerFile(path, load(str(binning))) as file:
        assert file.kind == "CaloChallenge"
        assert file.read().detector.name == "binning_dataset_2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<Bins></Bins>", "has no 'Layer' elements"),
        ("no xml", "is not XML"),
        (
            f'<Bins><Particle>{LAYER.format(0)}<Layer r_edges="0,5" n_bin_alpha="1"/></Particle></Bins>',
            "different bins",
        ),
        ('<Bins><Layer r_edges="0,x" n_bin_alpha="1"/></Bins>', "needs 'n_bin_alpha' and 'r_edges'"),
        ('<Bins><Layer r_edges="5,0" n_bin_alpha="1"/></Bins>', "impossible bins"),
    ],
)
def test_bad_binning_files(tmp_path, text, words):
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(DetectorError, match=words):
        load(str(path))
    with pytest.raises(FileError, match="does not exist"):
        load(str(tmp_path / "none.xml"))
