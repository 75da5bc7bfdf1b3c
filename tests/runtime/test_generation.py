"""Samples in files: resumed, killed, out of space."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from caloforge.errors import FileError, InputError
from caloforge.runtime import Job, generate_file, generation, joining, load
from caloforge.showers import IncidentSpectrum, ShowerFile, read_showers

SPECTRUM = IncidentSpectrum((11, 22), (1e3, 1e5))
JOB = Job(SPECTRUM, 2300, seed=4)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(generation, "PART_CHUNKS", 1)


def test_the_file_holds_what_generate_draws(tmp_path, tiny_model, small_parts):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    assert generate_file(model, JOB, path, command="caloforge generate ...", show=False) == 0
    with ShowerFile(path) as file:
        assert len(file) == JOB.n
        assert file.detector == model.detector
        assert file.provenance["model_sha256"] == model.sha256
        assert file.provenance["seed"] == "4"
        assert file.provenance["command"] == "caloforge generate ..."
        assert IncidentSpectrum.parse_json(file.provenance["spectrum"], "file") == SPECTRUM
        assert file.provenance["physics"] == model.card.physics
    found = read_showers(path)
    drawn = model.generate((11, 22), (1e3, 1e5), JOB.n, JOB.seed)
    np.testing.assert_array_equal(found.energies, drawn.energies)
    np.testing.assert_array_equal(found.incidents.matrix(), drawn.incidents.matrix())
    assert sorted(os.listdir(tmp_path)) == ["fast.h5", "tiny.onnx"]


def test_parts_do_not_show_in_the_file(tmp_path, tiny_model, monkeypatch):
    model = load(tiny_model, threads=1)
    for parts in (1, 2, 5):
        monkeypatch.setattr(generation, "PART_CHUNKS", parts)
        generate_file(model, JOB, tmp_path / f"{parts}.h5", show=False)
    reference = read_showers(tmp_path / "5.h5")
    for parts in (1, 2):
        found = read_showers(tmp_path / f"{parts}.h5")
        np.testing.assert_array_equal(found.energies, reference.energies)
        assert found.provenance == reference.provenance


class BrokenOffError(Exception):
    pass


def _interrupt(model, path, after, monkeypatch):
    """Run JOB and break off when `after` chunks are drawn."""
    calls = []
    whole = type(model).forward

    def forward(self, *arguments):
        calls.append(1)
        if len(calls) > after:
            raise BrokenOffError
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "forward", forward)
        with pytest.raises(BrokenOffError):
            generate_file(model, JOB, path, show=False)


def test_an_interrupted_job_goes_on(tmp_path, tiny_model, small_parts, monkeypatch):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    _interrupt(model, path, 2, monkeypatch)
    assert not path.exists()
    assert generate_file(model, JOB, path, show=False) == 2000
    generate_file(model, JOB, tmp_path / "whole.h5", show=False)
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_parts_of_another_job_are_not_used(tmp_path, tiny_model, small_parts, monkeypatch):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    _interrupt(model, path, 2, monkeypatch)
    other = Job(SPECTRUM, 2300, seed=5)
    assert generate_file(model, other, path, show=False) == 0
    assert read_showers(path).provenance["seed"] == "5"


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path, tiny_model, small_parts, monkeypatch):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    path.write_text("old")
    _interrupt(model, path, 1, monkeypatch)
    assert path.read_text() == "old"


def test_a_killed_process_leaves_no_broken_file(tmp_path, tiny_model):
    path = tmp_path / "fast.h5"
    words = [sys.executable, "-m", "caloforge", "generate", str(tiny_model), "-n", "400000", "-o", str(path)]
    process = subprocess.Popen(
        [*words, "--threads", "1"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    parts = tmp_path / ".fast.h5.parts"
    try:
        end = time.monotonic() + 60
        while not (parts / "000001.h5").exists() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not path.exists()
    finished = sorted(part.name for part in parts.glob("0*.h5"))
    assert finished[:2] == ["000000.h5", "000001.h5"]
    model = load(tiny_model, threads=1)
    job = Job(IncidentSpectrum((11,), (1e3, 1e5)), 400_000, 0)
    assert (parts / "job").read_text() == job.fingerprint(model)
    first = read_showers(parts / "000000.h5")
    np.testing.assert_array_equal(first.energies, model.generate("e-", (1e3, 1e5), 5000, 0).energies)


def test_two_processes_do_not_write_one_file(tmp_path, tiny_model):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    with generation._part_folder(path, "x"), pytest.raises(FileError, match="another process"):
        generate_file(model, JOB, path, show=False)


def test_a_second_process_leaves_the_parts_of_the_first(tmp_path, tiny_model):
    path = tmp_path / "fast.h5"
    with generation._part_folder(path, "x") as folder:
        with pytest.raises(FileError, match="another process"), generation._part_folder(path, "x"):
            pass
        assert (folder / "lock").exists()


def test_a_file_system_without_locks_is_said(tmp_path, tiny_model, monkeypatch):
    def flock(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(generation.fcntl, "flock", flock)
    with pytest.raises(FileError, match=r"cannot be locked \(No locks available\)"):
        generate_file(load(tiny_model, threads=1), JOB, tmp_path / "fast.h5", show=False)


def test_places_that_cannot_be_written(tmp_path, tiny_model):
    model = load(tiny_model, threads=1)
    with pytest.raises(FileError, match="does not exist"):
        generate_file(model, JOB, tmp_path / "none" / "fast.h5", show=False)
    with pytest.raises(FileError, match="is a folder"):
        generate_file(model, JOB, tmp_path, show=False)


def test_a_full_disk_is_said_and_loses_nothing(tmp_path, tiny_model, small_parts, monkeypatch):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    appended = []
    append = generation.ShowerWriter.append

    def full(self, showers):
        appended.append(1)
        if len(appended) == 2:
            raise OSError(28, "No space left on device")
        append(self, showers)

    with monkeypatch.context() as patch:
        patch.setattr(generation.ShowerWriter, "append", full)
        with pytest.raises(FileError, match="the disk is full"):
            generate_file(model, JOB, path, show=False)
    assert not path.exists()
    assert generate_file(model, JOB, path, show=False) == 1000
    assert len(read_showers(path)) == JOB.n


def test_a_disk_that_fills_up_while_joining_loses_nothing(tmp_path, tiny_model, small_parts, monkeypatch):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"

    class Full(joining.GuardedFile):
        def write(self, data):
            self.error = OSError(28, "No space left on device")
            return super().write(data)

    with monkeypatch.context() as patch:
        patch.setattr(joining, "GuardedFile", Full)
        with pytest.raises(FileError, match="the disk is full"):
            generate_file(model, JOB, path, show=False)
    assert not path.exists()
    assert generate_file(model, JOB, path, show=False) == JOB.n
    assert len(read_showers(path)) == JOB.n


def test_a_broken_part_is_named(tmp_path, tiny_model, small_parts, monkeypatch):
    model = load(tiny_model, threads=1)
    path = tmp_path / "fast.h5"
    _interrupt(model, path, 2, monkeypatch)
    (tmp_path / ".fast.h5.parts" / "000001.h5").write_text("rubbish")
    with pytest.raises(FileError, match=r"000001\.h5' failed.*remove the folder"):
        generate_file(model, JOB, path, show=False)


def test_what_is_refused_fails_before_any_file_is_touched(tmp_path, tiny_model):
    model = load(tiny_model, threads=1)
    far, tilted = IncidentSpectrum((11,), (1e6,)), IncidentSpectrum((11,), (1e4,), theta=(0, 0.1))
    with pytest.raises(InputError, match="energy 1 TeV"):
        generate_file(model, Job(far, 10, 0), tmp_path / "fast.h5", strict=True, show=False)
    with pytest.raises(InputError, match="not conditioned on the direction"):
        generate_file(model, Job(tilted, 10, 0), tmp_path / "fast.h5", show=False)
    assert os.listdir(tmp_path) == ["tiny.onnx"]


def test_a_job_checks_its_values():
    with pytest.raises(InputError, match="at least one"):
        Job(SPECTRUM, 0, 1)


def test_the_same_places_are_the_same_job(tiny_model):
    model = load(tiny_model, threads=1)
    cell = IncidentSpectrum((11,), (1e4,), position="cell")
    assert Job(cell, 10, 0).fingerprint(model) == Job(cell.on(model.detector), 10, 0).fingerprint(model)
    assert Job(cell, 10, 0).fingerprint(model) != Job(SPECTRUM, 10, 0).fingerprint(model)
