"""Modules made of ONNX graphs, against onnx's own evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from convspec.errors import UnreadableModel, UnsupportedLayer
from convspec.files.onnx_operators import OPERATIONS
from tests.files.onnx_models import OPSET, integers, model, node, opened, weight
from tests.gaussian import gaussian

IMAGE = (4, 6, 8)


@dataclass(frozen=True)
class Case:
    """A graph from x to y.

    Attributes:
        nodes: Its operations.
        tensors: Its constants.
        shape: Of x, without the batch.
        opset: Version of the standard.
        positive: Whether entries of x must be positive.
    """

    nodes: Sequence[Any]
    tensors: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = IMAGE
    opset: int = OPSET
    positive: bool = False


def one(op: str, *inputs: str, **attributes: Any) -> list[Any]:
    return [node(op, ["x", *inputs], ["y"], **attributes)]


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


def cases() -> dict[str, Case]:
    return {
        **entrywise(),
        **arithmetic(),
        **layers(),
        **pooling(),
        **views(),
        **resizing(),
    }


def entrywise() -> dict[str, Case]:
    plain = [
        "Abs",
        "Atan",
        "Ceil",
        "Celu",
        "Cos",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Tanh",
        "ThresholdedRelu",
    ]
    found = {op: Case(one(op)) for op in plain}
    found |= {op: Case(one(op), positive=True) for op in ("Log", "Reciprocal", "Sqrt")}
    slopes = {"s": weight(4, 1, 1)}
    ends = {"a": scalar(-0.5), "b": scalar(0.75)}
    return found | {
        "Celu alpha": Case(one("Celu", alpha=0.5)),
        "Elu alpha": Case(one("Elu", alpha=0.5)),
        "Gelu tanh": Case(one("Gelu", approximate="tanh")),
        "HardSigmoid of torch": Case(one("HardSigmoid", alpha=1 / 6, beta=0.5)),
        "LeakyRelu alpha": Case(one("LeakyRelu", alpha=0.3)),
        "PRelu per channel": Case(one("PRelu", "s"), slopes),
        "PRelu of one slope": Case(one("PRelu", "s"), {"s": weight(1)}),
        "Selu own": Case(one("Selu", alpha=1.5, gamma=0.8)),
        "Shrink soft": Case(one("Shrink", lambd=0.3, bias=0.3)),
        "Shrink hard": Case(one("Shrink", lambd=0.3, bias=0.0)),
        "Swish": Case(one("Swish", alpha=1.5), opset=24),
        "Swish plain": Case(one("Swish"), opset=24),
        "Clip by inputs": Case(one("Clip", "a", "b"), ends),
        "Clip from below": Case(one("Clip", "a"), ends),
        "Clip from above": Case(one("Clip", "", "b"), ends),
        "Clip of nothing": Case(one("Clip")),
        "Clip by attributes": Case(one("Clip", min=-0.5, max=0.75), opset=6),
        "Cast": Case(one("Cast", to=TensorProto.DOUBLE)),
        "CastLike": Case(one("CastLike", "w"), {"w": np.zeros(1)}),
        "Dropout": Case(one("Dropout")),
    }


def arithmetic() -> dict[str, Case]:
    w = {"w": weight(8, 5), "c": weight(4, 1, 1, seed=1), "m": weight(48, 10, seed=2)}
    rows = [node("Flatten", ["x"], ["f"], axis=2)]
    vector = {"m": w["m"], "b": weight(10, seed=3), "t": w["m"].T.copy()}
    flat = [
        node("Flatten", ["x"], ["f"], axis=1),
        node("Reshape", ["f", "s"], ["g"]),
    ]
    shape = {"s": integers(4, 48)}
    both = [node("Sigmoid", ["x"], ["z"])]
    return {
        "Add": Case(one("Add", "c"), w),
        "Sub": Case(one("Sub", "c"), w),
        "Sub from": Case([node("Sub", ["c", "x"], ["y"])], w),
        "Mul": Case(one("Mul", "c"), w),
        "Mul of data": Case([*both, node("Mul", ["x", "z"], ["y"])]),
        "Div": Case(one("Div", "c"), {"c": weight(4, 1, 1) + 5}),
        "Max": Case(one("Max", "c"), w),
        "Min": Case([*both, node("Min", ["x", "z", "x"], ["y"])]),
        "Sum": Case([*both, node("Sum", ["x", "z", "x"], ["y"])]),
        "Mean": Case([*both, node("Mean", ["x", "z", "x"], ["y"])]),
        "Pow": Case(one("Pow", "p"), {"p": scalar(3)}),
        "Pow of one": Case(one("Pow", "p"), {"p": scalar(1)}),
        "Mod": Case(one("Mod", "c", fmod=1), {"c": scalar(0.75)}),
        "MatMul": Case(one("MatMul", "w"), w),
        "MatMul on the left": Case(
            [node("MatMul", ["w", "x"], ["y"])], {"w": weight(3, 6)}
        ),
        "Gemm": Case([*flat, node("Gemm", ["g", "m", "b"], ["y"])], vector | shape),
        "Gemm transposed": Case(
            [*flat, node("Gemm", ["g", "t", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)],
            vector | shape,
        ),
        "Gemm from the left": Case(
            [*flat, node("Gemm", ["g", "w"], ["y"], transA=1)],
            {"w": weight(4, 3)} | shape,
        ),
        "Einsum": Case(
            [*rows, node("Einsum", ["x", "w"], ["y"], equation="nchw,wk->nkch")], w
        ),
        "Where": Case(
            [node("Where", ["k", "x", "c"], ["y"])],
            {"k": np.arange(8) % 3 == 0, "c": scalar(2)},
        ),
        "If of sizes": Case(
            [
                node("Shape", ["x"], ["s"]),
                node("Gather", ["s", "i"], ["h"]),
                node("Equal", ["h", "n"], ["k"]),
                node(
                    "If",
                    ["k"],
                    ["y"],
                    then_branch=helper.make_graph(
                        [node("Relu", ["x"], ["r"])], "then", [], [out("r")]
                    ),
                    else_branch=helper.make_graph(
                        [node("LSTM", ["x", "x", "x"], ["q"])], "else", [], [out("q")]
                    ),
                ),
            ],
            {"i": integers(2), "n": integers(6)},
        ),
        "constants alone are computed": Case(
            [
                node("ConstantOfShape", ["s"], ["o"]),
                node("Range", ["a", "b", "d"], ["r"]),
                node("Constant", [], ["k"], value_floats=[1.0, 2.0]),
                node("ReduceSum", ["k"], ["t"]),
                node("Add", ["o", "r"], ["p"]),
                node("Mul", ["p", "t"], ["q"]),
                node("Add", ["x", "q"], ["y"]),
            ],
            {"s": integers(8), "a": scalar(0), "b": scalar(8), "d": scalar(1)},
        ),
    }


def out(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)


def layers() -> dict[str, Case]:
    stats = {
        "s": weight(4, seed=1),
        "b": weight(4, seed=2),
        "m": weight(4, seed=3),
        "v": np.abs(weight(4, seed=4)) + floats(0.5),
    }
    w = {"w": weight(6, 4, 3, 3), "b": weight(6, seed=1)}
    grouped = {"w": weight(6, 2, 3, 2), "b": weight(6, seed=1)}
    up = {"w": weight(4, 5, 3, 3), "b": weight(5, seed=1)}
    line = {"w": weight(6, 4, 3)}
    solid = {"w": weight(2, 3, 2, 2, 2)}
    return {
        "Conv": Case(one("Conv", "w", "b", pads=[1, 1, 1, 1]), w),
        "Conv strided": Case(one("Conv", "w", strides=[2, 1], pads=[1, 0, 1, 0]), w),
        "Conv uneven": Case(one("Conv", "w", "b", pads=[0, 1, 2, 0]), w),
        "Conv dilated": Case(one("Conv", "w", dilations=[2, 1], pads=[2, 1, 2, 1]), w),
        "Conv grouped": Case(one("Conv", "w", "b", group=2), grouped),
        "Conv same": Case(one("Conv", "w", auto_pad="SAME_UPPER", strides=[2, 3]), w),
        "Conv same below": Case(one("Conv", "w", auto_pad="SAME_LOWER"), grouped | w),
        "Conv valid": Case(one("Conv", "w", auto_pad="VALID"), w),
        "Conv 1-D": Case(one("Conv", "w", pads=[1, 1]), line, (4, 9)),
        "Conv 3-D": Case(one("Conv", "w"), solid, (3, 4, 5, 3)),
        "ConvTranspose": Case(one("ConvTranspose", "w", "b", strides=[2, 2]), up),
        "ConvTranspose padded": Case(
            one(
                "ConvTranspose",
                "w",
                "b",
                strides=[2, 3],
                pads=[1, 1, 1, 1],
                output_padding=[1, 2],
            ),
            up,
        ),
        "ConvTranspose uneven": Case(
            one("ConvTranspose", "w", "b", strides=[2, 2], pads=[0, 1, 1, 0]), up
        ),
        "BatchNormalization": Case(
            one("BatchNormalization", "s", "b", "m", "v", epsilon=0.01), stats
        ),
        "InstanceNormalization": Case(one("InstanceNormalization", "s", "b"), stats),
        "LayerNormalization": Case(
            one("LayerNormalization", "w", "b", axis=2),
            {"w": weight(6, 8), "b": weight(6, 8, seed=1)},
        ),
        "LayerNormalization last": Case(one("LayerNormalization", "w"), {"w": weight(8)}),
        "RMSNormalization": Case(
            one("RMSNormalization", "w"), {"w": weight(8)}, opset=23
        ),
        "GroupNormalization": Case(
            one("GroupNormalization", "s", "b", num_groups=2), stats
        ),
        "DequantizeLinear of weights": Case(
            [
                node("DequantizeLinear", ["q", "a", "z"], ["w"], axis=0),
                *one("Conv", "w"),
            ],
            {
                "q": np.arange(-50, 58).reshape(3, 4, 3, 3).astype(np.int8),
                "a": floats(0.5, 0.25, 1),
                "z": np.array([1, -2, 3], dtype=np.int8),
            },
        ),
    }


def pooling() -> dict[str, Case]:
    found = {
        f"{op} {title}": Case(one(op, **given), shape=(2, 7, 8))
        for op in ("MaxPool", "AveragePool")
        for title, given in {
            "plain": {"kernel_shape": [2, 3]},
            "strided": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
            "uneven": {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [0, 1, 1, 0]},
            "same": {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
            "ceil": {"kernel_shape": [2, 2], "strides": [2, 3], "ceil_mode": 1},
            "wide": {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]},
        }.items()
    }
    counted = {"kernel_shape": [3, 3], "count_include_pad": 1}
    found |= {
        "AveragePool counted": Case(one("AveragePool", pads=[1, 1, 1, 1], **counted)),
        "AveragePool counted uneven": Case(
            one("AveragePool", pads=[1, 0, 0, 1], **counted)
        ),
        "MaxPool dilated": Case(
            one("MaxPool", kernel_shape=[2, 2], dilations=[2, 1]), shape=(2, 7, 8)
        ),
        "MaxPool 1-D": Case(one("MaxPool", kernel_shape=[3]), shape=(2, 9)),
        "AveragePool 3-D": Case(
            one("AveragePool", kernel_shape=[2, 2, 2]), shape=(2, 4, 5, 3)
        ),
    }
    reductions = [
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    ]
    for op in reductions:
        found[op] = Case(one(op, "a"), {"a": integers(-1, 1)})
        found[f"{op} of all"] = Case(one(op, keepdims=0))
    return found | {
        "ReduceMean by attribute": Case(one("ReduceMean", axes=[2, 3]), opset=13),
        "ReduceSum of nothing": Case(one("ReduceSum", noop_with_empty_axes=1)),
        "GlobalAveragePool": Case(one("GlobalAveragePool")),
        "GlobalMaxPool": Case(one("GlobalMaxPool")),
        "Softmax": Case(one("Softmax", axis=1)),
        "Softmax last": Case(one("Softmax")),
        "LogSoftmax": Case(one("LogSoftmax", axis=-2)),
        "ArgMax": Case(one("ArgMax", axis=1, keepdims=0)),
        "ArgMin": Case(one("ArgMin", axis=2)),
    }


def views() -> dict[str, Case]:
    block = (8, 3, 2)
    return {
        "Concat": Case([node("Concat", ["x", "x"], ["y"], axis=-3)]),
        "Concat of sizes": Case(
            [
                node("Shape", ["x"], ["s"]),
                node("Slice", ["s", "a", "b"], ["t"]),
                node("Concat", ["t", "m"], ["u"], axis=0),
                node("Reshape", ["x", "u"], ["y"]),
            ],
            {"a": integers(0), "b": integers(1), "m": integers(-1)},
        ),
        "DepthToSpace": Case(one("DepthToSpace", blocksize=2), shape=block),
        "DepthToSpace of torch": Case(
            one("DepthToSpace", blocksize=2, mode="CRD"), shape=block
        ),
        "SpaceToDepth": Case(one("SpaceToDepth", blocksize=2)),
        "Expand": Case(one("Expand", "s"), {"s": integers(2, 1, 1, 8)}, (4, 6, 1)),
        "Flatten": Case(one("Flatten")),
        "Flatten whole": Case(one("Flatten", axis=0)),
        "Flatten from behind": Case(one("Flatten", axis=-1)),
        "Gather": Case(one("Gather", "i", axis=2), {"i": integers(0, -1, 3)}),
        "Gather one": Case(
            one("Gather", "i", axis=1), {"i": np.array(2, dtype=np.int64)}
        ),
        "Gather in a shape": Case(
            one("Gather", "i", axis=1), {"i": integers(0, 1, 2, 3).reshape(2, 2)}
        ),
        "GatherElements": Case(
            one("GatherElements", "i", axis=3),
            {"i": np.tile(integers(1, -1), (1, 4, 6, 1))},
        ),
        "Pad": Case(one("Pad", "p"), {"p": integers(0, 1, 2, 0, 0, 0, 1, 3)}),
        "Pad by a number": Case(
            one("Pad", "p", "v"),
            {"p": integers(0, 0, 1, 1, 0, 0, 1, 1), "v": scalar(2)},
        ),
        "Pad of axes": Case(
            one("Pad", "p", "", "a"), {"p": integers(1, 2), "a": integers(-1)}
        ),
        "Pad reflect": Case(
            one("Pad", "p", mode="reflect"), {"p": integers(0, 0, 2, 1, 0, 0, 1, 3)}
        ),
        "Pad reflect of channels": Case(
            one("Pad", "p", mode="reflect"), {"p": integers(0, 2, 0, 1, 0, 3, 0, 0)}
        ),
        "Pad edge of rows": Case(
            one("Pad", "p", mode="edge"), {"p": integers(0, 2, 0, 3)}, (5,)
        ),
        "Pad edge": Case(
            one("Pad", "p", mode="edge"), {"p": integers(0, 0, 2, 1, 0, 0, 1, 3)}
        ),
        "Pad wrap": Case(
            one("Pad", "p", mode="wrap"), {"p": integers(0, 0, 2, 1, 0, 0, 1, 3)}
        ),
        "Pad by attributes": Case(one("Pad", pads=[0, 0, 1, 2, 0, 0, 0, 1]), opset=10),
        "Reshape": Case(one("Reshape", "s"), {"s": integers(0, -1, 12)}),
        "Slice": Case(
            one("Slice", "a", "b", "d"),
            {"a": integers(1, -3), "b": integers(9, -1), "d": integers(2, 3)},
        ),
        "Slice in steps": Case(
            one("Slice", "a", "b", "d", "e"),
            {
                "a": integers(7, 0),
                "b": integers(-99, 2**62),
                "d": integers(3, 2),
                "e": integers(-3, 2),
            },
        ),
        "Slice by attributes": Case(
            one("Slice", starts=[1], ends=[3], axes=[1]), opset=9
        ),
        "Split": Case(
            [
                node("Split", ["x", "s"], ["a", "b"], axis=1),
                node("Concat", ["b", "a"], ["y"], axis=1),
            ],
            {"s": integers(1, 3)},
        ),
        "Split in parts": Case(
            [
                node("Split", ["x"], ["a", "b", "c"], axis=3, num_outputs=3),
                node("Concat", ["c", "b", "a"], ["y"], axis=3),
            ]
        ),
        "Squeeze": Case(one("Squeeze", "a"), {"a": integers(1)}, (1, 4, 1)),
        "Squeeze all": Case(one("Squeeze"), shape=(1, 4, 1)),
        "Tile": Case(one("Tile", "r"), {"r": integers(1, 2, 1, 3)}),
        "Transpose": Case(one("Transpose", perm=[0, 2, 3, 1])),
        "Transpose whole": Case(one("Transpose")),
        "Trilu": Case(one("Trilu", "k", upper=0), {"k": np.array(1)}),
        "Unsqueeze": Case(one("Unsqueeze", "a"), {"a": integers(1, -1)}),
        "Size": Case(
            [
                node("Size", ["x"], ["n"]),
                node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
                node("Mul", ["x", "f"], ["y"]),
            ]
        ),
    }


def resizing() -> dict[str, Case]:
    found = {}
    scales = {"s": floats(1, 1, 2, 1.5)}
    sizes = {"z": integers(1, 4, 9, 5)}
    coordinates = [
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
    ]
    for how in coordinates:
        given = {"coordinate_transformation_mode": how}
        for mode in ("nearest", "linear", "cubic"):
            more = {"mode": mode, **given}
            found[f"Resize {mode} {how}"] = Case(one("Resize", "", "s", **more), scales)
            found[f"Resize {mode} {how} to sizes"] = Case(
                one("Resize", "", "", "z", **more), sizes
            )
    for rounding in ("round_prefer_ceil", "floor", "ceil"):
        found[f"Resize nearest {rounding}"] = Case(
            one("Resize", "", "s", nearest_mode=rounding), scales
        )
    whole = {"s": floats(1, 1, 2, 3)}
    return found | {
        "Resize twice": Case(
            one(
                "Resize",
                "",
                "s",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            whole,
        ),
        "Resize of nothing": Case(one("Resize", "", "s"), {"s": floats(1, 1, 1, 1)}),
        "Resize of axes": Case(
            one("Resize", "", "s", axes=[2, 3], mode="linear"), {"s": floats(2, 0.5)}
        ),
        "Resize cubic inside": Case(
            one("Resize", "", "s", mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5),
            scales,
        ),
        "Upsample": Case(one("Upsample", "s"), whole, opset=9),
    }


CASES = cases()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_module_computes_what_the_standard_says(case: Case, tmp_path: Path) -> None:
    made = model(case.nodes, case.shape, case.tensors, opset=case.opset, batch=1)
    x = gaussian(7, 1, *case.shape).float()
    x = x.abs() + 0.5 if case.positive else x
    module, shape = opened(made, tmp_path).module(None)
    assert shape == case.shape
    ours = module(x)
    found = ReferenceEvaluator(made).run(None, {"x": x.numpy()})[0]
    theirs = torch.from_numpy(np.array(found))  # of strides that torch has
    torch.testing.assert_close(ours, theirs.to(ours.dtype))
    assert ours.shape == theirs.shape


def computed(case: Case, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    made = model(case.nodes, case.shape, case.tensors, opset=case.opset, batch=1)
    x = gaussian(7, 1, *case.shape).float()
    return x, opened(made, path).module(None)[0](x)


def test_transposed_convolutions_to_a_size_are_cut_evenly(tmp_path: Path) -> None:
    kernel = weight(4, 5, 3, 3)
    given = {"strides": [2, 2], "output_shape": [12, 16]}
    for where, cut in {"SAME_UPPER": (0, 1), "NOTSET": (1, 0)}.items():
        case = Case(one("ConvTranspose", "w", auto_pad=where, **given), {"w": kernel})
        x, y = computed(case, tmp_path)
        whole = torch.nn.functional.conv_transpose2d(x, torch.from_numpy(kernel), None, 2)
        before, behind = cut
        height, width = whole.shape[2:]
        wanted = whole[..., before : height - behind, before : width - behind]
        torch.testing.assert_close(y, wanted)


def test_response_norm_divides_by_squares_of_near_channels(tmp_path: Path) -> None:
    x, y = computed(Case(one("LRN", size=3, alpha=0.5, beta=0.5, bias=2.0)), tmp_path)
    for c in range(4):
        near = x[:, max(0, c - 1) : c + 2].square().sum(1)
        torch.testing.assert_close(y[:, c], x[:, c] / torch.sqrt(2 + 0.5 / 3 * near))


def test_padding_by_less_than_nothing_cuts(tmp_path: Path) -> None:
    pads = {"p": integers(0, 0, -1, 0, 0, 0, 0, -2)}
    x, y = computed(Case(one("Pad", "p"), pads), tmp_path)
    assert torch.equal(y, x[:, :, 1:, :-2])


def test_upsampling_by_an_attribute_repeats(tmp_path: Path) -> None:
    case = Case(one("Upsample", scales=[1.0, 1.0, 2.0, 3.0]), opset=7)
    x, y = computed(case, tmp_path)
    assert torch.equal(y, x.repeat_interleave(2, 2).repeat_interleave(3, 3))


def test_early_softmax_is_over_all_axes_behind(tmp_path: Path) -> None:
    x, y = computed(Case(one("Softmax"), opset=11), tmp_path)
    torch.testing.assert_close(y, torch.softmax(x.flatten(1), 1).reshape(x.shape))


@pytest.mark.parametrize("op", ["And", "Or", "Less", "LessOrEqual", "Greater"])
def test_conditions_on_sizes_choose_a_branch(op: str, tmp_path: Path) -> None:
    truth = {
        "And": False,
        "Or": True,
        "Less": True,
        "LessOrEqual": True,
        "Greater": False,
    }
    both = [node("Equal", ["n", "m"], ["p"]), node("Not", ["p"], ["q"])]
    names = ["p", "q"] if op in ("And", "Or") else ["n", "m"]
    branches = {
        "then_branch": helper.make_graph(
            [node("Relu", ["x"], ["r"])], "t", [], [out("r")]
        ),
        "else_branch": helper.make_graph(
            [node("Neg", ["x"], ["r"])], "e", [], [out("r")]
        ),
    }
    nodes = [*both, node(op, names, ["k"]), node("If", ["k"], ["y"], **branches)]
    x, y = computed(Case(nodes, {"n": integers(3), "m": integers(4)}), tmp_path)
    assert torch.equal(y, torch.relu(x) if truth[op] else -x)


def test_every_operation_of_the_table_is_compared() -> None:
    seen = {each.op_type for case in CASES.values() for each in case.nodes}
    elsewhere = {"And", "Greater", "LRN", "Less", "LessOrEqual", "Not", "Or"}
    assert set(OPERATIONS) - seen == elsewhere | {"GreaterOrEqual"}


def test_what_is_left_out_is_not_read(tmp_path: Path) -> None:
    """An output without a name is no input that is left out."""
    nodes = [
        node("Split", ["x"], ["", "b"], axis=1, num_outputs=2),
        node("Clip", ["b", "", "m"], ["y"]),
    ]
    x, y = computed(Case(nodes, {"m": scalar(0.25)}), tmp_path)
    assert torch.equal(y, x[:, 2:].clamp(max=0.25))


def test_types_in_between_are_one(tmp_path: Path) -> None:
    """A body in half precision between conversions, computed in single and in double."""
    nodes = [
        node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        node("Conv", ["h", "w"], ["c"]),
        node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ]
    kernel = weight(3, 4, 3, 3)
    made = model(nodes, IMAGE, {"w": kernel.astype(np.float16)}, batch=1)
    module, _ = opened(made, tmp_path).module(None)
    x = gaussian(1, 1, *IMAGE)
    for dtype in (torch.float32, torch.float64):
        wanted = torch.nn.functional.conv2d(x.to(dtype), torch.tensor(kernel).to(dtype))
        torch.testing.assert_close(module.to(dtype)(x.to(dtype)), wanted)
    double = model(
        [*nodes[:2], node("Mul", ["c", "d"], ["y"])],
        IMAGE,
        {"w": kernel.astype(np.float16), "d": np.array(1 / 3)},
        batch=1,
    )
    module, _ = opened(double, tmp_path).module(None)
    assert {each.dtype for each in module.parameters()} == {torch.float64}


def test_a_gemm_that_adds_data(tmp_path: Path) -> None:
    nodes = [
        node("Flatten", ["x"], ["f"]),
        node("Gemm", ["f", "w", "f"], ["y"]),
    ]
    x, y = computed(Case(nodes, {"w": weight(192, 192)}), tmp_path)
    torch.testing.assert_close(
        y,
        x.flatten(1) @ torch.from_numpy(weight(192, 192)) + x.flatten(1),
        rtol=1e-5,
        atol=1e-4,
    )


REFUSED = {
    "rounding": (one("QuantizeLinear", "s"), {"s": scalar(1)}, "it rounds"),
    "a kernel that is computed": (
        [node("Sigmoid", ["x"], ["s"]), node("Resize", ["x", "", "s"], ["y"])],
        {},
        "depends on the model's input",
    ),
    "an unknown one": ([node("Mystery", ["x"], ["y"], domain="acme")], {}, "acme::Mys"),
    "a loop": (one("Scan", num_scan_inputs=1), {}, "loops are not followed"),
    "slopes of pixels": (one("PRelu", "s"), {"s": weight(4, 6, 8)}, "for each channel"),
    "training": (
        one("BatchNormalization", "s", "s", "s", "s", training_mode=1),
        {"s": weight(4)},
        "as in training",
    ),
    "antialiasing": (
        one("Resize", "", "s", antialias=1),
        {"s": floats(1, 1, 2, 2)},
        "antialiased",
    ),
    "too much": (
        one("Expand", "s"),
        {"s": integers(2**30, 4, 6, 8)},
        "raise max_bytes",
    ),
}


@pytest.mark.parametrize(
    ("nodes", "tensors", "words"), REFUSED.values(), ids=REFUSED.keys()
)
def test_what_is_not_computed_is_refused_by_name(
    nodes: Sequence[Any], tensors: Mapping[str, Any], words: str, tmp_path: Path
) -> None:
    made = opened(model(nodes, IMAGE, tensors, batch=1, domains=("acme",)), tmp_path)
    with pytest.raises(UnsupportedLayer, match=words) as told:
        made.module(None)
    assert str(told.value).startswith(str(tmp_path))


def test_what_no_output_needs_is_not_asked_for(tmp_path: Path) -> None:
    nodes = [node("Mystery", ["x"], ["z"], domain="acme"), *one("Relu")]
    made = opened(model(nodes, IMAGE, {}, batch=1, domains=("acme",)), tmp_path)
    x = gaussian(0, 1, *IMAGE)
    assert torch.equal(made.module(None)[0].double()(x), torch.relu(x))


def test_shapes_come_from_the_file_or_the_caller(tmp_path: Path) -> None:
    made = opened(model(one("Relu"), ("C", 6, 8), {}), tmp_path)
    assert made.module(IMAGE)[1] == IMAGE
    with pytest.raises(UnreadableModel, match="must have a size"):
        made.module(None)
    with pytest.raises(UnreadableModel, match="must fit input"):
        made.module((4, 6, 9))


def test_a_batch_of_several_is_refused(tmp_path: Path) -> None:
    made = opened(model(one("Relu"), IMAGE, {}, batch=8), tmp_path)
    with pytest.raises(UnreadableModel, match="a batch of one"):
        made.module(None)


def test_shapes_that_do_not_fit_are_told_in_a_line(tmp_path: Path) -> None:
    made = opened(model(one("MatMul", "w"), IMAGE, {"w": weight(9, 2)}), tmp_path)
    with pytest.raises(UnreadableModel, match="must fit what it reads") as told:
        made.module(IMAGE)
    assert "\n" not in str(told.value)


def test_names_that_modules_have_are_no_obstacle(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["a"], name="forward"),
        node("Neg", ["a"], ["b"], name="layer.0"),
        node("Abs", ["b"], ["c"], name="forward"),
        node("Neg", ["c"], ["y"], name="returned"),
    ]
    module, _ = opened(model(nodes, IMAGE, {}, batch=1), tmp_path).module(None)
    x = gaussian(0, 1, *IMAGE).float()
    assert torch.equal(module(x), -torch.relu(x))
    names = {name for name, _ in module.named_modules()}
    assert names == {"", "returned", "forward_", "layer_0", "forward__", "returned_"}
