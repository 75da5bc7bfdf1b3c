"""From a trained generator to a checked ONNX file and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from caloforge.errors import ModelError, require
from caloforge.export.card import add_figures, onnx_path, run_card, weights_metadata
from caloforge.export.graph import count_flops, count_parameters, trace
from caloforge.export.parity import Parity, check_parity, sample_inputs
from caloforge.files import atomic
from caloforge.runtime import Model, ModelCard
from caloforge.runtime.model_file import WEIGHTS, with_safetensors_metadata

if TYPE_CHECKING:
    from caloforge.models import Generator

PREFIX = "generator."
"""What the names of the generator's weights begin with in a file of weights."""


def export_generator(
    generator: Generator,
    path: str | Path,
    card: ModelCard,
    threads: int | None = None,
    *,
    weights: bool = False,
) -> tuple[ModelCard, Parity]:
    """Write a generator as one ONNX file, after checking that the file draws what torch draws.

    Args:
        generator: The generator; moved to the CPU and to eval mode for the export.
        path: The file to write.
        card: What to say about it; numbers of parameters and operations are filled in.
        threads: Number of threads of the check; all cores if not given.
        weights: Write the generator's weights beside it too (see `write_weights`).

    Returns:
        The card as written, and how close the file is to torch.

    Raises:
        ModelError: If torch cannot export it, or the graph and torch differ; nothing is written then.
        FileError: If the file cannot be written.
        MissingExtraError: If onnx or onnxscript are not installed.
    """
    onnx = require("onnx", "export")
    path = onnx_path(path)
    if generator.noise_size != card.noise_size:
        raise ModelError(
            f"the generator takes {generator.noise_size} numbers, the card says {card.noise_size}"
        )
    was_training = generator.training
    generator.eval().cpu()
    try:
        incident, noise = (torch.from_numpy(values[:3]) for values in sample_inputs(card))
        card = replace(
            card,
            parameters=count_parameters(generator),
            flops=count_flops(generator, incident, noise),
        )
        graph = trace(generator, incident, noise)
        onnx.helper.set_model_props(graph, card.to_metadata())
        with atomic(path) as temporary:
            temporary.write_bytes(graph.SerializeToString())
            with Model(temporary, threads) as model:
                parity = check_parity(generator, model)
            if weights:
                write_weights(generator, path, card)
    finally:
        generator.train(was_training)
    return card, parity


def write_weights(generator: Generator, path: str | Path, card: ModelCard) -> Path:
    """Write the weights of a generator, which training can go on from, with the card in the header.

    Args:
        generator: The generator; all its parameters and buffers are kept, as `generator.` and their names.
        path: The ONNX file that they belong to; they go beside it, under the same name in `.safetensors`.
        card: What to say about it.

    Returns:
        The path of the file of weights.

    Raises:
        FileError: If the file cannot be written.
        MissingExtraError: If safetensors is not installed.
    """
    path = Path(path).with_suffix(WEIGHTS)
    tensors = {
        PREFIX + name: tensor.detach().cpu().contiguous().clone()  # tensors that share memory are refused
        for name, tensor in generator.state_dict().items()
    }
    content: bytes = require("safetensors.torch", "train").save(tensors)
    with atomic(path) as temporary:
        temporary.write_bytes(with_safetensors_metadata(content, weights_metadata(card), str(path)))
    return path


def export_run(
    folder: str | Path,
    path: str | Path,
    name: str | None = None,
    figures: Mapping[str, Any] | None = None,
    threads: int | None = None,
) -> tuple[ModelCard, Parity]:
    """Write the best generator of a run as an ONNX file, and its weights beside it (see `export_generator`).

    Args:
        folder: The folder of the run.
        path: The ONNX file to write; the weights get the same name in `.safetensors`.
        name: Name of the model; the detector's if not given.
        figures: Figures for the card: tables `validation` and `speed`.
        threads: Number of threads of the check; all cores if not given.

    Raises:
        FileError: If the folder is not a run, or the file cannot be written.
        ModelError: If the generator cannot be exported faithfully.
        MissingExtraError: If torch, onnx or onnxscript are not installed.
    """
    from caloforge.training import load_run

    approach, recipe, metadata = load_run(folder)
    card = run_card(metadata, recipe.model.approach, approach.generator.noise_size, name)
    card = add_figures(card, figures or {})
    return export_generator(approach.generator, path, card, threads, weights=True)
