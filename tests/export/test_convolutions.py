"""3D convolutions rewritten as 2D ones draw the same."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra 'export') is not installed")

from caloforge.export.convolutions import flatten_convolutions  # noqa: E402


def _model(n_in, n_out, kernel, pads, bias, **attributes):
    rng = np.random.default_rng(0)
    arrays = {"w": rng.standard_normal((n_out, n_in, *kernel)).astype(np.float32)}
    if bias:
        arrays["b"] = rng.standard_normal(n_out).astype(np.float32)
    helper = onnx.helper
    node = helper.make_node("Conv", ["x", *arrays], ["y"], kernel_shape=list(kernel), pads=pads, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", n_in, 7, 6, 5])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", "c", "l", "r", "k"])],
        [onnx.numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _run(model, x):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize(
    ("n_in", "n_out", "kernel", "pads", "bias"),
    [
        (3, 8, (3, 3, 3), [1] * 6, True),
        (8, 2, (3, 3, 3), [1] * 6, True),
        (2, 1, (2, 2, 2), [0, 0, 0, 1, 1, 1], False),
        (4, 6, (4, 3, 2), [1, 0, 1, 2, 2, 0], True),
        (1, 5, (1, 3, 3), [0, 1, 1, 0, 1, 1], False),
        (2, 3, (7, 6, 5), [0] * 6, True),
    ],
)
def test_the_rewriting_is_exact(n_in, n_out, kernel, pads, bias):
    model = _model(n_in, n_out, kernel, pads, bias)
    x = np.random.default_rng(1).standard_normal((4, n_in, 7, 6, 5), dtype=np.float32)
    expected = _run(model, x)
    assert flatten_convolutions(model) == 1
    onnx.checker.check_model(model)
    assert max(len(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == 1) == 4
    np.testing.assert_allclose(_run(model, x), expected, rtol=1e-4, atol=1e-4)


def test_other_convolutions_stay():
    for model in (
        _model(2, 16, (3, 3, 3), [1] * 6, True),
        _model(2, 4, (3, 3, 3), [1] * 6, True, strides=[1, 2, 2]),
        _model(2, 4, (3, 3, 3), [1] * 6, True, dilations=[2, 1, 1]),
    ):
        before = model.SerializeToString()
        assert flatten_convolutions(model) == 0
        assert model.SerializeToString() == before
