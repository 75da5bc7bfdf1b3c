"""From a trained generator to one checked ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from caloforge.errors import FileError, ModelError, require
from caloforge.export.card import add_figures, run_card
from caloforge.export.graph import count_flops, count_parameters, trace
from caloforge.export.parity import Parity, check_parity, sample_inputs
from caloforge.files import atomic
from caloforge.models._base import Generator
from caloforge.runtime import Model, ModelCard


def export_generator(
    generator: Generator, path: str | Path, card: ModelCard, threads: int | None = None
) -> tuple[ModelCard, Parity]:
    """Write a generator as one ONNX file, after checking that the file draws what torch draws.

    Args:
        generator: The generator; moved to the CPU and to eval mode for the export.
        path: The file to write.
        card: What to say about it; numbers of parameters and operations are filled in.
        threads: Number of threads of the check; all cores if not given.

    Returns:
        The card as written, and how close the file is to torch.

    Raises:
        ModelError: If torch cannot export it, or the graph and torch differ; nothing is written then.
        FileError: If the file cannot be written.
        MissingExtraError: If onnx or onnxscript are not installed.
    """
    onnx = require("onnx", "export")
    path = Path(path)
    if path.suffix != ".onnx":
        raise FileError(f"'{path}': the name of a model ends in .onnx")
    if generator.noise_size != card.noise_size:
        raise ModelError(
            f"the generator takes {generator.noise_size} numbers, the card says {card.noise_size}"
        )
    was_training = generator.training
    generator.eval().cpu()
    try:
        incident, noise = (torch.from_numpy(values) for values in sample_inputs(card, n=3))
        card = replace(
            card,
            parameters=count_parameters(generator),
            flops=count_flops(generator, incident, noise),
        )
        graph = trace(generator, incident, noise)
        onnx.helper.set_model_props(graph, card.to_metadata())
        with atomic(path) as temporary:
            temporary.write_bytes(graph.SerializeToString())
            parity = check_parity(generator, Model(temporary, threads))
    finally:
        generator.train(was_training)
    return card, parity


def export_run(
    folder: str | Path,
    path: str | Path,
    name: str | None = None,
    figures: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> tuple[ModelCard, Parity]:
    """Write the best generator of a run as one ONNX file (see `export_generator`).

    Args:
        folder: The folder of the run.
        path: The file to write.
        name: Name of the model; the detector's if not given.
        figures: Figures for the card: tables `validation` and `speed`.
        threads: Number of threads of the check; all cores if not given.

    Raises:
        FileError: If the folder is no run, or the file cannot be written.
        ModelError: If the generator cannot be exported faithfully.
        MissingExtraError: If torch, onnx or onnxscript are not installed.
    """
    from caloforge.training import load_run

    approach, recipe, metadata = load_run(folder)
    card = run_card(metadata, recipe.model.approach, approach.generator.noise_size, name)
    return export_generator(approach.generator, path, add_figures(card, figures or {}), threads)
