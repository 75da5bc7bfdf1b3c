"""`caloforge train` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from caloforge.cli import main

RECIPE = Path(__file__).parents[2] / "recipes" / "clic-ecal-gan3d-2018.toml"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--data", "--output", "--resume", "--set", "--device", "--devices", "--json"):
        assert option in text


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--data", "none.h5"], 3, "'none.h5' does not exist"),
        (["--data", "none.h5", "--set", "training.step=1"], 2, "did you mean 'steps'"),
        (["--data", "none.h5", "--device", "tpu"], 2, "write cpu, cuda or auto"),
    ],
)
def test_errors(
    words: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(RECIPE), "-o", "run", *words]) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_missing_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "none.toml", "--data", "x.h5", "-o", "run"]) == 3
    assert "recipe 'none.toml' does not exist" in capsys.readouterr().err
