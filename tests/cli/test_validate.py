"""`caloforge validate`."""

import json
import sys

import pytest

from caloforge.cli import main
from caloforge.showers import write_showers
from caloforge.validation import evaluate, write_report

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")


@pytest.fixture
def files(tmp_path, toy_showers):
    paths = tmp_path / "fast.h5", tmp_path / "mc.h5"
    for seed, path in enumerate(paths):
        write_showers(path, toy_showers(120, seed))
    return paths


def test_validate(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("caloforge.validation.report.figures", lambda _: ())  # they take seconds
    words = ["validate", *map(str, files), "-o", str(tmp_path / "report"), "--seed", "3", "--fast"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert found["seed"] == 3
    assert found["samples"]["generated"]["name"] == str(files[0])
    assert main(words) == 0
    text = capsys.readouterr().out
    for expected in ("separation, response", "response bias", "too few for a classifier", "index.html"):
        assert expected in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("one", "two", "status", "words"),
    [
        ("fast.h5", "fast.h5", 2, "compared with itself"),
        ("none.h5", "mc.h5", 3, "does not exist"),
        ("fast.h5", "few.h5", 2, "3 showers are too few"),
    ],
)
def test_mistakes(files, tmp_path, toy_showers, capsys, one, two, status, words):
    write_showers(tmp_path / "few.h5", toy_showers(3, 9))
    report = tmp_path / "report"
    assert main(["validate", str(tmp_path / one), str(tmp_path / two), "-o", str(report)]) == status
    assert words in capsys.readouterr().err
    assert not report.exists()


def test_what_would_lose_the_work_is_found_before_it(files, tmp_path, capsys, monkeypatch):
    def nothing(*_, **__):
        raise AssertionError("the comparison was begun")

    monkeypatch.setattr("caloforge.cli.validate.evaluate", nothing)
    (tmp_path / "file").write_text("")
    assert main(["validate", *map(str, files), "-o", str(tmp_path / "file")]) == 3
    assert "exists and is no folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mplhep", None)
    assert main(["validate", *map(str, files), "-o", str(tmp_path / "report")]) != 0
    assert "caloforge[report]" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_the_numbers_are_there_even_if_the_page_is_not(files, tmp_path, monkeypatch):
    def broken(_):
        raise MemoryError

    monkeypatch.setattr("caloforge.validation.report.figures", broken)
    with pytest.raises(MemoryError):
        write_report(evaluate(*files, classifier=False), tmp_path / "report")
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["verdict"]
