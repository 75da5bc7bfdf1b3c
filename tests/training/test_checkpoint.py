"""Checkpoints: round trip, atomicity, broken files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from caloforge.errors import FileError, TrainingError
from caloforge.training import checkpoint


def test_round_trip(tmp_path: Path) -> None:
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    tensors = {"a": weights.T, "b": torch.tensor(3), "c": weights[1:2], "d": weights.to(torch.bfloat16)}
    state = {"step": 3, "nested": {"x": [1, 2.5, None]}}
    checkpoint.write(tmp_path / "c.safetensors", tensors, state)
    back, state_back = checkpoint.read(tmp_path / "c.safetensors")
    assert state_back == state
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor)


def test_nothing_in_it_is_a_pickle(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "c.safetensors", {"a": torch.zeros(2)}, {})
    assert (tmp_path / "c.safetensors").read_bytes()[8:9] == b"{"  # length, then JSON: the safetensors header


def test_a_full_disk_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    checkpoint.write(path, {"a": torch.ones(2)}, {"step": 1})

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileError, match="disk is full"):
        checkpoint.write(path, {"a": torch.zeros(2)}, {"step": 2})
    assert checkpoint.read(path)[1] == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_kill_9_while_writing_keeps_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    script = (
        "import sys, torch; from pathlib import Path; from caloforge.training import checkpoint\n"
        "tensors = {'a': torch.zeros(3_000_000)}\n"
        "for step in range(10**6): checkpoint.write(Path(sys.argv[1]), tensors, {'step': step})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)])
    try:
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    tensors, state = checkpoint.read(path)
    assert tensors["a"].shape == (3_000_000,)
    assert state["step"] >= 0


@pytest.mark.parametrize(
    "content", [b"", b"hello world, no tensors here", b"\x10\x00\x00\x00\x00\x00\x00\x00{}"]
)
def test_broken_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    with pytest.raises(FileError, match="does not exist"):
        checkpoint.read(path)
    path.write_bytes(content)
    with pytest.raises(FileError, match="not a checkpoint"):
        checkpoint.read(path)


def test_weights_of_another_model_do_not_fit() -> None:
    with pytest.raises(TrainingError, match="do not fit"):
        checkpoint.load_network(nn.Linear(2, 3), nn.Linear(2, 4).state_dict(), "x")


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD])
def test_optimiser_round_trip(kind: type[torch.optim.Optimizer]) -> None:
    def step(weight: nn.Parameter, optimizer: torch.optim.Optimizer, times: int) -> None:
        for _ in range(times):
            optimizer.zero_grad()
            (weight - 3).square().sum().backward()
            optimizer.step()

    one, two = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    first, second = (kind([w], lr=0.1) for w in (one, two))  # type: ignore[call-arg]
    step(one, first, 4)
    tensors, numbers = checkpoint.optimizer_state(first)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    two.data.copy_(one.data)
    checkpoint.load_optimizer(second, tensors, numbers)
    step(one, first, 3)
    step(two, second, 3)
    assert torch.equal(one, two)
