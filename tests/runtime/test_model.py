"""Drawing showers from an exported model."""

import threading
import warnings

import numpy as np
import pytest

import caloforge
from caloforge.errors import FileError, InputError, ModelError
from caloforge.runtime import Model, OutOfRangeWarning, load, names
from caloforge.runtime.backends import available
from caloforge.runtime.random_numbers import CHUNK, noise
from caloforge.showers import IncidentSpectrum, incidents


def test_showers_have_detector_energies_and_provenance(tiny_model):
    model = load(tiny_model, threads=1)
    showers = model.generate("e-,gamma", (1e3, 1e5), n=100, seed=1)
    assert showers.energies.shape == (100, 3, 5, 5)
    assert showers.detector.name == "tiny"
    assert set(showers.incidents.pdg) == {11, 22}
    assert showers.incidents.energy.min() >= 1e3
    assert showers.provenance["model_sha256"] == model.sha256
    showers.check()


def test_the_graph_gets_incident_and_noise_as_documented(tiny_model):
    model = load(tiny_model, threads=1)
    one = model.generate(11, 2e3, n=3, seed=5)
    two = model.generate(11, 4e3, n=3, seed=5)
    np.testing.assert_allclose(two.energies, 2 * one.energies, rtol=1e-5)
    direct = model.forward(one.incidents.matrix(), noise(5, 0, 3, 4))
    np.testing.assert_array_equal(direct, one.energies)


WIDE = IncidentSpectrum(
    (11, 22), (1e3, 1e5), theta=(0, 0.5), phi=(-3.2, 3.2), position=(-2.55, 2.55, -2.55, 2.55)
)
ALL = ("particle", "energy", "direction", "position")


@pytest.mark.parametrize("batch", [1, 7, 128, 5000])
@pytest.mark.parametrize("threads", [1, 2])
def test_batch_and_threads_do_not_change_showers(tiny_model, batch, threads):
    reference = load(tiny_model, threads=1).generate("e-", (1e3, 1e5), n=1100, seed=3)
    other = load(tiny_model, threads=threads).generate("e-", (1e3, 1e5), n=1100, seed=3, batch=batch)
    np.testing.assert_array_equal(other.incidents.energy, reference.incidents.energy)
    np.testing.assert_allclose(other.energies, reference.energies, rtol=1e-5)


def test_a_sample_begins_like_a_longer_one(tiny_model):
    model = load(tiny_model, threads=1)
    long = model.generate("e-,gamma", (1e3, 1e5), n=CHUNK + 500, seed=3)
    short = model.generate("e-,gamma", (1e3, 1e5), n=CHUNK + 11, seed=3)
    np.testing.assert_allclose(short.energies, long.energies[: len(short)], rtol=1e-5)


def test_a_chunk_can_be_drawn_on_its_own(tiny_model):
    model = load(tiny_model, threads=1)
    n, spectrum = 2 * CHUNK + 5, IncidentSpectrum((11,), (1e3, 1e5))
    whole = model.generate("e-", (1e3, 1e5), n=n, seed=3)
    last = model.draw_chunk(spectrum, 2, n, seed=3)
    np.testing.assert_array_equal(last.energies, whole.energies[2 * CHUNK :])
    assert [len(part) for part in model.stream(spectrum, n, 3)] == [CHUNK, CHUNK, 5]


def test_angles_and_places_are_drawn(write_tiny_model):
    model = load(write_tiny_model(spectrum=WIDE, conditions=ALL), threads=1)
    showers = model.generate("e-", 5e3, n=500, theta=(0.1, 0.4), phi=(0, 3), position="cell", strict=True)
    given = showers.incidents
    assert (given.theta.min(), given.theta.max()) == pytest.approx((0.1, 0.4), abs=0.01)
    assert (given.phi.min(), given.phi.max()) == pytest.approx((0, 3), abs=0.05)
    assert (given.x.min(), given.y.max()) == pytest.approx((-2.55, 2.55), abs=0.05)
    spectrum = IncidentSpectrum.parse_json(showers.provenance["spectrum"], "showers")
    assert spectrum.theta == (0.1, 0.4)
    assert spectrum.position == (-2.55, 2.55, -2.55, 2.55)


def test_threads_end_with_the_model(tiny_model):
    with load(tiny_model, threads=2) as model:
        first = model.generate("e-", 5e3, n=100)
        assert threading.active_count() > 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]
    np.testing.assert_array_equal(model.generate("e-", 5e3, n=100).energies, first.energies)
    model.close()


