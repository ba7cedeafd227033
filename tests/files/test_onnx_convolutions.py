"""Convolutions of ONNX files against onnx's evaluator, on one-hot images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from tests.files.onnx_models import (
    calls,
    computed,
    integers,
    model,
    node,
    only,
    opened,
    weight,
)


def conv(shape: tuple[int, ...], kernel: tuple[int, ...], **given: Any) -> Any:
    op = given.pop("op", "Conv")
    return model([node(op, ["x", "w"], ["y"], **given)], shape, {"w": weight(*kernel)})


def transposed(shape: tuple[int, ...], kernel: tuple[int, ...], **given: Any) -> Any:
    return conv(shape, kernel, op="ConvTranspose", **given)


# a model and the image that it reads
CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "plain": (conv((2, 5, 6), (3, 2, 3, 3)), (2, 5, 6)),
    "kernel given": (conv((2, 5, 6), (3, 2, 3, 2), kernel_shape=[3, 2]), (2, 5, 6)),
    "one axis": (conv((2, 9), (3, 2, 4), strides=[2], pads=[3, 1]), (2, 9)),
    "three axes": (
        conv((1, 3, 4, 5), (2, 1, 2, 3, 2), strides=[1, 2, 1], pads=[0, 1, 0, 1, 0, 1]),
        (1, 3, 4, 5),
    ),
    "asymmetric": (
        conv((1, 5, 6), (2, 1, 3, 3), pads=[0, 1, 2, 3], strides=[2, 1]),
        (1, 5, 6),
    ),
    "dilated, groups": (
        conv((4, 7, 6), (6, 2, 3, 2), dilations=[2, 3], group=2, pads=[1, 0, 1, 0]),
        (4, 7, 6),
    ),
    "depthwise": (conv((3, 5, 5), (3, 1, 3, 3), group=3, pads=[1] * 4), (3, 5, 5)),
    "same upper": (
        conv((1, 6, 7), (2, 1, 3, 4), auto_pad="SAME_UPPER", strides=[2, 2]),
        (1, 6, 7),
    ),
    "same lower": (
        conv((1, 6, 7), (2, 1, 3, 4), auto_pad="SAME_LOWER", strides=[2, 3]),
        (1, 6, 7),
    ),
    "valid": (conv((1, 6, 7), (2, 1, 3, 4), auto_pad="VALID", strides=[2, 2]), (1, 6, 7)),
    "transposed": (transposed((2, 3, 4), (2, 3, 3, 2)), (2, 3, 4)),
    "transposed, strided": (
        transposed(
            (2, 3, 4),
            (2, 3, 3, 4),
            strides=[2, 3],
            pads=[1, 0, 0, 2],
            output_padding=[1, 2],
        ),
        (2, 3, 4),
    ),
    "transposed, dilated": (
        transposed((1, 5), (1, 2, 3), strides=[2], dilations=[3], pads=[2, 1]),
        (1, 5),
    ),
    "transposed, three axes": (
        transposed((1, 2, 3, 2), (1, 2, 2, 2, 3), strides=[2, 1, 2]),
        (1, 2, 3, 2),
    ),
    "transposed, same upper": (
        transposed((1, 4, 3), (1, 2, 3, 4), strides=[2, 2], auto_pad="SAME_UPPER"),
        (1, 4, 3),
    ),
    "transposed, same lower": (
        transposed((1, 4, 3), (1, 2, 3, 4), strides=[2, 2], auto_pad="SAME_LOWER"),
        (1, 4, 3),
    ),
    "transposed, valid": (
        transposed((1, 4, 3), (1, 2, 3, 4), strides=[2, 2], auto_pad="VALID"),
        (1, 4, 3),
    ),
    "transposed, output shape, upper": (
        transposed(
            (1, 4, 3),
            (1, 2, 3, 4),
            strides=[2, 2],
            auto_pad="SAME_UPPER",
            output_shape=[8, 7],
        ),
        (1, 4, 3),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_operator_is_what_the_file_computes(case: str, tmp_path: Path) -> None:
    made, shape = CASES[case]
    call = only(calls(made, tmp_path, shape))
    op = call.operator()
    assert op.input_shape == shape
    assert torch.equal(op.to_dense().double(), computed(made, shape))
    assert (call.type, call.conv.outside) == (made.graph.node[0].op_type, ())
    assert call.conv.operation == f"onnx::{call.type}"


def test_transposed_groups_are_torchs(tmp_path: Path) -> None:
    """The evaluator has only the first output channel of each group."""
    given = {
        "strides": [2, 1],
        "group": 2,
        "pads": [1, 0, 1, 0],
        "output_padding": [1, 0],
    }
    op = only(calls(transposed((4, 3, 4), (4, 3, 3, 2), **given), tmp_path, (4, 3, 4)))
    kernel = torch.from_numpy(weight(4, 3, 3, 2))
    eye = torch.eye(48, dtype=torch.float32).reshape(48, 4, 3, 4)
    truth = F.conv_transpose2d(
        eye, kernel, stride=(2, 1), padding=(1, 0), output_padding=(1, 0), groups=2
    )
    assert torch.equal(op.operator().to_dense(), truth.flatten(1).mT)


def test_an_output_shape_alone_pads_more_in_front(tmp_path: Path) -> None:
    """By the standard's formulas, which the evaluator has for SAME alone."""
    given = {"strides": [2, 2], "output_shape": [8, 7]}
    op = only(calls(transposed((1, 4, 3), (1, 2, 3, 4), **given), tmp_path, (1, 4, 3)))
    kernel = torch.from_numpy(weight(1, 2, 3, 4))
    eye = torch.eye(12, dtype=torch.float32).reshape(12, 1, 4, 3)
    truth = F.conv_transpose2d(eye, kernel, stride=2)[..., 1:, 1:]
    assert torch.equal(op.operator().to_dense(), truth.flatten(1).mT)


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_bias(kind: str, tmp_path: Path) -> None:
    made = model(
        [node(kind, ["x", "w", "b"], ["y"])],
        (3, 4, 4),
        {"w": weight(3, 3, 2, 2), "b": weight(3, seed=1)},
    )
    op = only(calls(made, tmp_path, (3, 4, 4))).operator()
    assert op.bias is not None
    assert torch.equal(op.bias, torch.from_numpy(weight(3, seed=1)))
    assert torch.equal(op.to_dense().double(), computed(made, (3, 4, 4)))


