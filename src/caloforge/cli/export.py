"""`caloforge export`: turn a trained run into a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        Path, typer.Argument(help="Folder of a run, or an exported .onnx file to change the card of.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="ONNX file to write; the weights go beside it.")
    ],
    name: Annotated[str | None, typer.Option(help="Name of the model; the detector's if not given.")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="JSON file with the tables 'validation' and 'speed' for the model's card."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the check; all cores if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print card and check as JSON on stdout.")] = False,
) -> None:
    """Turn a trained run into one ONNX file, the whole model for any runtime, and its weights to train on.

    The file is checked against torch for several batch sizes, over all that the model holds for; if they
    differ, nothing is written. Metadata in both files say what that is.
    """
    from caloforge.errors import require

    require("onnx", "export")
    from caloforge.export import card as cards
    from caloforge.runtime.model_file import WEIGHTS

    extra = cards.figures(figures) if figures else {}
    if source.suffix == ".onnx":
        card, parity = cards.replace_figures(source, output, extra, name), None
    else:
        require("torch", "train")
        from caloforge.export import export_run

        card, parity = export_run(source, output, name, extra, threads)
    size = output.stat().st_size
    weights = output.with_suffix(WEIGHTS)
    if as_json:
        summary = {
            "file": str(output),
            "bytes": size,
            "weights": str(weights) if weights.exists() else None,
            "card": card.to_json(),
            "parity": parity.to_json() if parity else None,
        }
        print(json.dumps(summary, indent=2))
        return
    print(
        f"{output}: model {card.name}, {card.approach}, {card.parameters} parameters, "
        f"{card.flops / 1e6:.3g} MFLOP a shower, {size / 1e6:.2f} MB"
    )
    if parity:
        print(
            f"equal to torch over {parity.showers} showers at batch {', '.join(map(str, parity.batches))}: "
            f"largest difference of a cell {parity.largest_cell:.2g} MeV"
        )
