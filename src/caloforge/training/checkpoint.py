"""Checkpoints: one safetensors file, whole or absent, with JSON in its header; never a pickle.

All tensors of networks and optimisers are tensors of the file, everything else is JSON in its metadata, so
that one atomic rename replaces all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from caloforge.errors import FileError, TrainingError
from caloforge.files import atomic, writing

Tensors = dict[str, Tensor]


def write(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        path: The file, replaced only when the new one is complete on the disk.
        tensors: Tensors by name.
        state: Plain data that JSON can hold.

    Raises:
        FileError: If it cannot be written.
    """
    on_cpu = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    content = save(on_cpu, {"state": json.dumps(state)})
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read a checkpoint back: its tensors, on the CPU, and its state.

    Raises:
        FileError: If it is missing or broken.
    """
    if not path.exists():
        raise FileError(f"checkpoint '{path}' does not exist")
    try:
        with writing(path), safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(metadata["state"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise FileError(f"'{path}' is not a checkpoint of CaloForge, or broken: {error}") from error


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Put a prefix and a slash before all names."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """Select the tensors with a prefix, without it."""
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(prefix + "/")}


def load_network(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load a network's tensors.

    Raises:
        TrainingError: If they do not fit, for instance because the recipe has changed.
    """
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise TrainingError(f"{where}: the weights do not fit the recipe's model: {text}") from error


def check_exists(weights: Path) -> None:
    """Refuse weights that are not there.

    Raises:
        FileError: Naming the file.
    """
    if not weights.exists():
        raise FileError(f"weights '{weights}' do not exist")


def load_fitting(network: nn.Module, path: Path) -> tuple[int, int]:
    """Load those weights of a file that fit a network by name and shape; buffers (scales) stay as they are.

    Args:
        network: A generator.
        path: A shipped model's `.safetensors` file, or the generator or a checkpoint of a run.

    Returns:
        The number of weights loaded, and of those that the network has.

    Raises:
        FileError: If the file is missing or broken.
        TrainingError: If nothing in it fits.
    """
    check_exists(path)
    try:
        with writing(path), safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise FileError(f"'{path}' is not a file of weights, or broken: {error}") from error
    stored |= under_prefix("ema", stored)  # of a checkpoint
    stored |= {name.removeprefix("generator."): tensor for name, tensor in stored.items()}
    weights = dict(network.named_parameters())
    fitting = [
        name for name, weight in weights.items() if name in stored and stored[name].shape == weight.shape
    ]
    if not fitting:
        raise TrainingError(
            f"no weight of '{path}' fits this model: it is of another approach, or of other sizes"
        )
    with torch.no_grad():
        for name in fitting:
            weights[name].copy_(stored[name])
    return len(fitting), len(weights)


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """Split the state of an optimiser into tensors, by `parameter/name`, and plain numbers."""
    tensors: Tensors = {}
    numbers: dict[str, Any] = {}
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{name}"] = value
            else:
                numbers[f"{index}/{name}"] = value
    return tensors, numbers


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]
) -> None:
    """Put the state of an optimiser back; its settings stay those of the recipe."""
    state: dict[int, dict[str, Any]] = {}
    for place, value in {**tensors, **numbers}.items():
        index, _, name = place.partition("/")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