def test_a_computed_bias_is_said(tmp_path: Path) -> None:
    nodes = [node("Relu", ["c"], ["b"]), node("Conv", ["x", "w", "b"], ["y"])]
    made = model(nodes, (2, 4), {"w": weight(3, 2, 2), "c": weight(3)})
    call = only(calls(made, tmp_path, (2, 4)))
    assert call.conv.outside == (
        "its bias is computed in the graph: the offset leaves it out",
    )
    assert torch.equal(call.operator().to_dense().double(), computed(made, (2, 4)))


W = weight(3, 2, 2, 2)


def constant(**given: Any) -> Any:
    return node("Constant", [], ["k"], **given)


def quantized(kind: Any, *, axis: int | None, zeros: bool, bits4: int = 0) -> Any:
    low, high = (0, 15) if bits4 == TensorProto.UINT4 else (-8, 7)
    if not bits4:
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
    random = np.random.RandomState(0)
    stored = random.randint(low, high + 1, W.shape)
    count = () if axis is None else (W.shape[axis],)
    tensors: dict[str, Any] = {
        "s": (2.0 ** random.randint(-6, -3, count or None)) * np.ones(count, np.float32)
    }
    tensors["s"] = np.asarray(tensors["s"], dtype=np.float32)
    zero = random.randint(low, high + 1, count or None) * np.ones(count, np.int64)
    number = bits4 or helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    for name, array in (("q", stored), ("z", np.asarray(zero))):
        tensors[name] = helper.make_tensor(
            name, number, array.shape, array.reshape(-1).tolist()
        )
    inputs = ["q", "s", "z"] if zeros else ["q", "s"]
    given = {} if axis is None else {"axis": axis}
    return [node("DequantizeLinear", inputs, ["w"], **given)], tensors


