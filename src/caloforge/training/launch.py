"""From a device and a number of ranks to a running lightning-fabric."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from caloforge.errors import InputError, TrainingError
from caloforge.training.recipe import TrainingRecipe

_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def launch(settings: TrainingRecipe, device: str, devices: int) -> Fabric:
    """Choose device, ranks and precision, and start the ranks.

    Under torchrun the ranks are those it started, else `devices` processes on this machine.

    Args:
        settings: The `[training]` table.
        device: `cpu`, `cuda` or `auto`.
        devices: Number of ranks on this machine.

    Raises:
        InputError: If there is no such device.
        TrainingError: If this machine cannot do it.
    """
    if device not in {"auto", "cpu", "cuda"}:
        raise InputError(f"device {device!r}: write cpu, cuda or auto")
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("torch sees no CUDA device here: train with --device cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if settings.precision == "16" and device == "cpu":
        raise TrainingError("training.precision = '16' needs a GPU: use 'bf16' or '32'")
    local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    nodes = max(1, int(os.environ.get("WORLD_SIZE", local)) // local)
    if device == "cuda" and local > torch.cuda.device_count():
        raise TrainingError(f"--devices {local}: this machine has {torch.cuda.device_count()} CUDA devices")
    # a hint to round the products of matrices, which would bias the response
    logging.getLogger("lightning_fabric.utilities.rank_zero").addFilter(
        lambda record: "Tensor Cores" not in record.getMessage()
    )
    with warnings.catch_warnings():
        # lightning warns wherever srun is on the PATH, also where nobody uses it
        warnings.filterwarnings("ignore", message=".*srun.*")
        fabric = Fabric(
            accelerator=device,
            devices=local,
            num_nodes=nodes,
            strategy=_data_parallel() if local * nodes > 1 else "auto",
            precision=cast(Any, _PRECISION[settings.precision]),
        )
        fabric.launch()
    return fabric


def fabric_facts(fabric: Fabric) -> dict[str, Any]:
    """What `run.json` says of the ranks."""
    return {"device": str(fabric.device), "ranks": fabric.world_size}


def _data_parallel() -> DDPStrategy:
    # buffers stay local: broadcasting them between two passes would change what the backward pass needs
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    keep_local: dict[str, Any] = {name: False}
    return DDPStrategy(**keep_local)