def test_seeds_and_chunks_differ(tiny_model):
    model = load(tiny_model, threads=1)
    one, two = (model.generate("e-", 5e3, n=2 * CHUNK, seed=seed).energies for seed in (1, 2))
    assert not np.array_equal(one, two)
    assert not np.array_equal(one[:CHUNK], one[CHUNK:])
    assert len(np.unique(one[:, 0, 0, 0])) > 0.99 * len(one)


def test_noise_is_standard_normal():
    sample = noise(1, 0, 1000, 100)
    assert sample.dtype == np.float32
    assert abs(sample.mean()) < 0.02
    assert abs(sample.std() - 1) < 0.02


def test_given_incidents(tiny_model):
    model = load(tiny_model, threads=1)
    given = incidents(11, np.linspace(1e3, 1e5, 1500))
    showers = model.generate_incidents(given, seed=2, batch=64)
    np.testing.assert_array_equal(showers.incidents.energy, given.energy)
    np.testing.assert_allclose(showers.energies, model.generate_incidents(given, seed=2).energies, rtol=1e-5)


def test_threshold_of_the_card_is_applied(write_tiny_model):
    model = load(write_tiny_model(threshold=5.0), threads=1)
    energies = model.generate("e-", 5e3, n=50).energies
    assert (energies == 0).any()
    assert energies[energies > 0].min() >= 5.0


@pytest.mark.parametrize(
    ("particle", "energy", "words"),
    [("e-", 2e5, "energy 200 GeV"), ("gamma", (500, 2e3), "500 MeV")],
)
def test_outside_the_training_warns_or_fails(tiny_model, particle, energy, words):
    model = load(tiny_model, threads=1)
    with pytest.warns(OutOfRangeWarning, match=words):
        model.generate(particle, energy, n=2)
    with pytest.raises(InputError, match=words):
        model.generate(particle, energy, n=2, strict=True)


def test_a_particle_that_it_does_not_know_is_refused(tiny_model):
    with pytest.raises(
        InputError, match=r"particle pi0 instead of e-, gamma: .* does not know this particle"
    ):
        load(tiny_model, threads=1).generate("pi0", 5e3, n=2)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"theta": 0.1}, "theta 5.73 degrees instead of 0 degrees.*not conditioned on the direction"),
        ({"theta": (0, 0.1)}, "not conditioned on the direction"),
        ({"position": (3.0, 0.0)}, "x 3 mm instead of 0 mm.*not conditioned on the position"),
        ({"position": "cell"}, "x .*, y .*not conditioned on the position"),
    ],
)
def test_what_the_model_would_ignore_is_refused(tiny_model, asked, words):
    with pytest.raises(InputError, match=words):
        load(tiny_model, threads=1).generate("e-", 5e3, n=2, **asked)


def test_given_incidents_that_the_model_would_ignore_are_refused(tiny_model):
    model = load(tiny_model, threads=1)
    with pytest.raises(InputError, match="direction"):
        model.generate_incidents(incidents(11, 5e3, theta=[0.0, 0.1]))
    with pytest.raises(InputError, match=r"x 3 mm.*position"):
        model.generate_incidents(incidents(11, 5e3, x=3.0))


def test_a_model_of_one_particle_and_energy_refuses_others(write_tiny_model):
    fixed = IncidentSpectrum((11,), (5e3,))
    model = load(write_tiny_model(spectrum=fixed, conditions=()), threads=1)
    model.generate("e-", 5e3, n=2)
    for particle, energy, words in (
        ("gamma", 5e3, "does not know this particle"),
        ("e-", 6e3, "not conditioned on the energy"),
    ):
        with pytest.raises(InputError, match=words):
            model.generate(particle, energy, n=2)


def test_an_azimuth_means_nothing_at_normal_incidence(tiny_model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(tiny_model, threads=1).generate("e-", 5e3, n=2, phi=(0, 1))
    assert found.visible_energy.min() > 0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"theta": (0, 0.6)}, "theta 0 degrees to 34.38 degrees instead of 0 degrees to 28.65 degrees"),
        ({"position": (5.0, 0.0)}, "x 5 mm instead of -2.55 mm to 2.55 mm"),
    ],
)
def test_beyond_a_condition_warns_or_fails(write_tiny_model, asked, words):
    model = load(write_tiny_model(spectrum=WIDE, conditions=ALL), threads=1)
    with pytest.warns(OutOfRangeWarning, match=words):
        model.generate("e-", 5e3, n=2, **asked)
    with pytest.raises(InputError, match=words):
        model.generate("e-", 5e3, n=2, strict=True, **asked)


