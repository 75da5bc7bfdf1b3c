"""Pairs of samples that do not compare are refused, with both sides named."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from caloforge.errors import DetectorError, FileError, InputError
from caloforge.showers import Showers, incidents, write_showers
from caloforge.validation.evaluation import evaluate
from caloforge.validation.inputs import read_sample
from caloforge.validation.pairs import check_pair


@pytest.fixture(scope="module")
def samples(toy_showers):
    return toy_showers(400, 1), toy_showers(400, 2)


def refused(one, two, words):
    with pytest.raises(InputError, match=words):
        evaluate(one, two, classifier=False)


def test_independent_samples_are_accepted(toy_showers):
    def is_refused(seed):
        try:
            check_pair(*(read_sample(toy_showers(150, 2 * seed + part), "s") for part in (0, 1)))
        except InputError as error:
            return str(error)
        return None

    assert [is_refused(seed) for seed in range(10)] == 10 * [None]


def test_another_detector(samples):
    cells = np.ones((100, 25, 25, 25), np.float32)
    from caloforge.detectors import load

    other = Showers(cells, incidents(11, np.full(100, 1e4)), load("clic-ecal"))
    refused(
        other, samples[1], r"generated has detector 'clic-ecal' \(25, 25, 25\), reference 'toy' \(8, 9, 9\)"
    )


def test_another_threshold(samples):
    other = replace(samples[0], detector=replace(samples[0].detector, threshold=0.2))
    refused(other, samples[1], "generated has a threshold of 0.2 MeV, reference one of 0.1 MeV")


def test_too_few(samples):
    refused(samples[0][:10], samples[1], "generated: 10 showers are too few")
    refused(samples[0], samples[1][:0], "reference: 0 showers are too few")


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_impossible_cells(samples, value):
    cells = samples[0].energies.copy()
    cells[7, 0, 0, 0] = value
    refused(
        replace(samples[0], energies=cells),
        samples[1],
        "generated: shower 7 has cells that are negative or not",
    )


def test_unknown_detector(samples):
    unknown = [replace(s, detector=None) for s in samples]
    refused(*unknown, "detector of these showers is unknown")
    cells = np.ones((100, 25, 25, 25), np.float32)
    with pytest.raises(DetectorError, match=r"generated: showers of shape \(25, 25, 25\) do not fit"):
        evaluate(Showers(cells, incidents(11, np.full(100, 1e4)), None), samples[1])


def test_the_detector_of_one_sample_is_the_others_too(samples, tmp_path):
    """Files without our attributes: the other one says which detector it is, or the caller does."""
    for number, sample in enumerate(samples):
        write_showers(tmp_path / f"{number}.h5", sample)
        with h5py.File(tmp_path / f"{number}.h5", "a") as file:
            del file.attrs["detector"]
    plain = evaluate(*samples, classifier=False)
    for one, two, detector in (
        (tmp_path / "0.h5", samples[1], None),
        (samples[0], tmp_path / "1.h5", None),
        (replace(samples[0], detector=None), samples[1], None),
        (tmp_path / "0.h5", tmp_path / "1.h5", samples[0].detector),
    ):
        found = evaluate(one, two, classifier=False, detector=detector)
        assert found.comparisons == plain.comparisons
    refused(tmp_path / "0.h5", tmp_path / "1.h5", "give --detector")


def test_the_particle_of_files_that_do_not_say(samples, tmp_path):
    photons = [s[s.incidents.pdg == 22] for s in samples]
    for number, sample in enumerate(photons):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["showers"] = sample.energies.reshape(len(sample), -1)
            file["incident_energies"] = sample.incidents.energy[:, None]
    files = tmp_path / "0.h5", tmp_path / "1.h5"
    found = evaluate(*files, classifier=False, detector=samples[0].detector, pdg=22)
    assert {b.name for b in found.bins} == {"gamma"}
    with pytest.raises(FileError, match=r"0\.h5' does not name the particles .* give --particle"):
        evaluate(*files, classifier=False, detector=samples[0].detector)
    with pytest.raises(InputError, match=r"particles differ: .*0.h5 has 200 e-, reference 200 gamma"):
        evaluate(files[0], photons[1], classifier=False, pdg=11)


def test_particle_mix(samples):
    electrons = samples[0][samples[0].incidents.pdg == 11]
    refused(electrons, samples[1], "particles differ: generated has 200 e-, reference 200 e-, 200 gamma")
    keep = (samples[0].incidents.pdg == 11) | (np.arange(400) < 100)
    refused(samples[0][keep], samples[1], "particles differ")


def test_incident_spectrum(samples):
    high = samples[0][samples[0].incidents.energy > 1e4]
    refused(high, samples[1], r"incident energies of e- differ: generated has 10.* to .* GeV \(median")


def test_files_are_named(tmp_path, samples):
    write_showers(tmp_path / "a.h5", samples[0][:20])
    with pytest.raises(InputError, match=r"a\.h5: 20 showers are too few"):
        evaluate(tmp_path / "a.h5", samples[1])
    with pytest.raises(FileError, match=r"none\.h5' does not exist"):
        evaluate(samples[0], tmp_path / "none.h5")
    write_showers(tmp_path / "b.h5", samples[0])
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["showers"][300, 5] = np.nan
    with pytest.raises(FileError, match=r"b\.h5': shower 300 has cells"):
        evaluate(tmp_path / "b.h5", samples[1])


def test_files_and_memory_agree(tmp_path, samples):
    write_showers(tmp_path / "a.h5", samples[0])
    one, two = read_sample(tmp_path / "a.h5", "a"), read_sample(samples[0], "a")
    assert np.array_equal(one.observables.rings, two.observables.rings)
    assert one.example == two.example
    assert np.array_equal(one.cells.dense(), two.cells.dense())
    assert one.kind == "CaloForge"
    assert len(one.sha256) == 64
    assert one.provenance["source"] == two.provenance["source"] == "toy"
