"""Binning files of the CaloChallenge, and showers in their cells."""

import h5py
import numpy as np
import pytest

from caloforge.detectors import load
from caloforge.errors import DetectorError, FileError
from caloforge.physics import moments, observe, observe_details
from caloforge.showers import ShowerFile, Showers, incidents

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
    assert detector.threshold == pytest.approx(0.01515)
    radius = np.hypot(detector.cell_x, detector.cell_y)
    assert radius[3] == pytest.approx(4.65 * (np.arange(9) + 0.5))
    assert detector.cell_x.sum() == pytest.approx(0, abs=1e-9)
    assert len(detector.symmetries) == 1


def test_one_cell(binning):
    """The cell of alpha 22.5 to 45 degrees and r 9.3 to 13.95 mm."""
    detector = load(str(binning))
    cells = np.zeros((1, 45, 16, 9), np.float32)
    cells[0, 10, 1, 2] = 3
    o = observe(Showers(cells, incidents(11, np.array([1e3])), detector))
    angle, radius = np.radians(33.75), 11.625
    assert o.centre_x[0, 10] == pytest.approx(radius * np.cos(angle), rel=1e-5)
    assert o.centre_y[0, 10] == pytest.approx(radius * np.sin(angle), rel=1e-5)
    assert o.columns.sum() == o.rows.sum() == o.rings.sum() == 3
    assert abs(moments(o)["x"][0, 0] - radius * np.cos(angle)) < 4.65 / 2 + 1e-6
    assert o.ring_edges[o.rings[0].argmax()] <= radius <= o.ring_edges[o.rings[0].argmax() + 1]
    assert observe_details(Showers(cells, incidents(11, np.array([1e3])), detector)).hottest_radius[
        0, 0
    ] == pytest.approx(radius)


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
        ("no xml", "is no XML"),
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
