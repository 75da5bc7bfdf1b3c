"""Two ranks on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from caloforge.training import checkpoint
from caloforge.training.run import RunFolder, write_json

SCRIPT = """
import importlib.util, json, sys, types
spec = importlib.util.spec_from_file_location("toy_approach", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["toy_approach"] = module
spec.loader.exec_module(module)
from caloforge.models import registry
registry.OWN["toy"] = "toy_approach:Toy"
from pathlib import Path
from caloforge.progress import rank
from caloforge.training import train
from caloforge.training.recipe import read_recipe_json
trained = train(read_recipe_json(Path(sys.argv[2])), sys.argv[3], sys.argv[4], device="cpu", devices=2)
print(f"rank {rank()} step {trained.steps}\\n", end="", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="starts ranks as Linux processes")
def test_two_ranks_train_one_model(recipe: Any, data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    write_json(tmp_path / "r.json", recipe(steps=4, validate_every=4).plain())
    conftest = Path(__file__).with_name("conftest.py")
    kept = {k: v for k, v in os.environ.items() if k not in {"RANK", "LOCAL_RANK", "WORLD_SIZE"}}
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            str(conftest),
            str(tmp_path / "r.json"),
            str(data),
            str(tmp_path / "run"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**kept, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line) == ["rank 0 step 4", "rank 1 step 4"]
    tensors, state = checkpoint.read(RunFolder(tmp_path / "run").last)
    assert state["state"]["step"] == 4
    assert not any(name.startswith("network/generator/module.") for name in tensors)
    assert RunFolder(tmp_path / "run").best.exists()
