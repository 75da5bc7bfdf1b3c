"""`caloforge train`."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from caloforge.errors import require


def command(
    data: Annotated[Path, typer.Option("--data", help="file of training showers", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the run", show_default=False)],
    recipe: Annotated[
        Path | None, typer.Argument(help="recipe (TOML); without one, --detector", show_default=False)
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="shipped detector or .toml file: trains the default approach, which sizes itself"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the last checkpoint")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="change the recipe, e.g. training.steps=100"),
    ] = None,
    particle: Annotated[
        str | None, typer.Option(help="particle, where the file of showers does not say")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option("--start-from", help="weights to begin with (.safetensors)")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or auto")] = "auto",
    devices: Annotated[int, typer.Option("--devices", min=1, help="ranks on this machine")] = 1,
    json_output: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Train a model from a recipe on a file of Geant4 showers.

    The folder of the run receives the resolved recipe, metrics (JSON lines and TensorBoard), checkpoints, and
    the averaged generator with the best physics score on held-out showers. Ctrl-C saves a checkpoint, and
    --resume goes on exactly where it was.
    """
    for module in ("torch", "lightning_fabric", "safetensors", "tensorboard"):
        require(module, "train")
    from caloforge.errors import InputError
    from caloforge.progress import rank
    from caloforge.showers import pdg_id
    from caloforge.training import load_recipe, train
    from caloforge.training.defaults import DEFAULT

    if recipe is None and detector is None:
        raise InputError("give a recipe, or --detector for the default one")
    chosen = load_recipe(recipe or DEFAULT, changes or (), detector)
    trained = train(
        chosen,
        data,
        output,
        resume=resume,
        device=device,
        devices=devices,
        pdg=pdg_id(particle) if particle else None,
        start_from=start_from,
        command=shlex.join(["caloforge", *sys.argv[1:]]),
    )
    if rank() != 0:
        return
    if json_output:
        print(json.dumps({**asdict(trained), "folder": str(trained.folder)}))
        return
    print(
        f"{trained.folder}: {trained.steps} steps, best physics score {trained.best_score:.4f} at step "
        f"{trained.best_step}, {trained.seconds:.0f} s"
    )
