"""Geant4 runs one detector in a process: other detectors are simulated in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caloforge.detectors import parse
from caloforge.showers import Incidents, Showers

SCRIPT = """
import sys
import numpy as np
from caloforge.detectors import parse
from caloforge.geant4 import simulate
from caloforge.showers import Incidents

with np.load(sys.argv[1]) as stored:
    columns = {name: stored[name] for name in stored.files}
showers = simulate(parse(sys.argv[2]), Incidents(**columns), seed=1)
np.savez(sys.argv[1], energies=showers.energies, source=showers.provenance["source"])
"""


@pytest.fixture(scope="session")
def simulate_apart(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Incidents], Showers]:
    """Simulate incidents in the detector of a TOML text."""

    def run(text: str, incidents: Incidents) -> Showers:
        path: Path = tmp_path_factory.mktemp("apart") / "showers.npz"
        np.savez(path, **vars(incidents))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path), text], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        with np.load(path) as stored:
            source = str(stored["source"])
            return Showers(stored["energies"], incidents, parse(text), {"source": source})

    return run
