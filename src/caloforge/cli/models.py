"""`caloforge models`: list the shipped models with their cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from caloforge.runtime import ModelFile


def command(
    name: Annotated[
        str | None, typer.Argument(help="A shipped model, or an .onnx or .safetensors file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the shipped models, or show the card of one: detector, incidents, training, fidelity, speed."""
    from caloforge.runtime import ModelFile, names
    from caloforge.runtime.library import find

    models = [ModelFile.read(find(each)) for each in ([name] if name else names())]
    if as_json:
        cards = [_plain(model) for model in models]
        print(json.dumps(cards[0] if name else cards, indent=2))
        return
    if not models:
        print("no model is shipped with this installation")
        return
    print("\n\n".join(_describe(model) if name else _summary(model) for model in models))


def _plain(model: ModelFile) -> dict[str, Any]:
    return {**model.card.to_json(), "file": str(model.path), "bytes": model.size, "sha256": model.sha256}


def _summary(model: ModelFile) -> str:
    card = model.card
    lines = [
        f"{card.name}: {card.approach} for {card.detector.name} {card.detector.shape}",
        f"  incidents  {card.spectrum.describe()}",
        f"  conditions {', '.join(card.conditions) or 'none'}",
        f"  size       {card.parameters / 1e6:.3g} M parameters, {model.size / 1e6:.2f} MB, "
        f"{card.flops / 1e6:.3g} MFLOP a shower",
    ]
    if card.speed:
        lines.append(f"  speed      {_figures(card.speed)}")
    return "\n".join(lines)


def _describe(model: ModelFile) -> str:
    card = model.card
    lines = [
        _summary(model),
        f"  file       {model.path}",
        f"  sha256     {model.sha256}",
        f"  exported   by caloforge {card.version}, format {card.format_version}, noise {card.noise_size}",
        f"  physics    {card.physics or 'unknown'}",
        f"  commit     {card.commit or 'unknown'}",
    ]
    if card.training_data:
        lines.append(f"  training   {_figures(card.training_data)}")
    if card.validation:
        lines.append("  validation")
        width = max(map(len, card.validation))
        lines += [f"    {key:<{width}}  {_figure(value)}" for key, value in card.validation.items()]
    return "\n".join(lines)


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return _figures(value) if isinstance(value, dict) else str(value)


def _figures(values: Any) -> str:
    return ", ".join(f"{key} {_figure(value)}" for key, value in values.items())
