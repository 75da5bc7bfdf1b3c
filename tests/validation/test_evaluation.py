"""The whole comparison: floor for equal distributions, a known fault found, reports written."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from caloforge.errors import FileError
from caloforge.validation import evaluate, metrics, read_report, write_comparison, write_report

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")


@pytest.fixture(scope="module")
def samples(toy_showers):
    return toy_showers(1200, 1), toy_showers(1200, 2)


@pytest.fixture(scope="module")
def equal(samples):
    return evaluate(*samples, seed=1, level="fast")


def test_equal_distributions(equal):
    assert equal.verdict == "within floor"
    assert equal.findings == ()
    assert abs(equal.classifiers[0].auc - 0.5) < 4 * equal.classifiers[0].error
    assert equal.score.total == pytest.approx(equal.score_floor, abs=5 * equal.score_floor_error)
    pulls = [b.bias / b.bias_error for b in equal.bins]
    assert len(pulls) == 12
    assert np.sqrt(np.mean(np.square(pulls))) < 2
    assert max(abs(b.resolution_ratio - 1) / b.resolution_ratio_error for b in equal.bins) < 5


def test_a_known_energy_scale_is_measured(samples):
    one, two = samples
    found = evaluate(replace(one, energies=one.energies * np.float32(1.05)), two, classifier=False)
    assert found.verdict == "wrong"
    assert found.verdicts["response bias"] == "wrong"
    for decade in found.decades:
        assert decade.bias == pytest.approx(0.05, abs=0.002 + 4 * decade.bias_error)
    assert found.score.total > found.score_floor + 5 * found.score_floor_error


def test_bins_and_decades(equal):
    assert [(b.reference.low, b.reference.high) for b in equal.bins[:2]] == [(1e3, 2e3), (2e3, 5e3)]
    assert [(b.name, b.reference.low) for b in equal.decades] == [
        ("e-", 1e3),
        ("e-", 1e4),
        ("gamma", 1e3),
        ("gamma", 1e4),
    ]
    assert sum(b.generated.n for b in equal.bins) == 1200


def test_the_same_seed_gives_the_same_numbers(samples, equal):
    assert metrics(evaluate(*samples, seed=1, level="fast")) == metrics(equal)


def test_metrics_are_plain_json(equal):
    found = metrics(equal)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema"] == "caloforge.validation/3"
    assert found["samples"]["reference"]["showers"] == 1200
    assert {s["observable"] for s in found["observables"]} >= {"response", "depth", "hits", "cell spectrum"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.images = [], 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.images += tag == "img"
        self.sources += [values[name] for name in ("src", "href") if name in values]


def test_report(equal, tmp_path):
    path = write_report(equal, tmp_path / "deep" / "report")
    assert path == tmp_path / "deep" / "report" / "index.html"
    assert json.loads((path.parent / "metrics.json").read_text()) == metrics(equal)
    text = path.read_text()
    page = Page()
    page.feed(text)
    assert page.images >= 7
    assert all(source.startswith("data:") for source in page.sources)
    for words in (
        "Observables",
        "Response and resolution",
        "Provenance",
        "boosted trees",
        "physics score",
    ):
        assert words in text


@pytest.fixture
def no_figures(monkeypatch):
    """Leave the figures out: they are drawn in one test, and take seconds."""
    monkeypatch.setattr("caloforge.validation.report.figures", lambda _: ())


def test_names_are_escaped(equal, tmp_path, no_figures):
    named = replace(equal, generated=replace(equal.generated, name="<script>alert(1)</script>"))
    assert "<script>alert" not in write_report(named, tmp_path).read_text()


def test_a_hundred_showers_will_do(toy_showers, tmp_path, no_figures):
    found = evaluate(toy_showers(100, 5), toy_showers(100, 6), level="fast")
    assert "too few for a classifier" in found.classifiers[0].skipped
    assert np.isfinite(found.score.total)
    assert "too few for a classifier" in write_report(found, tmp_path).read_text()


def test_one_energy_one_particle_and_one_layer(tmp_path):
    """The figures of a sample with single values everywhere, at angles, with showers of no hit."""
    from caloforge.detectors import load
    from caloforge.showers import IncidentSpectrum, Showers

    crystals = load("crystals")
    spectrum = IncidentSpectrum((22,), (5e4,), theta=(0, 0.17), phi=(0, 6.28), position="cell")

    def make(seed):
        rng = np.random.default_rng(seed)
        given = spectrum.draw(120, rng, crystals)
        x, y = given.axis(crystals.z)
        away = np.hypot(crystals.positions[:, 0] - x, crystals.positions[:, 1] - y)
        cells = 4e4 * np.exp(-away / 8) * rng.gamma(4, 0.25, (120, crystals.n_cells))
        cells[:4] = 0
        return Showers(cells.reshape(120, *crystals.shape).astype(np.float32), given, crystals)

    found = evaluate(make(1), make(2), level="fast", training=make(3))
    assert len(found.bins) == 1
    assert len(found.angles) == 4
    assert {name for name, verdict in found.verdicts.items() if verdict == "wrong"} == set()
    write_report(found, tmp_path)


def test_a_dead_model_and_a_handful_of_showers(toy_showers, tmp_path):
    """Figures of what has no ratio, and of energies that no two showers share; alone and side by side."""
    one, two = toy_showers(50, 1), toy_showers(50, 2)
    many = toy_showers(300, 3)
    dead = evaluate(replace(many, energies=0 * many.energies), toy_showers(300, 4), classifier=False)
    assert dead.verdict == "wrong"
    assert dead.verdicts["response bias"] == dead.verdicts["resolution"] == "wrong"
    few = evaluate(one, two, classifier=False)
    assert few.bins == ()
    reports = []
    for name, found in (("dead", dead), ("few", few)):
        write_report(found, tmp_path / name)
        reports.append(read_report(tmp_path / name))
    assert write_comparison(reports, tmp_path / "both").exists()


def test_unwritable_folder(equal, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="no folder"):
        write_report(equal, tmp_path / "file")


def test_a_calochallenge_data_set(tmp_path, no_figures):
    """Files of 45 x 16 x 9 cells without our attributes, with their binning file, through the command."""
    import h5py

    from caloforge.cli import main

    layer = '<Layer id="{}" r_edges="0,4.65,9.3,13.95,18.6,23.25,27.9,32.55,37.2,41.85" n_bin_alpha="16"/>'
    layers = "".join(layer.format(number) for number in range(45))
    binning = tmp_path / "binning_dataset_2.xml"
    binning.write_text(f'<Bins><Particle pid="11">{layers}</Particle></Bins>')
    files = [tmp_path / name for name in ("generated.hdf5", "reference.hdf5")]
    for seed, path in enumerate(files):
        rng = np.random.default_rng(seed)
        profile = np.exp(-((np.arange(45)[:, None, None] - 15) ** 2) / 80) * np.exp(-np.arange(9) / 2)
        energy = 10 ** rng.uniform(3, 6, (80, 1))
        cells = rng.gamma(0.5, 1, (80, 45, 16, 9)) * profile * 1e-4 * energy[:, :, None, None]
        with h5py.File(path, "w") as file:
            file["showers"] = cells.reshape(80, -1).astype(np.float32)
            file["incident_energies"] = energy
    words = ["validate", *map(str, files), "-o", str(tmp_path / "report"), "--fast"]
    assert main([*words, "--detector", "calochallenge-3"]) != 0
    assert main([*words, "--detector", str(binning), "--particle", "e-"]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "CaloDREAM" in page
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert found["shape"] == [45, 16, 9]
    assert found["samples"]["reference"]["kind"] == "CaloChallenge"
