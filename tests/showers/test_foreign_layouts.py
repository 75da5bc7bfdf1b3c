"""Files of the CaloChallenge and of the original 3D GAN."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from caloforge.detectors import CartesianReadout, load
from caloforge.errors import DetectorError, FileError
from caloforge.showers import ShowerFile, read_showers, write_showers


@pytest.fixture
def challenge(tmp_path):
    path = tmp_path / "dataset_2.hdf5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["incident_energies"] = rng.uniform(1e3, 1e6, (5, 1))
        file["showers"] = rng.random((5, 6480))
    return path


def test_calochallenge(challenge):
    with ShowerFile(challenge) as file:
        assert file.kind == "CaloChallenge"
        assert file.spectrum is None
        assert file.physics is None
        showers = file.read()
    assert showers.detector == load("calochallenge-2")
    assert showers.shape == (45, 16, 9)
    assert set(showers.incidents.pdg) == {11}
    assert np.all(showers.incidents.theta == 0)
    with h5py.File(challenge) as file:
        assert np.array_equal(showers.energies.reshape(5, -1), file["showers"][:].astype(np.float32))
        assert showers.incidents.energy == pytest.approx(file["incident_energies"][:, 0])


def test_calochallenge_there_and_back(challenge, tmp_path):
    """Our copy of the challenge's file has its layout, and says what the original leaves out."""
    showers = read_showers(challenge)
    write_showers(tmp_path / "ours.h5", showers)
    back = read_showers(tmp_path / "ours.h5")
    assert back.detector == load("calochallenge-2")
    assert np.array_equal(back.energies, showers.energies)
    with h5py.File(challenge) as theirs, h5py.File(tmp_path / "ours.h5") as ours:
        assert ours["showers"].shape == theirs["showers"].shape
        assert ours["incident_energies"][:] == pytest.approx(theirs["incident_energies"][:])


def test_data_set_3(tmp_path):
    path = bare(tmp_path / "dataset_3.hdf5", 2, 40500)
    assert read_showers(path).detector == load("calochallenge-3")


def test_the_user_knows_better(challenge):
    assert set(read_showers(challenge, pdg=22).incidents.pdg) == {22}
    mine = replace(load("calochallenge-2"), name="mine")
    showers = read_showers(challenge, detector=mine)
    assert showers.detector == mine
    assert set(showers.incidents.pdg) == {11}
    other = replace(load("clic-ecal"), stack=load("lead-scintillator").stack, readout=OBLONG)
    with pytest.raises(FileError, match="does not name the particles of its incidents: give --particle"):
        read_showers(challenge, detector=other)
    assert read_showers(challenge, detector=other, pdg=22).shape == (24, 15, 18)


OBLONG = CartesianReadout("cartesian", (15, 18), (5.0, 5.0))


def bare(path, n, n_cells):
    with h5py.File(path, "w") as file:
        file["incident_energies"] = np.full((n, 1), 1e3)
        file["showers"] = np.ones((n, n_cells), np.float32)
    return path


@pytest.mark.parametrize(("n_cells", "particle"), [(368, "photons"), (533, "pions")])
def test_data_set_1_is_not_supported_yet(tmp_path, n_cells, particle):
    path = bare(tmp_path / "dataset_1.hdf5", 2, n_cells)
    with pytest.raises(
        FileError, match=f"{particle} of CaloChallenge data set 1: its layers differ .* not supported yet"
    ):
        ShowerFile(path)


def test_nothing_is_an_electron_without_a_word(tmp_path, toy_detector):
    path = bare(tmp_path / "bare.h5", 3, 648)
    with pytest.raises(
        FileError, match=r"bare.h5' does not name the particles of its incidents: give --particle"
    ):
        read_showers(path, detector=toy_detector)
    assert set(read_showers(path, detector=toy_detector, pdg=22).incidents.pdg) == {22}
    with pytest.raises(FileError, match="give --particle"):
        read_showers(gan_file(tmp_path / "gan.h5", target=np.full(2, 10.0)))


def test_unknown_arrangement(tmp_path, toy_detector):
    path = bare(tmp_path / "bare.h5", 3, 648)
    with ShowerFile(path, pdg=11) as file:
        assert file.known_shape is None
        with pytest.raises(FileError, match="does not say how its 648 cells are arranged"):
            file.read()
    assert read_showers(path, detector=toy_detector, pdg=11).shape == (8, 9, 9)
    with ShowerFile(path, shape=(2, 4, 81), pdg=11) as file:
        assert file.read().shape == (2, 4, 81)
    with ShowerFile(path, shape=(2, 4, 80), pdg=11) as file, pytest.raises(FileError, match="have no shape"):
        file.read()
    with pytest.raises(FileError, match="do not fit detector 'clic-ecal'"):
        ShowerFile(path, load("clic-ecal"))


def gan_file(path, scale=1.0, **truth):
    """One shower of 10 GeV with 0.1 GeV in x 3, y 5, layer 7 and as much in x 3, y 5, layer 8."""
    cells = np.zeros((2, 25, 25, 25))
    cells[:, 3, 5, 7] = cells[:, 3, 5, 8] = 0.1 * scale
    with h5py.File(path, "w") as file:
        file["ECAL"] = cells
        for name, value in truth.items():
            file[name] = value
    return path


@pytest.mark.parametrize(
    "truth",
    [
        {"target": np.full(2, 10.0)},
        {"energy": np.full((2, 1), 10.0)},
        {"target": np.tile([11.0, 10.0, 0.0, 0.0, 10.0], (2, 1))},
        {"energy": np.tile([11.0, 10.0, 0.0, 0.0, 10.0], (2, 1, 1))},
    ],
)
def test_3dgan(tmp_path, truth):
    showers = read_showers(gan_file(tmp_path / "ele.h5", **truth), pdg=11)
    assert showers.detector == load("clic-ecal")
    assert showers.incidents.energy.tolist() == [1e4, 1e4]
    assert set(showers.incidents.pdg) == {11}
    assert showers.energies[0, 7, 5, 3] == showers.energies[0, 8, 5, 3] == pytest.approx(100)
    assert showers.visible_energy == pytest.approx([200, 200])


def test_3dgan_names_its_particle(tmp_path):
    truth = np.tile([22.0, 10.0, 0.0, 0.0, 10.0], (2, 1))
    assert set(read_showers(gan_file(tmp_path / "gamma.h5", target=truth)).incidents.pdg) == {22}
    path = gan_file(tmp_path / "pi0.h5", energy=np.full(2, 10.0), pdgID=np.array([111, 111]))
    assert set(read_showers(path).incidents.pdg) == {111}


def test_3dgan_files_in_mev(tmp_path):
    showers = read_showers(gan_file(tmp_path / "old.h5", scale=1000, target=np.full(2, 10.0)), pdg=11)
    assert showers.visible_energy == pytest.approx([200, 200])


def test_3dgan_mistakes(tmp_path, toy_detector):
    with pytest.raises(FileError, match="neither 'target' nor 'energy'"):
        read_showers(gan_file(tmp_path / "a.h5"))
    with pytest.raises(FileError, match="beside 2 showers"):
        read_showers(gan_file(tmp_path / "b.h5", target=np.ones(3)))
    with pytest.raises(DetectorError, match="do not fit detector 'toy'"):
        read_showers(gan_file(tmp_path / "c.h5", target=np.ones(2)), detector=toy_detector)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["ECAL"] = np.ones((2, 625, 25))
    with pytest.raises(FileError, match=r"expected \(showers, x, y, z\)"):
        read_showers(tmp_path / "d.h5")
