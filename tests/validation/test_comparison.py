"""Reports side by side, and requirements on the numbers of a report."""

import json

import pytest

from caloforge.cli import main
from caloforge.errors import FileError, InputError
from caloforge.showers import write_showers
from caloforge.validation import comparison, evaluate, metrics, parse_requirements, read_report
from caloforge.validation.faults import scaled
from caloforge.validation.requirements import Requirement, known_names, values

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")


@pytest.fixture(scope="module")
def evaluations(toy_showers):
    reference = toy_showers(600, 2)
    good = toy_showers(600, 1)
    return tuple(evaluate(s, reference, classifier=False) for s in (good, scaled(good, 1.1)))


@pytest.fixture
def reports(evaluations, tmp_path):
    folders = []
    for name, evaluation in zip(("good", "broken"), evaluations, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps(metrics(evaluation)))
        folders.append(folder)
    return folders


def test_the_better_model_is_marked(reports):
    found = comparison([read_report(folder) for folder in reports])
    assert [model["name"] for model in found["models"]] == ["good", "broken"]
    rows = {row["key"]: row for row in found["numbers"]}
    assert [cell["best"] for cell in rows["response_bias"]["cells"]] == [True, False]
    assert rows["response_bias"]["cells"][1]["verdict"] == "wrong"
    assert found["models"][1]["counts"]["wrong"] > found["models"][0]["counts"]["wrong"]
    assert {row["name"] for row in found["observables"]} >= {"response", "cell spectrum"}
    assert found["warnings"] == []


def test_coverage_closest_to_the_floor_is_the_best(reports):
    """Density above Geant4's is no merit."""
    one, two = (read_report(folder) for folder in reports)
    for report, value in ((one, 1.3), (two, 0.98)):
        (score,) = (s for s in report.metrics["scores"] if s["key"] == "density")
        score |= {"value": value, "floor": 1.0}
        report.metrics["values"]["density"] = value
    (row,) = (row for row in comparison([one, two])["numbers"] if row["key"] == "density")
    assert [cell["best"] for cell in row["cells"]] == [False, True]


def test_reports_that_do_not_compare(reports, tmp_path):
    one, two = (read_report(folder) for folder in reports)
    with pytest.raises(InputError, match="at least two"):
        comparison([one])
    two.metrics["detector"] = "other"
    with pytest.raises(InputError, match="good is of detector 'toy', broken of 'other'"):
        comparison([one, two])
    with pytest.raises(FileError, match="is no report"):
        read_report(tmp_path / "nowhere")
    (tmp_path / "metrics.json").write_text('{"schema": "caloforge.validation/1"}')
    with pytest.raises(FileError, match="make the report again"):
        read_report(tmp_path)


def test_other_references_are_noted(reports):
    one, two = (read_report(folder) for folder in reports)
    two.metrics["samples"]["reference"]["sha256"] = "0"
    assert "different references" in comparison([one, two])["warnings"][0]


def test_compare_command(reports, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("caloforge.validation.comparison_figures.comparison_figures", lambda _: ())
    words = ["compare", *map(str, reports), "-o", str(tmp_path / "out")]
    assert main([*words, "--json", "--names", "A,B"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in found["models"]] == ["A", "B"]
    assert found == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert main(words) == 0
    assert "response bias" in capsys.readouterr().out.replace("\n", " ")
    assert "good" in (tmp_path / "out" / "index.html").read_text()
    assert main([*words, "--names", "A"]) == 2
    assert main(["compare", str(reports[0])]) == 2


def test_every_known_name_has_a_number(evaluations):
    assert tuple(values(evaluations[0])) == known_names()
    found = values(evaluations[1])
    assert found["response_bias"] == pytest.approx(0.1, abs=0.05)
    assert found["auc_high"] is None


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("fpd<1e9", True),
        ("fpd>=1e9", False),
        ("auc_high<0.6", False),
        ("wrong <= 100", True),
        ("wrong>100", False),
    ],
)
def test_requirements(evaluations, text, met):
    (one,) = parse_requirements(text)
    assert one.holds(values(evaluations[1])) is met


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auc_hihg<0.6", "did you mean 'auc_high'"),
        ("auc_high", "is no requirement"),
        ("", "is no requirement"),
        ("auc_high<x", "is no requirement"),
        ("zzz<1", "metrics.json lists"),
    ],
)
def test_what_is_no_requirement(text, words):
    with pytest.raises(InputError, match=words):
        parse_requirements(text)


def test_requirements_decide_the_exit_status(toy_showers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("caloforge.validation.report.figures", lambda _: ())
    paths = [str(tmp_path / name) for name in ("g.h5", "r.h5", "t.h5")]
    for seed, path in enumerate(paths):
        write_showers(path, toy_showers(250, seed))
    words = ["validate", *paths[:2], "-o", str(tmp_path / "report"), "--fast", "--training", paths[2]]
    assert main([*words, "--require", "separation_max<0.9,memorised<0.2"]) == 0
    assert main([*words, "--require", "separation_max<0.0001,auc_high<0.6"]) == 8
    errors = capsys.readouterr().err
    assert "requirement not met: separation_max<0.0001" in errors
    assert "auc_high<0.6 (not tested)" in errors
    found = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert [r["met"] for r in found["requirements"]] == [False, False]
    assert found["samples"]["training"]["showers"] == 250
    assert main([*words, "--require", "nonsense"]) == 2
    assert main([*words, "--full"]) == 2


def test_requirements_read_as_they_are_written():
    assert str(Requirement("auc_high", "<", 0.6)) == "auc_high<0.6"
