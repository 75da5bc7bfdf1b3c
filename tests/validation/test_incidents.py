"""Angles and impact points: planted faults found, spectra refused, bins, windows that follow the axis."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caloforge.detectors import load, parse, to_toml
from caloforge.errors import InputError
from caloforge.showers import Incidents, IncidentSpectrum, Showers, incidents, read_showers
from caloforge.units import degree
from caloforge.validation import evaluate, metrics, read_sample, write_report
from caloforge.validation.cells import SparseCells
from caloforge.validation.classifier import classify, energy_scale, in_window
from caloforge.validation.display import displays
from caloforge.validation.embedding import Cloud, nearest_image
from caloforge.validation.faults import angle_ignored, known_faults, position_ignored, tilted
from caloforge.validation.features import conditions
from caloforge.validation.floor import resample
from caloforge.validation.metrics import compare
from caloforge.validation.pairs import check_pair, differences
from caloforge.validation.quantities import QUANTITIES
from caloforge.validation.trees import BoostedTrees
from caloforge.validation.windows import Window

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")

WIDE = Path(__file__).parents[3] / "samples" / "clic-ecal-wide-train.h5"
CENTROID = [q for q in QUANTITIES if q.name.startswith("centroid")]


@pytest.fixture(scope="module")
def reference(tilted_showers):
    return read_sample(tilted_showers(2000, 1), "reference")


@pytest.fixture(scope="module")
def good(tilted_showers):
    return tilted_showers(2000, 2)


def worst_of(showers, reference):
    """The verdicts on the centroid, which single out faults of the axis."""
    one, two = read_sample(showers, "g").observables, reference.observables
    resampling = resample(len(one), len(two), np.random.default_rng(0))
    return {compare(q, one, two, resampling)[0].verdict for q in CENTROID}


def at_zero(given):
    return replace(given, theta=np.zeros_like(given.theta))


def at_the_centre(given):
    return replace(given, x=np.zeros_like(given.x), y=np.zeros_like(given.y))


def two_degrees_off(given):
    return replace(given, theta=given.theta + np.float32(2 * degree))


def test_good_showers_are_within_the_floor(good, reference):
    assert worst_of(good, reference) == {"within floor"}
    check_pair(read_sample(good, "good"), reference)


@pytest.mark.parametrize("follow", [at_zero, at_the_centre, two_degrees_off])
def test_models_that_ignore_a_condition_are_found(tilted_showers, reference, follow):
    faulty = tilted_showers(2000, 2, follow)
    check_pair(read_sample(faulty, "faulty"), reference)
    assert "wrong" in worst_of(faulty, reference)


@pytest.mark.parametrize("follow", [at_zero, two_degrees_off])
def test_classifiers_tell_them_apart(tilted_showers, reference, follow):
    faulty = read_sample(tilted_showers(2000, 2, follow), "faulty")
    found = classify("auc_trees", BoostedTrees(40), faulty, reference, seeds=[0])
    assert found.auc > 0.62
    assert abs(found.floor - 0.5) < 4 * found.floor_error


@pytest.mark.parametrize(
    "fault", [angle_ignored, position_ignored, lambda s, rng: tilted(s, 2 * degree, rng)]
)
def test_planted_faults_are_found_and_have_the_same_spectrum(good, reference, fault):
    faulty = fault(good, np.random.default_rng(0))
    check_pair(read_sample(faulty, "faulty"), reference)
    assert worst_of(faulty, reference) & {"wrong", "visible"}


def test_faults_are_planted_where_the_spectrum_varies():
    names = [[f.name for f in known_faults(0.1, 3, s)] for s in (None, IncidentSpectrum((11,), (1e3,)))]
    assert names[0] == names[1]
    varied = IncidentSpectrum((11,), (1e3,), theta=(0, 0.5), phi=(0, 6), position=(-1.0, 1.0, -1.0, 1.0))
    more = [f.name for f in known_faults(0.1, 3, varied)]
    assert set(more) - set(names[0]) == {"angle ignored", "theta off by 2 degrees", "position ignored"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda i: replace(i, theta=i.theta + np.float32(0.03)), "angles theta of e- differ"),
        (lambda i: replace(i, phi=i.phi / 2), "azimuths phi of e- differ"),
        (lambda i: replace(i, x=i.x * np.float32(0.7)), "impact points x of e- differ"),
        (lambda i: replace(i, y=i.y + np.float32(1)), "impact points y of e- differ: g has -1.5 to 3.5 mm"),
    ],
)
def test_other_spectra_are_refused(good, reference, change, words):
    with pytest.raises(InputError, match=words):
        check_pair(read_sample(replace(good, incidents=change(good.incidents)), "g"), reference)


def test_other_declared_spectra_are_refused(good, reference):
    """Also where too few showers show it; Monte Carlo weights may turn one spectrum into another."""
    declared = reference.declared
    assert declared is not None
    other = replace(declared, theta=(0.0, 15.5 * degree))
    lied = replace(good, provenance={"spectrum": other.to_json()})
    with pytest.raises(InputError, match=r"spectra of incidents differ in theta: g has e-, .*15.5 degrees"):
        check_pair(read_sample(lied, "g"), reference)
    weights = np.random.default_rng(0).uniform(0.9, 1.1, len(good))
    check_pair(read_sample(lied, "g", weights=weights), reference)
    check_pair(read_sample(replace(good, provenance={}), "g"), reference)


def test_differences_of_spectra(toy_detector):
    base = IncidentSpectrum((11, 22), (1e3, 1e5), theta=(0, 0.2), phi=(0, 2 * math.pi), position="cell")
    for same in (
        replace(base, particles=(22, 11)),
        replace(base, weights=(2.0, 2.0)),
        replace(base, phi=(-math.pi, math.pi)),
        replace(base, position=(-2.5, 2.5, -2.5, 2.5)),
    ):
        assert differences(base, same, toy_detector) == []
    for other, name in (
        (replace(base, particles=(11,)), "particles"),
        (replace(base, weights=(2.0, 1.0)), "particles"),
        (replace(base, energies="uniform"), "energy"),
        (replace(base, energy=(1e3,)), "energy"),
        (replace(base, phi=(0, math.pi)), "phi"),
        (replace(base, position=(0.0, 0.0)), "position"),
    ):
        assert differences(base, other, toy_detector) == [name]
    normal = replace(base, theta=(0.0, 0.0))
    assert differences(normal, replace(normal, phi=(0.0, 0.0)), toy_detector) == []


def test_the_report_of_a_varied_spectrum(good, reference, tmp_path, monkeypatch):
    """Bins of theta and position: a response that depends on theta in one sample alone is seen there."""
    from caloforge.validation.response_figures import response_by_incident

    factor = 1 + 0.4 * good.incidents.theta**2
    bent = replace(good, energies=good.energies * factor.astype(np.float32)[:, None, None, None])
    monkeypatch.setattr("caloforge.validation.evaluation._compare_all", lambda *_: ((), ()))
    monkeypatch.setattr("caloforge.validation.report.figures", lambda _: ())
    found = evaluate(bent, reference, classifier=False)
    assert [(b.variable, b.unit, round(b.low, 3), round(b.high, 3)) for b in found.angles] == [
        ("theta", "degrees", low, low + 3.75) for low in (0, 3.75, 7.5, 11.25)
    ]
    assert sum(b.generated.n for b in found.angles) == 2000
    biases = [b.bias for b in found.angles]
    assert biases[0] == pytest.approx(0, abs=4 * found.angles[0].bias_error)
    assert biases[-1] == pytest.approx(0.4 * (13.2 * degree) ** 2, abs=4 * found.angles[-1].bias_error)
    assert {b.variable for b in found.positions} == {"|x|", "|y|"}
    assert len(found.positions) == 8
    for half in ("|x|", "|y|"):
        assert sum(b.reference.n for b in found.positions if b.variable == half) == 2000
    assert {"response bias, theta", "resolution, position"} <= set(found.verdicts)
    record = metrics(found)
    assert record["response"]["angles"][3]["high"] == pytest.approx(15)
    assert record["values"]["response_bias_theta"] == pytest.approx(max(map(abs, biases)))
    assert record["values"]["resolution_bias_position"] > 0
    assert "theta 0 to 15 degrees" in record["samples"]["generated"]["spectrum"]
    assert response_by_incident(found).png
    page = write_report(found, tmp_path).read_text()
    assert "In bins of the angle of incidence" in page
    assert "theta 0 to 15 degrees, phi 0 to 360 degrees" in page


def test_conditions_of_normal_incidence_say_nothing_of_phi():
    given = incidents(11, np.full(3, 1e3), theta=np.array([0, 0, 0.3]), phi=np.array([1.0, 2.0, 2.0]), x=1.5)
    found = conditions(given)
    assert np.array_equal(found[0], found[1])
    assert found[2] == pytest.approx(
        [3, 11, 0.3, math.sin(0.3) * math.cos(2), math.sin(0.3) * math.sin(2), 1.5, 0], abs=1e-6
    )


def moved_by_cells(showers, rows, columns):
    """The same showers some cells away, where nothing leaves the readout."""
    cells = np.roll(showers.energies, (rows, columns), (2, 3))
    i = showers.incidents
    shifted = replace(i, x=i.x + np.float32(5 * columns), y=i.y + np.float32(5 * rows))
    return replace(showers, energies=cells, incidents=shifted)


@pytest.fixture
def compact(toy_detector):
    """Showers of nine cells around the middle of the readout."""
    rng = np.random.default_rng(0)
    cells = np.zeros((60, *toy_detector.shape), np.float32)
    cells[:, 1:5, 3:6, 3:6] = rng.exponential(1, (60, 4, 3, 3))
    return Showers(cells, incidents(11, np.full(60, 1e4), x=0.1), toy_detector)


def test_windows_follow_the_axis(compact, toy_detector):
    shifted = moved_by_cells(compact, 2, -3)
    seen = []
    for showers in (compact, shifted):
        cells = SparseCells.of(showers, 0.1)
        window = Window.of(cells, showers.incidents, toy_detector)
        assert window.cells == (3, 3)
        seen.append(window.seen(cells, showers.incidents).dense())
    assert np.array_equal(*seen)
    assert seen[0].shape == (60, 8 * 9)
    assert seen[0].sum() == pytest.approx(SparseCells.of(compact, 0.1).energy.sum())


def test_windows_of_tilted_showers_hold_their_energy(reference, good):
    one, two = in_window(read_sample(good, "good"), reference)
    assert one.cells.shape == two.cells.shape
    rows, columns = two.cells.shape[1:]
    assert rows % 2 == columns % 2 == 1
    share = two.cells.energy.sum() / reference.cells.energy.sum()
    assert share >= 0.99
    profile = two.cells.dense().reshape(-1, *two.cells.shape).sum(axis=(0, 1))
    assert np.unravel_index(profile.argmax(), profile.shape) == (rows // 2, columns // 2)
    assert profile[:, : columns // 2].sum() == pytest.approx(profile[:, columns // 2 + 1 :].sum(), rel=0.1)


def test_windows_of_normal_incidence_and_cylinders_are_the_readout(pair):
    sample = pair[0]
    o = sample.observables
    window = Window.of(sample.cells, o.incidents, o.detector)
    assert window.cells is None
    assert window.seen(sample.cells, o.incidents) is sample.cells
    cylinder = load("calochallenge-2")
    empty = SparseCells(cylinder.shape, np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    assert Window.of(empty, incidents(11, np.array([1e3]), theta=0.1), cylinder).shape == cylinder.shape


@pytest.mark.parametrize("name", ["crystals", "lead-scintillator"])
def test_windows_of_even_numbers_of_cells_and_single_layers(name):
    detector = load(name)
    rng = np.random.default_rng(0)
    given = IncidentSpectrum((11,), (1e3,), theta=(0, 0.1), phi=(0, 6), position="cell").draw(
        20, rng, detector
    )
    x, y = given.axis(detector.z)
    shower, layer = np.indices(x.shape).reshape(2, -1)
    readout = detector.readout
    row, column = (
        np.floor(place.ravel() / size + n / 2).astype(int)
        for place, size, n in zip((y, x), readout.size, readout.cells, strict=True)
    )
    cells = np.zeros((20, *detector.shape), np.float32)
    cells[shower, layer, row, column] = 10
    sparse = SparseCells.of(Showers(cells, given, detector), 0.1)
    window = Window.of(sparse, given, detector)
    assert window.cells == (1, 1)
    assert window.seen(sparse, given).dense() == pytest.approx(10)
    o = read_sample(
        Showers(np.tile(cells, (3, 1, 1, 1)), Incidents.concatenate([given] * 3), detector), "s"
    ).observables
    assert np.abs(o.centre_x).max() <= readout.size[1] / 2 + 1e-4
    assert np.abs(o.centre_y).max() <= readout.size[0] / 2 + 1e-4


def test_training_showers_that_were_moved_are_found(compact, toy_detector):
    """By whole cells, by a symmetry, and both."""
    known = SparseCells.of(compact, 0.1)
    window = Window.of(known, compact.incidents, toy_detector)
    for number in (0, 3, 5):
        shifted = moved_by_cells(compact, -2, 3)
        images = np.zeros_like(shifted.flat)
        images[:, toy_detector.destinations()[number]] = shifted.flat
        turned = replace(
            shifted,
            energies=images.reshape(shifted.energies.shape),
            incidents=shifted.incidents.moved(toy_detector.symmetries[number]),
        )
        found = nearest_image(SparseCells.of(turned, 0.1), turned.incidents, known, compact.incidents, window)
        assert found.max() < 1e-3
    apart = Cloud(known).distances()[np.triu_indices(60, 1)].min()
    assert apart > 0.1


def test_turned_showers_of_a_cylinder_are_found():
    """All 32 symmetries at once, as one by one."""
    detector = load("calochallenge-2")
    rng = np.random.default_rng(0)
    cells = rng.exponential(1, (12, detector.n_cells)) * (rng.random((12, detector.n_cells)) < 0.01)
    given = incidents(11, np.full(12, 1e3))
    known = SparseCells.of(
        Showers(cells.astype(np.float32).reshape(12, *detector.shape), given, detector), 0.1
    )
    window = Window.of(known, given, detector)
    destinations = detector.destinations()
    for number in (3, 17, 30):
        found = nearest_image(known.moved(destinations[number]), given, known, given, window)
        assert found.max() < 2e-3
    some = known[np.arange(6)]
    others = known[np.arange(6, 12)]
    single = np.min([Cloud(some.moved(to)).nearest(Cloud(others)) for to in destinations], axis=0)
    assert nearest_image(some, given[:6], others, given[6:], window) == pytest.approx(single, abs=1e-4)


def test_scale_of_cell_energies():
    """Hits at the threshold and the hottest cells are numbers of order 1 to 10 in any medium."""
    for name, hottest in (
        ("clic-ecal", 100),
        ("crystals", 1e5),
        ("lead-scintillator", 500),
        ("calochallenge-2", 1e3),
    ):
        detector = load(name)
        scale = energy_scale(detector, detector.threshold)
        low, high = np.log1p(np.array([detector.threshold, hottest]) / scale)
        assert 0.1 < low < 1
        assert 3 < high < 12


def test_events_of_a_cylinder_and_of_tilted_showers(reference, good):
    from types import SimpleNamespace

    tilted_events = displays(
        SimpleNamespace(
            detector=reference.observables.detector, generated=read_sample(good, "g"), reference=reference
        )
    )
    pair = tilted_events["pairs"][2]
    boxes = np.array(tilted_events["cells"])
    assert np.all(boxes[:, 3:] == 5)
    for name, sample in (("reference", reference), ("generated", None)):
        shower = pair[name]
        z, y, x = boxes[shower["cells"], :3].T
        weights = np.array(shower["energies"])
        axis = [start + slope * z for start, slope in zip(shower["entry"], shower["slope"], strict=True)]
        assert np.average(y - axis[0], weights=weights) == pytest.approx(0, abs=2)
        assert np.average(x - axis[1], weights=weights) == pytest.approx(0, abs=2)
        assert sample is None or shower["theta"] <= 15
    assert abs(pair["reference"]["slope"][0] - pair["generated"]["slope"][0]) < 0.2
    cylinder = load("calochallenge-2")
    rng = np.random.default_rng(0)
    cells = rng.exponential(0.1, (60, *cylinder.shape)).astype(np.float32) * (
        rng.random((60, *cylinder.shape)) < 0.01
    )
    sample = read_sample(Showers(cells, incidents(11, np.full(60, 1e4)), cylinder), "s")
    found = displays(SimpleNamespace(detector=cylinder, generated=sample, reference=sample))
    boxes = np.array(found["cells"])
    assert found["detector"]["round"]
    radius = np.hypot(boxes[:, 1], boxes[:, 2])
    assert radius.max() < 41.85
    inner = radius < 3
    assert boxes[inner, 3].max() < 1
    assert boxes[~inner, 3].max() == pytest.approx(4.65)


@pytest.mark.long
def test_faults_of_geant4_showers_at_an_angle_are_found():
    """10 000 + 10 000 showers of Geant4, theta 0 to 30 degrees, all over a cell."""
    if not WIDE.exists():
        pytest.skip(f"no sample of tilted showers: make {WIDE} with `caloforge simulate clic-ecal-wide`")
    good, other = (read_showers(WIDE, start, start + 10_000) for start in (0, 10_000))
    reference = read_sample(other, "reference")
    rng = np.random.default_rng(0)
    assert worst_of(good, reference) == {"within floor"}
    for fault in known_faults(0.015, 9, reference.spectrum)[-3:]:
        found = evaluate(fault.make(good, rng), reference, level="fast")
        assert found.verdict == "wrong"
        assert set(fault.seen_by) & {f.observable for f in found.findings}, fault.name


def test_other_detectors_are_refused(tilted_showers, reference):
    """The same cells, other physics."""
    coarser = parse(
        to_toml(reference.observables.detector).replace("production_cut = 0.7", "production_cut = 0.5")
    )
    other = read_sample(replace(tilted_showers(300, 5), detector=coarser), "generated")
    with pytest.raises(InputError, match="differ in physics: they do not compare"):
        check_pair(other, reference)
