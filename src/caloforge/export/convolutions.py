"""An exact rewriting for speed: 3D convolutions to few channels become 2D convolutions of blocks of layers.

ONNX Runtime has fast kernels for 2D convolutions only; a 3D convolution to few channels runs there at a tenth
of their speed. A 3D convolution of kernel depth D that gives `b` neighbouring layers needs `b + D - 1`
layers: stacked as channels they are one 2D convolution, of more operations but far less time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require

BLOCK = 16
"""Output channels of a 2D convolution that fill the vector registers of a CPU."""


def flatten_convolutions(model: Any) -> int:
    """Rewrite the 3D convolutions of an `onnx.ModelProto` to fewer than `BLOCK` channels, in place.

    Returns:
        The number of convolutions rewritten.
    """
    onnx = require("onnx", "export")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    _drop_zero_biases(onnx, model.graph, weights)
    shapes = _shapes(onnx.shape_inference.infer_shapes(model).graph)
    nodes: list[Any] = []
    used: set[str] = set()
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        shape = shapes.get(node.input[0], ()) if node.op_type == "Conv" else ()
        if (
            node.op_type == "Conv"
            and all(name in weights for name in node.input[1:])
            and len(shape) == 5
            and None not in shape[1:]
            and _is_plain(attributes)
        ):
            arrays = [onnx.numpy_helper.to_array(weights[name]) for name in node.input[1:]]
            if arrays[0].shape[0] < BLOCK:
                nodes += _flat(onnx, model.graph, node, attributes.get("pads", [0] * 6), shape, arrays)
                used.add(node.output[0])
                continue
        nodes.append(node)
    if used:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        needed = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in model.graph.initializer if tensor.name in needed]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    return len(used)


def _drop_zero_biases(onnx: Any, graph: Any, weights: dict[str, Any]) -> None:
    """Drop the biases of zeros that torch gives convolutions without bias, of a shape that not every engine takes."""
    for node in graph.node:
        given = weights.get(node.input[2]) if node.op_type == "Conv" and len(node.input) > 2 else None
        if given is not None and not np.any(onnx.numpy_helper.to_array(given)):
            del node.input[2]


def _is_plain(attributes: dict[str, Any]) -> bool:
    ones = [1, 1, 1]
    return (
        attributes.get("group", 1) == 1
        and list(attributes.get("strides", ones)) == ones
        and list(attributes.get("dilations", ones)) == ones
        and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    )


def _shapes(graph: Any) -> dict[str, tuple[int | None, ...]]:
    return {
        value.name: tuple(
            size.dim_value if size.HasField("dim_value") else None
            for size in value.type.tensor_type.shape.dim
        )
        for value in [*graph.value_info, *graph.input]
    }


def _flat(
    onnx: Any,
    graph: Any,
    node: Any,
    pads: list[int],
    shape: tuple[int | None, ...],
    arrays: list[NDArray[np.float32]],
) -> list[Any]:
    """The nodes that replace one convolution; their constants are added to the graph."""
    weight, bias = arrays[0], arrays[1] if len(arrays) > 1 else None
    n_out, n_in, depth, height, width = weight.shape
    front, top, left, back, bottom, right = pads
    _, _, n_layers, rows, columns = (size or 0 for size in shape)
    out_layers = n_layers + front + back - depth + 1
    block = _best_block(out_layers, depth, n_out)
    n_blocks = -(-out_layers // block)
    span = block + depth - 1
    out_rows, out_columns = rows + top + bottom - height + 1, columns + left + right - width + 1
    name = node.output[0]

    def constant(key: str, value: Any, kind: type = np.int64) -> str:
        tensor = onnx.numpy_helper.from_array(np.asarray(value, dtype=kind), f"{name}.{key}")
        graph.initializer.append(tensor)
        return f"{name}.{key}"

    def make(kind: str, inputs: list[str], key: str, **attributes: Any) -> Any:
        output = name if key == "" else f"{name}.{key}"
        return onnx.helper.make_node(kind, inputs, [output], name=f"{name}.{key or 'out'}", **attributes)

    padding = np.zeros(10, int)
    padding[1], padding[6] = front, n_blocks * block + depth - 1 - front - n_layers
    windows = np.arange(n_blocks)[:, None] * block + np.arange(span)
    flat = np.zeros((block, n_out, span, n_in, height, width), np.float32)
    for layer in range(block):
        flat[layer, :, layer : layer + depth] = weight.transpose(0, 2, 1, 3, 4)
    inputs = [
        f"{name}.stacked",
        constant("weight", flat.reshape(block * n_out, span * n_in, height, width), np.float32),
    ]
    if bias is not None:
        inputs.append(constant("bias", np.tile(bias, block), np.float32))
    axes = [0, 2, 1, 3, 4]
    whole = f"{name}.unstacked" if n_blocks * block == out_layers else f"{name}.trimmed"
    replaced = [
        make("Transpose", [node.input[0]], "layers", perm=axes),
        make("Pad", [f"{name}.layers", constant("padding", padding)], "padded"),
        make("Gather", [f"{name}.padded", constant("windows", windows)], "blocks", axis=1),
        make(
            "Reshape",
            [f"{name}.blocks", constant("stacked_shape", [-1, span * n_in, rows, columns])],
            "stacked",
        ),
        make(
            "Conv",
            inputs,
            "convolved",
            kernel_shape=[height, width],
            pads=[top, left, bottom, right],
        ),
        make(
            "Reshape",
            [
                f"{name}.convolved",
                constant("layers_shape", [-1, n_blocks * block, n_out, out_rows, out_columns]),
            ],
            "unstacked",
        ),
    ]
    if whole.endswith("trimmed"):
        ends = [constant("first", [0]), constant("last", [out_layers]), constant("axis", [1])]
        replaced.append(make("Slice", [f"{name}.unstacked", *ends], "trimmed"))
    return [*replaced, make("Transpose", [whole], "", perm=axes)]


def _best_block(n_layers: int, depth: int, n_out: int) -> int:
    """Number of neighbouring layers for which the 2D convolutions cost least, output channels filled up.

    >>> _best_block(25, 3, 8), _best_block(25, 3, 2)
    (2, 5)
    """

    def cost(block: int) -> int:
        return -(-n_layers // block) * (block + depth - 1) * -(-block * n_out // BLOCK)

    return min(range(1, n_layers + 1), key=cost)