# operations that make w, and the tensors that they read
WEIGHTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "constant": ([node("Constant", [], ["w"], value=numpy_helper.from_array(W))], {}),
    "numbers, reshaped": (
        [
            constant(value_floats=W.reshape(-1).tolist()),
            node("Reshape", ["k", "s"], ["w"]),
        ],
        {"s": integers(3, 2, -1, 2)},
    ),
    "one number, unsqueezed and cast": (
        [
            constant(value_int=3),
            node("Unsqueeze", ["k", "a"], ["u"]),
            node("Cast", ["u"], ["v"], to=TensorProto.FLOAT),
            node("Reshape", ["v", "s"], ["w"]),
        ],
        {"a": integers(0, 1), "s": integers(1, 1, 1, 1)},
    ),
    "one number": (
        [
            constant(value_float=0.5),
            node("Unsqueeze", ["k", "a"], ["w"]),
        ],
        {"a": integers(-1, 0, 2, 1)},
    ),
    "integers": (
        [
            constant(value_ints=[1, -2, 3, 4]),
            node("Cast", ["k"], ["v"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["v", "a"], ["w"]),
        ],
        {"a": integers(0, 1, 3)},
    ),
    "identities": (
        [node("Identity", ["k"], ["v"]), node("Identity", ["v"], ["w"])],
        {"k": W},
    ),
    "transposed": (
        [node("Transpose", ["k"], ["w"], perm=[3, 2, 0, 1])],
        {"k": W.transpose(2, 3, 1, 0).copy()},
    ),
    "transposed without order": (
        [node("Transpose", ["k"], ["w"])],
        {"k": W.transpose().copy()},
    ),
    "cast": (
        [node("Cast", ["k"], ["w"], to=TensorProto.FLOAT)],
        {"k": W.astype(np.float16)},
    ),
    "reshaped, a zero copies": (
        [node("Reshape", ["k", "s"], ["w"])],
        {"k": W.reshape(3, 8), "s": integers(0, 2, 2, 2)},
    ),
    "shape of a shape": (
        [
            constant(value_ints=[3, 2, 2, 2]),
            node("Identity", ["k"], ["s"]),
            node("Reshape", ["f", "s"], ["w"]),
        ],
        {"f": W.reshape(-1)},
    ),
    "squeezed": (
        [node("Squeeze", ["k", "a"], ["w"])],
        {"k": W[:, None], "a": integers(1)},
    ),
    "typed data": (
        [node("Identity", ["k"], ["w"])],
        {"k": helper.make_tensor("k", TensorProto.FLOAT, W.shape, W.reshape(-1))},
    ),
    "int8": quantized(np.int8, axis=None, zeros=False),
    "int8, a zero point": quantized(np.int8, axis=None, zeros=True),
    "uint8": quantized(np.uint8, axis=None, zeros=True),
    "int8 per channel": quantized(np.int8, axis=0, zeros=True),
    "uint8 along the inputs": quantized(np.uint8, axis=1, zeros=True),
    "uint8 along the last": quantized(np.uint8, axis=-1, zeros=False),
    "int4": quantized(None, axis=None, zeros=True, bits4=TensorProto.INT4),
    "uint4 per channel": quantized(None, axis=0, zeros=True, bits4=TensorProto.UINT4),
    "int16": quantized(np.int16, axis=0, zeros=True),
    "uint16": quantized(np.uint16, axis=None, zeros=True),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_the_graph_makes(case: str, tmp_path: Path) -> None:
    nodes, tensors = WEIGHTS[case]
    nodes = [*nodes, node("Conv", ["x", "w"], ["y"])]
    channels = 2 if "one number" not in case and case != "integers" else 1
    shape = (channels, 4, 5)
    made = model(nodes, shape, tensors)
    op = only(calls(made, tmp_path, shape)).operator()
    assert op.dtype == torch.float32
    assert torch.equal(op.to_dense().double(), computed(made, shape))


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE"])
def test_every_precision_stays_what_it_is(kind: str, raw: bool, tmp_path: Path) -> None:
    number = getattr(TensorProto, kind)
    dtype = {
        "FLOAT16": torch.float16,
        "BFLOAT16": torch.bfloat16,
        "FLOAT": torch.float32,
        "DOUBLE": torch.float64,
    }[kind]
    kernel = torch.from_numpy(W).to(dtype)
    if raw:
        content = kernel.reshape(-1).view(torch.uint8).numpy().tobytes()
        tensor = helper.make_tensor("w", number, W.shape, content, raw=True)
    else:
        tensor = helper.make_tensor("w", number, W.shape, W.reshape(-1).tolist())
    made = model([node("Conv", ["x", "w"], ["y"])], (2, 4, 4), {"w": tensor}, kind=number)
    op = only(calls(made, tmp_path, (2, 4, 4))).operator()
    assert op.dtype == dtype
    assert torch.equal(op.weight, kernel)


REASONS: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "computed": (
        [node("Relu", ["k"], ["w"]), node("Conv", ["x", "w"], ["y"])],
        {"k": W},
        "its weight is computed in the graph",
    ),
    "of the input": (
        [node("Conv", ["x", "x"], ["y"])],
        {},
        "its weight is computed in the graph",
    ),
    "another's": (
        [node("FusedConv", ["x", "w"], ["y"], domain="com.microsoft")],
        {"w": W},
        "com.microsoft::FusedConv is another",
    ),
    "integers": (
        [node("ConvInteger", ["x", "w"], ["y"])],
        {"w": W.astype(np.int8)},
        "onnx::ConvInteger is another",
    ),
    "no size": (
        [node("Compress", ["x", "c"], ["z"], axis=2), node("Conv", ["z", "w"], ["y"])],
        {"w": W, "c": np.array([True, False, True])},
        "its input must have a size; that of 'z' does not follow",
    ),
    "output shape beyond reach": (
        [node("ConvTranspose", ["x", "w"], ["y"], output_shape=[9, 9])],
        {"w": weight(2, 1, 2, 2)},
        "its output must be no larger",
    ),
    "an exotic type": (
        [node("Conv", ["x", "w"], ["y"])],
        {"w": helper.make_tensor("w", TensorProto.FLOAT8E4M3FN, (1, 2, 1), [1.0, 2.0])},
        "number 17",
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_a_row_says_why_it_is_no_operator(case: str, tmp_path: Path) -> None:
    nodes, tensors, words = REASONS[case]
    made = model(nodes, (2, 4, 4), tensors, domains=["com.microsoft"])
    call = only(calls(made, tmp_path, (2, 4, 4)))
    with pytest.raises(TypeError, match=words):
        call.operator()
    assert call.type == nodes[-1].op_type


def test_linear_layers(tmp_path: Path) -> None:
    a, b, c = weight(4, 3), weight(5, 3, seed=1), weight(1, 5, seed=2)
    made = model(
        [
            node("MatMul", ["x", "a"], ["h"], name="first"),
            node("Gemm", ["h", "b", "c"], ["y"], "second", transB=1, alpha=0.5, beta=2.0),
        ],
        (4,),
        {"a": a, "b": b, "c": c},
    )
    first, second = calls(made, tmp_path, (4,), linear=True)
    assert [(each.name, each.type) for each in (first, second)] == [
        ("first", "MatMul"),
        ("second", "Gemm"),
    ]
    product = second.operator().to_dense() @ first.operator().to_dense().double()
    assert torch.equal(product, computed(made, (4,)))
    bias = second.operator().bias
    assert bias is not None
    assert torch.equal(bias, 2 * torch.from_numpy(c[0]).double())
    trace = opened(made, tmp_path).trace((4,))
    assert (trace.calls, trace.notes) == ([], ["not analysed: 1 MatMul, 1 Gemm"])


def test_what_has_weights_and_no_row_is_counted(tmp_path: Path) -> None:
    made = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", "one", "one", "one", "one"], ["n"]),
            node("Add", ["n", "n"], ["m"]),
            node("PRelu", ["m", "slope"], ["y"]),
        ],
        (2, 4, 4),
        {"w": W, "one": weight(3), "slope": weight(3, 1, 1)},
    )
    trace = opened(made, tmp_path).trace((2, 4, 4))
    assert trace.notes == ["not analysed: 1 BatchNormalization, 1 PRelu"]
    assert trace.unused == []
