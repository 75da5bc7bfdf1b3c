import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from caloforge import detectors
from caloforge.errors import FileError, Geant4Error, InputError
from caloforge.geant4 import pool, produce, production
from caloforge.geant4.parts import CHUNK_SIZE, parts_folder
from caloforge.showers import IncidentSpectrum, ShowerFile, parse_spectrum, read_showers

pytestmark = pytest.mark.skipif(find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed")

DETECTOR = detectors.load("clic-ecal")
N = 2 * CHUNK_SIZE + 10
SPECTRUM = IncidentSpectrum((11, 22), (50.0, 100.0), theta=(0.0, 0.2), phi=(0.0, 6.0), position="cell")
ARGUMENTS = (DETECTOR, SPECTRUM, N, 7)
COMMAND = [
    *(sys.executable, "-m", "caloforge", "simulate", "clic-ecal", "-n", str(N)),
    *("--particle", "e-,gamma", "--energy", "50MeV:100MeV", "--seed", "7"),
    *("--theta", "0:0.2rad", "--phi", "0:6rad", "--position", "cell"),
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return produce(*ARGUMENTS, tmp_path_factory.mktemp("one") / "mc.h5", workers=1)


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_file_holds_what_was_asked_for(sample) -> None:
    showers = read_showers(sample)
    assert len(showers) == N
    assert showers.detector == DETECTOR
    np.testing.assert_array_equal(showers.incidents.pdg, np.tile([11, 22], N // 2))
    assert np.all((showers.incidents.energy >= 50) & (showers.incidents.energy <= 100))
    assert np.all(showers.visible_energy < showers.incidents.energy)
    assert "Geant4 11." in showers.provenance["source"]
    assert not parts_folder(sample).exists()


def test_the_file_says_what_it_holds(sample) -> None:
    with ShowerFile(sample) as file:
        assert file.spectrum == SPECTRUM.on(DETECTOR)
        assert file.spectrum.outside(file.incidents) == []
        assert file.incidents.theta.max() > 0.15
        assert np.abs(file.incidents.x).max() > 2
        assert file.physics.startswith("G4EmStandardPhysics + G4DecayPhysics, CaloForge EM tables ")
        assert file.physics.endswith("(photoelectric shells: measured)")


def test_its_command_makes_it_again(sample, tmp_path) -> None:
    words = shlex.split(read_showers(sample, 0, 1).provenance["command"])
    assert words[:3] == ["caloforge", "simulate", "clic-ecal"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    n, seed = int(options.pop("-n")), int(options.pop("--seed"))
    asked = parse_spectrum(**{name.removeprefix("--"): text for name, text in options.items()})
    assert production.make_plan(DETECTOR, asked, n, seed) == production.make_plan(*ARGUMENTS)


def test_the_number_of_workers_does_not_matter(sample, tmp_path) -> None:
    other = produce(*ARGUMENTS, tmp_path / "mc.h5", workers=3)
    assert other.read_bytes() == sample.read_bytes()


def test_another_seed_gives_other_showers(sample, tmp_path) -> None:
    other = produce(DETECTOR, SPECTRUM, 5, 8, tmp_path / "mc.h5")
    assert not np.array_equal(read_showers(other).energies, read_showers(sample).energies[:5])


def test_a_finished_production_is_not_repeated(sample, monkeypatch) -> None:
    monkeypatch.setattr(production, "simulate_chunks", None)
    assert produce(*ARGUMENTS, sample) == sample


def test_an_existing_file_is_kept(sample, tmp_path) -> None:
    (tmp_path / "mc.h5").write_text("precious")
    with pytest.raises(FileError, match=r"exists; .*--overwrite"):
        produce(*ARGUMENTS, tmp_path / "mc.h5")
    assert (tmp_path / "mc.h5").read_text() == "precious"
    assert produce(*ARGUMENTS, tmp_path / "mc.h5", overwrite=True).read_bytes() == sample.read_bytes()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_production_goes_on_where_it_was(sample, tmp_path) -> None:
    path = tmp_path / "mc.h5"
    chunks = parts_folder(path)
    with subprocess.Popen([*COMMAND, "-o", str(path)], stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(chunks.glob("chunk-*.npz")))
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(alive, workers)))
    assert workers
    assert not path.exists()
    finished = {part.name: part.stat().st_mtime_ns for part in chunks.glob("chunk-*.npz")}
    with pytest.raises(
        InputError, match=r"unfinished production with other parameters \(seed 7 instead of 8\)"
    ):
        produce(*ARGUMENTS[:3], 8, path)
    with pytest.raises(InputError, match=r"with other parameters \(spectrum\)"):
        produce(DETECTOR, replace(SPECTRUM, theta=(0.0, 0.3)), N, 7, path)
    kept = {part.name: part.stat().st_mtime_ns for part in chunks.glob("chunk-*.npz")}
    assert finished.items() <= kept.items()
    assert produce(*ARGUMENTS, path).read_bytes() == sample.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mc.h5"]


def test_other_parameters_start_anew_with_overwrite(sample, tmp_path) -> None:
    path = tmp_path / "mc.h5"
    parts_folder(path).mkdir()
    (parts_folder(path) / "plan.json").write_text(json.dumps({"seed": 1, "fingerprint": "other"}))
    (parts_folder(path) / "chunk-000000.npz").write_text("other showers")
    (tmp_path / ".mc.h5.123.part").write_text("left by a killed call")
    assert produce(*ARGUMENTS, path, overwrite=True).read_bytes() == sample.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mc.h5"]


def test_a_damaged_part_is_done_again(sample, tmp_path, monkeypatch) -> None:
    path = tmp_path / "mc.h5"
    with monkeypatch.context() as patch:
        patch.setattr(production, "_assemble", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            produce(*ARGUMENTS, path)
    (parts_folder(path) / "chunk-000001.npz").write_bytes(b"PK\x03\x04 broken")
    assert produce(*ARGUMENTS, path).read_bytes() == sample.read_bytes()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_dead_worker_is_replaced(sample, tmp_path, monkeypatch) -> None:
    killed: list[int] = []
    handle = pool._handle

    def kill_once(worker, answer, *rest) -> None:
        if not killed and "shower" in answer:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
        handle(worker, answer, *rest)

    monkeypatch.setattr(pool, "_handle", kill_once)
    assert produce(*ARGUMENTS, tmp_path / "mc.h5").read_bytes() == sample.read_bytes()
    assert killed


def test_workers_that_keep_dying_are_reported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    with pytest.raises(
        Geant4Error, match=r"3 Geant4 workers died in turn \(exit status 1\) on showers 0 to 24"
    ):
        produce(*ARGUMENTS, tmp_path / "mc.h5")
    assert not (tmp_path / "mc.h5").exists()


def test_two_productions_do_not_share_a_file(tmp_path) -> None:
    plan = production.make_plan(*ARGUMENTS)
    path = tmp_path / "mc.h5"
    with (
        production.open_parts(path, plan, False),
        pytest.raises(FileError, match="another process is simulating"),
    ):
        produce(*ARGUMENTS, path)


def test_a_folder_that_is_a_file_is_an_error(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        produce(*ARGUMENTS, tmp_path / "file" / "mc.h5")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_an_error(tmp_path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(FileError, match="no permission"):
        produce(*ARGUMENTS, tmp_path / "mc.h5")
    tmp_path.chmod(0o755)


def test_a_full_disk_is_reported_by_the_worker(tmp_path, monkeypatch) -> None:
    """A limit on file sizes stands in for the disk that fills up."""
    shim = tmp_path / "python"
    shim.write_text(f'#!/bin/sh\nulimit -f 2\nexec {sys.executable} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setattr(pool.sys, "executable", str(shim))
    with pytest.raises(FileError, match=r"chunk-000000.npz'"):
        produce(*ARGUMENTS, tmp_path / "mc.h5")
    assert not (tmp_path / "mc.h5").exists()


FAR = replace(DETECTOR, gun=replace(DETECTOR.gun, distance=100.0))


def test_a_folder_is_no_file(tmp_path) -> None:
    with pytest.raises(FileError, match="is a folder"):
        produce(*ARGUMENTS, tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 0}, "n = 0"),
        ({"seed": -1}, "seed = -1"),
        (
            {"spectrum": replace(SPECTRUM, position=(64.0, 0.0))},
            "outside the readout of detector 'clic-ecal'",
        ),
        ({"detector": detectors.load("calochallenge-2")}, "position 'cell' is for cartesian readouts"),
        ({"workers": 0}, "workers = 0"),
        (
            {"spectrum": replace(SPECTRUM, theta=(0.0, 1.5)), "detector": FAR},
            r"theta = 85.94 degrees at \(2.55, 2.55\) mm start, 100 mm before the front face, outside the world",
        ),
    ],
)
def test_wrong_arguments_are_named(tmp_path, change, message) -> None:
    arguments = {"detector": DETECTOR, "spectrum": SPECTRUM, "n": 1, "seed": 1, "path": tmp_path / "mc.h5"}
    with pytest.raises(InputError, match=message):
        produce(**{**arguments, **change})
    assert list(tmp_path.iterdir()) == []
