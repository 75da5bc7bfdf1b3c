"""From a torch generator to an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

from caloforge.errors import ModelError, require
from caloforge.export.convolutions import flatten_convolutions
from caloforge.runtime.backends import INPUTS, OUTPUT

if TYPE_CHECKING:
    from caloforge.models import Generator

OPSET = 18


def trace(generator: Generator, incident: torch.Tensor, noise: torch.Tensor) -> Any:
    """Return the ONNX graph of a generator, with a dynamic number of showers.

    Constants are folded, weights are inside, and nothing of the machine that exported it is left (torch notes
    paths and stack traces at each node).

    Args:
        generator: On the CPU, in eval mode.
        incident: (n, 6) float32, an example.
        noise: (n, Z) float32, an example.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ModelError: If torch cannot export the generator.
        MissingExtraError: If onnx is not installed.
    """
    onnx = require("onnx", "export")
    require("onnxscript", "export")
    showers = Dim("n", min=1)
    try:
        with _quiet():
            # on its own first: given a module, torch.onnx falls back on ways that may draw other showers
            exported = torch.export.export(
                generator, (incident, noise), dynamic_shapes=({0: showers}, {0: showers}), strict=False
            )
            program = torch.onnx.export(
                exported,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                external_data=False,
                optimize=False,  # its rewriting drops '+ 1e-9' as if it were zero
                verbose=False,
            )
            if program is None:
                raise RuntimeError("torch returned no program")
            _simplify(program.model)
        model = program.model_proto
    except Exception as error:  # torch's export raises errors of many kinds
        raise ModelError(f"torch cannot export this generator to ONNX: {_reason(str(error))}") from error
    _strip(model)
    flatten_convolutions(model)
    onnx.checker.check_model(model)
    return model


def _simplify(model: Any) -> None:
    """Fold constants and drop what is not used or computed twice, in an `onnx_ir.Model`."""
    optimizer = require("onnxscript.optimizer", "export")
    passes = require("onnx_ir.passes.common", "export")
    optimizer.inline(model)
    optimizer.fold_constants(model)
    for step in (
        passes.IdentityEliminationPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
    ):
        step(model)
    optimizer.remove_unused_nodes(model)


def _reason(text: str) -> str:
    if "specialized it to be a constant" in text:
        return "the number of showers is fixed in its graph: use tensor.shape[0] where it has len(tensor)"
    if "data-dependent" in text:
        line = next((line.strip() for line in text.splitlines() if line.strip().startswith("File ")), "")
        return f"its graph depends on values ({line}): no int(), float(), .item() or 'if' of a tensor"
    return next((line for line in text.splitlines() if line.strip()), "no reason given")


def _strip(model: Any) -> None:
    graph = model.graph
    for entry in [
        model,
        graph,
        *graph.node,
        *graph.input,
        *graph.output,
        *graph.value_info,
        *graph.initializer,
    ]:
        entry.doc_string = ""
        del entry.metadata_props[:]
    model.producer_name = "caloforge"
    model.producer_version = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says: deprecations, packages that it would like, the whole graph if it fails."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def count_flops(generator: Generator, incident: torch.Tensor, noise: torch.Tensor) -> int:
    """Count the operations of products and convolutions for one shower, two for a multiply-add."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        generator(incident[:1], noise[:1])
    return int(counter.get_total_flops())


def count_parameters(generator: Generator) -> int:
    """Count the trained parameters."""
    return sum(parameter.numel() for parameter in generator.parameters())