def test_a_part_of_a_turn_is_not_all_of_it(write_tiny_model):
    half = IncidentSpectrum((11,), (1e3, 1e5), theta=(0, 0.5), phi=(0.0, 3.0))
    model = load(write_tiny_model(spectrum=half, conditions=ALL), threads=1)
    model.generate("e-", 5e3, n=2, theta=0.2, phi=(1, 2), strict=True)
    with pytest.raises(InputError, match="phi"):
        model.generate("e-", 5e3, n=2, theta=0.2, phi=(0, 6.283185307179586), strict=True)


def test_beside_the_readout_is_an_error(write_tiny_model):
    model = load(write_tiny_model(spectrum=WIDE, conditions=ALL), threads=1)
    with pytest.raises(InputError, match="outside the readout"):
        model.generate("e-", 5e3, n=2, position=(0.0, 13.0))
    with pytest.raises(InputError, match="outside the readout"):
        model.generate_incidents(incidents(11, 5e3, x=-13.0))


def test_the_ends_of_the_range_do_not_warn(tiny_model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(tiny_model, threads=1).generate("e-", (1e3, 1e5), n=10)
    assert len(found) == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "at least one"),
        ({"batch": 0}, "batch 0"),
        ({"seed": -1}, "seed -1"),
        ({"energy": -5.0}, "positive"),
        ({"energy": (5e3, 1e3)}, "lower end exceeds"),
        ({"energy": float("nan")}, "finite"),
        ({"particle": "electorn"}, "unknown particle"),
        ({"particle": []}, "no particle"),
    ],
)
def test_bad_arguments(tiny_model, arguments, words):
    with pytest.raises(InputError, match=words):
        load(tiny_model, threads=1).generate(**arguments)


def test_bad_threads_and_backend(tiny_model):
    with pytest.raises(InputError, match="threads"):
        load(tiny_model, threads=0)
    with pytest.raises(InputError, match="did you mean 'openvino'"):
        load(tiny_model, backend="openvin")


def test_broken_files(tmp_path, tiny_model):
    content = tiny_model.read_bytes()
    for name, data, words in (
        ("empty.onnx", b"", "is empty"),
        ("text.onnx", b"hello, world", "broken or not an ONNX"),
        ("cut.onnx", content[: len(content) // 3], "broken"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=words):
            Model(tmp_path / name)
    with pytest.raises(FileError, match="does not exist"):
        load(tmp_path / "none.onnx")


def test_a_file_cut_anywhere_is_refused(tmp_path, tiny_model):
    content = tiny_model.read_bytes()
    for size in range(1, len(content), 97):
        (tmp_path / "cut.onnx").write_bytes(content[:size])
        with pytest.raises(ModelError):
            Model(tmp_path / "cut.onnx", threads=1)


def test_a_graph_that_contradicts_its_card(write_tiny_model):
    with pytest.raises(ModelError, match="'noise' has shape"):
        load(write_tiny_model(noise_size=7))
    with pytest.raises(ModelError, match="'showers' has shape"):
        load(write_tiny_model(cells=6))


def test_a_model_that_draws_negative_cells(write_tiny_model):
    with pytest.raises(ModelError, match="negative or not finite"):
        load(write_tiny_model(sign=-1.0)).generate(n=3)


def test_unknown_names():
    with pytest.raises(ModelError, match="no model 'clic-ecl' is shipped"):
        caloforge.load("clic-ecl")
    assert all("/" not in name for name in names())


@pytest.mark.skipif("openvino" not in available(), reason="openvino is not installed")
def test_openvino_agrees_with_onnxruntime(tiny_model):
    one = load(tiny_model, threads=1).generate("e-,gamma", (1e3, 1e5), n=200, seed=1)
    two = load(tiny_model, threads=1, backend="openvino").generate("e-,gamma", (1e3, 1e5), n=200, seed=1)
    np.testing.assert_allclose(two.energies, one.energies, rtol=1e-4, atol=1e-4)


def test_noise_does_not_depend_on_threads_or_length():
    whole = noise(1, 2, 200, 5, threads=3)
    np.testing.assert_array_equal(noise(1, 2, 200, 5), whole)
    np.testing.assert_array_equal(noise(1, 2, 130, 5, threads=2), whole[:130])
    assert len(np.unique(whole)) > 990
