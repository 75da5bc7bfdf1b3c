"""Round trips through shower files, broken files, and files that never come to be."""

import os
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from caloforge.detectors import load, parse
from caloforge.detectors.writer import to_toml
from caloforge.errors import DetectorError, FileError, InputError
from caloforge.showers import (
    ShowerFile,
    Showers,
    ShowerWriter,
    parse_spectrum,
    read_showers,
    write_showers,
)


@pytest.fixture
def showers(toy_showers):
    return toy_showers(250, 1)


@pytest.fixture
def path(tmp_path, showers):
    file = tmp_path / "showers.h5"
    write_showers(file, showers)
    return file


def same(one, two):
    assert np.array_equal(one.energies, two.energies)
    assert np.array_equal(one.incidents.matrix(), two.incidents.matrix())
    assert one.detector == two.detector


def test_round_trip(path, showers):
    back = read_showers(path)
    same(back, showers)
    assert back.energies.dtype == np.float32
    assert back.provenance["source"] == "toy"
    assert back.provenance["package"].startswith("caloforge ")


@pytest.mark.parametrize("name", ["calochallenge-2", "crystals", "lead-scintillator"])
def test_round_trip_of_any_readout(tmp_path, name):
    """Angles, impact points and the spectrum too."""
    detector = load(name)
    position = "-5:5,-3:3" if name == "calochallenge-2" else "cell"
    drawn_from = parse_spectrum("e-,gamma", "1:10", "0:30", "0:360", position)
    rng = np.random.default_rng(1)
    drawn = drawn_from.draw(7, rng, detector)
    cells = rng.random((7, *detector.shape), np.float32)
    provenance = {"source": "test", "spectrum": drawn_from.to_json(), "physics": "none"}
    one = Showers(cells, drawn, detector, provenance)
    write_showers(tmp_path / "any.h5", one)
    with ShowerFile(tmp_path / "any.h5") as file:
        same(file.read(), one)
        same(file.read(2, 4), one[2:4])
        assert file.spectrum == drawn_from.on(detector)
        assert file.spectrum.outside(file.incidents) == []
        assert file.physics == "none"
        assert file.n_cells == detector.n_cells


def test_a_spectrum_that_cannot_be_used(path):
    damage(path, lambda file: file.attrs.modify("spectrum", '{"particles": [11]}'))
    with (
        ShowerFile(path) as file,
        pytest.raises(FileError, match="attribute 'spectrum': key 'energy' is missing"),
    ):
        _ = file.spectrum


def test_files_of_before_the_physics_table(path, showers):
    """Their own detector cannot be read any more; with an explicit one they can."""
    damage(path, lambda file: file.attrs.modify("detector", 'name = "toy"\nproduction_cut = 0.7'))
    with pytest.raises(FileError, match=r"attribute 'detector': key 'production_cut' has moved.*--detector"):
        read_showers(path)
    same(read_showers(path, detector=showers.detector), showers)


def test_layout_is_the_calochallenges(path, showers):
    with h5py.File(path) as file:
        assert file["showers"].shape == (250, 8 * 81)
        assert file["incident_energies"].shape == (250, 1)
        assert file["showers"].dtype == file["incident_energies"].dtype == np.float32
        assert file["showers"].chunks == (100, 8 * 81)
        assert file["showers"].compression == "gzip"
        assert file["incident_pdg"].dtype == np.int32
        assert np.array_equal(file["showers"][3], showers.energies[3].reshape(-1))
        assert parse(file.attrs["detector"]) == showers.detector


def test_slices_and_chunks(path, showers):
    with ShowerFile(path) as file:
        assert len(file) == 250
        assert file.kind == "CaloForge"
        same(file.read(10, 20), showers[10:20])
        same(file.read(-5), showers[-5:])
        assert len(file.read(240, 999)) == 10
        assert len(file.read(20, 10)) == 0
        assert [len(piece) for piece in file.chunks(100)] == [100, 100, 50]
        same(showers.concatenate(list(file.chunks(64))), showers)


def test_files_do_not_depend_on_the_pieces(tmp_path, showers):
    contents = []
    for name, cuts in (("a.h5", [250]), ("b.h5", [1, 99, 101, 230, 250]), ("c.h5", range(10, 251, 10))):
        with ShowerWriter(tmp_path / name, showers.detector, "", {"seed": "1"}) as writer:
            first = 0
            for cut in cuts:
                writer.append(showers[first:cut])
                first = cut
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_an_empty_file(tmp_path, toy_detector):
    with ShowerWriter(tmp_path / "none.h5", toy_detector, to_toml(toy_detector), {}):
        pass
    assert len(read_showers(tmp_path / "none.h5")) == 0


def stop_after(writer, showers):
    writer.append(showers)
    raise KeyError("stopped")


def test_an_error_leaves_the_old_file(path, showers):
    before = path.read_bytes()
    with pytest.raises(KeyError, match="stopped"), ShowerWriter(path, showers.detector, "", {}) as writer:
        stop_after(writer, showers)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_killed_writer_leaves_no_file(tmp_path):
    script = """
        import sys
        from caloforge.detectors import load, toml
        from caloforge.showers import Showers, ShowerWriter, incidents
        import numpy as np
        one = Showers(np.ones((100, 25, 25, 25), np.float32), incidents(11, np.full(100, 1e3)))
        with ShowerWriter(sys.argv[1], load("clic-ecal"), toml("clic-ecal"), {}) as writer:
            writer.append(one)
            print("writing", flush=True)
            sys.stdin.read()
    """
    file = tmp_path / "killed.h5"
    words = [sys.executable, "-c", textwrap.dedent(script), str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not file.exists()


def test_a_full_disk_is_an_error(tmp_path):
    script = """
        import resource, signal, sys
        from caloforge.errors import FileError
        from caloforge.detectors import load, toml
        from caloforge.showers import Showers, ShowerWriter, incidents
        import numpy as np
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        cells = np.random.default_rng(0).random((100, 25, 25, 25), np.float32)
        try:
            with ShowerWriter(sys.argv[1], load("clic-ecal"), toml("clic-ecal"), {}) as writer:
                writer.append(Showers(cells, incidents(11, np.full(100, 1e3))))
        except FileError as error:
            print(error)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "full.h5")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "full.h5'" in done.stdout
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("name", "words"), [("none/a.h5", "folder does not exist"), ("", "it is a folder")])
def test_unwritable(tmp_path, showers, name, words):
    with pytest.raises(FileError, match=words):
        write_showers(tmp_path / name, showers)


def test_no_overwriting_when_told(path, showers):
    with (
        pytest.raises(FileError, match="exists"),
        ShowerWriter(path, showers.detector, "", {}, overwrite=False),
    ):
        pass


def test_showers_of_another_detector(path, showers):
    with (
        pytest.raises(DetectorError, match="do not fit detector 'clic-ecal'"),
        ShowerWriter(path, load("clic-ecal"), "", {}) as writer,
    ):
        writer.append(showers)
    assert read_showers(path).detector == showers.detector


def test_showers_without_a_detector(tmp_path, showers):
    from dataclasses import replace

    with pytest.raises(InputError, match="is unknown"):
        write_showers(tmp_path / "a.h5", replace(showers, detector=None))


def damage(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def put(name, value):
    def change(file):
        del file[name]
        if value is not None:
            file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("showers", None), "dataset 'showers' is missing"),
        (put("incident_energies", None), "dataset 'incident_energies' is missing"),
        (put("incident_energies", np.ones((249, 1))), r"\(249, 1\), expected \(250,\)"),
        (put("incident_energies", np.full((250, 1), np.nan)), "energy: not all values are finite"),
        (put("incident_energies", np.zeros((250, 1))), "must be positive"),
        (put("incident_pdg", np.ones(3)), "incident_pdg"),
        (put("showers", np.ones((250, 8, 81))), r"shape \(250, 8, 81\), expected \(showers, cells\)"),
        (put("showers", np.ones((250, 7))), "7 cells do not fit detector 'toy'"),
        (put("showers", [b"text"] * 250), "not numbers"),
        (put("showers", np.full((250, 648), np.nan)), "shower 0 has cells that are negative or not finite"),
    ],
)
def test_contradictions(path, change, words):
    damage(path, change)
    with pytest.raises(FileError, match=words) as caught:
        read_showers(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_bad_cells_are_counted(path, value):
    def change(file):
        file["showers"][[7, 120], 5] = value

    damage(path, change)
    with pytest.raises(FileError, match=r"shower 7 has cells .* \(2 such showers"):
        read_showers(path)
    with ShowerFile(path) as file:
        assert len(file.read(0, 7)) == 7


def test_broken_files(tmp_path, path):
    with pytest.raises(FileError, match="does not exist"):
        read_showers(tmp_path / "none.h5")
    with pytest.raises(FileError, match="is a folder"):
        read_showers(tmp_path)
    (tmp_path / "text.h5").write_text("no showers here")
    with pytest.raises(FileError, match="is not an HDF5 file"):
        read_showers(tmp_path / "text.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="is truncated"):
        read_showers(path)


def test_damaged_data(path):
    with h5py.File(path) as file:
        chunk = file["showers"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 10 : chunk.byte_offset + 200] = b"\0" * 190
    path.write_bytes(content)
    with ShowerFile(path) as file:
        assert len(file.read(0, 100)) == 100
        with pytest.raises(FileError, match="is damaged"):
            file.read(100, 200)


def test_other_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.ones(3)
    with pytest.raises(FileError, match=r"is not a shower file: .*holds 'images'"):
        read_showers(tmp_path / "other.h5")


def test_a_broken_detector_in_a_file(path):
    damage(path, lambda file: file.attrs.modify("detector", "name = 1"))
    with pytest.raises(FileError, match="detector"):
        read_showers(path)


def test_the_file_knows_its_detector_best(path, showers):
    """Another detector is refused where the file carries one that can be read."""
    other = to_toml(showers.detector).replace("production_cut = 0.7", "production_cut = 0.5")
    with pytest.raises(FileError, match=r"holds showers of detector 'toy', which differs .* in physics"):
        read_showers(path, detector=parse(other))


def test_a_spectrum_that_is_no_table(path):
    damage(path, lambda file: file.attrs.modify("spectrum", "[1, 2]"))
    with ShowerFile(path) as file, pytest.raises(FileError, match="not a spectrum"):
        _ = file.spectrum
