"""What pads, cuts and normalises in ONNX files is part of the operator, or it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from tests.files.onnx_models import (
    calls,
    computed,
    integers,
    model,
    node,
    only,
    opened,
    value,
    weight,
)


def pad(mode: str = "constant", **given: Any) -> Any:
    """Padding of x by amounts among the tensors."""
    return node("Pad", given.pop("inputs", ["x", "p"]), ["q"], mode=mode, **given)


def all_axes(*amounts: int) -> np.ndarray:
    """Amounts in front of each spatial axis, then behind, for all axes."""
    half = len(amounts) // 2
    return integers(0, 0, *amounts[:half], 0, 0, *amounts[half:])


W = {"w": weight(3, 2, 3, 3)}
ZERO = numpy_helper.from_array(integers(0))
CONV = node("Conv", ["q", "w"], ["y"])
OWN = node("Conv", ["q", "w"], ["y"], pads=[1, 0, 1, 2], strides=[2, 1])
CUT = node("Conv", ["x", "w"], ["z"], pads=[2, 2, 2, 2])

# operations, tensors, version of the standard, what the row says
CASES: dict[str, tuple[list[Any], dict[str, Any], int, str]] = {
    "zeros": ([pad(), CONV], {"p": all_axes(1, 0, 2, 1)}, 22, "zeros (1,2),(0,1) before"),
    "zeros beside its own": (
        [pad(), OWN],
        {"p": all_axes(1, 1, 1, 1)},
        22,
        "zeros 1 before",
    ),
    "a constant": (
        [pad(inputs=["x", "p", "c"]), CONV],
        {"p": all_axes(1, 1, 1, 1), "c": np.float32(3)},
        22,
        "zeros 1 before",
    ),
    "reflect": (
        [pad(mode="reflect"), CONV],
        {"p": all_axes(2, 1, 0, 3)},
        22,
        "reflect (2,0),(1,3) before",
    ),
    "edge": (
        [pad(mode="edge"), CONV],
        {"p": all_axes(2, 1, 0, 3)},
        22,
        "replicate (2,0),(1,3) before",
    ),
    "wrap": (
        [pad(mode="wrap"), CONV],
        {"p": all_axes(2, 1, 0, 3)},
        22,
        "circular (2,0),(1,3) before",
    ),
    "some axes": (
        [pad(inputs=["x", "p", "", "a"]), CONV],
        {"p": integers(1, 2, 0, 3), "a": integers(-1, 2)},
        22,
        "zeros (2,3),(1,0) before",
    ),
    "amounts as an attribute": (
        [node("Pad", ["x"], ["q"], pads=[0, 0, 1, 1, 0, 0, 1, 1], value=2.0), CONV],
        {},
        10,
        "zeros 1 before",
    ),
    "twice": (
        [
            node("Pad", ["x", "p"], ["r"], mode="reflect"),
            node("Identity", ["r"], ["s"]),
            node("Pad", ["s", "e"], ["q"], mode="reflect"),
            CONV,
        ],
        {"p": all_axes(1, 0, 1, 0), "e": all_axes(0, 2, 0, 1)},
        22,
        "reflect (1,1),(2,1) before",
    ),
    "zeros around zeros": (
        [
            pad(inputs=["x", "p"]),
            node("Pad", ["q", "p"], ["r"]),
            node("Conv", ["r", "w"], ["y"]),
        ],
        {"p": all_axes(1, 0, 1, 1)},
        22,
        "zeros (2,2),(0,2) before",
    ),
    "joined slices": (
        [
            node("Slice", ["x", "m", "l", "a"], ["s"]),
            node("Slice", ["x", "f", "e", "a"], ["t"]),
            node("Concat", ["s", "x", "t"], ["q"], axis=-2),
            CONV,
        ],
        {
            "m": integers(-2),
            "l": integers(2**62),
            "f": integers(0),
            "e": integers(1),
            "a": integers(2),
        },
        22,
        "circular (2,1),(0,0) before",
    ),
    "amounts that the graph makes": (
        [
            node("ConstantOfShape", ["four"], ["f"], value=ZERO),
            node("Concat", ["k", "f"], ["c"], axis=0),
            node("Reshape", ["c", "two"], ["r"]),
            node("Slice", ["r", "m", "l", "o", "m"], ["s"]),
            node("Transpose", ["s"], ["t"], perm=[1, 0]),
            node("Reshape", ["t", "m"], ["u"]),
            node("Cast", ["u"], ["p"], to=7),
            pad(mode="reflect"),
            CONV,
        ],
        {
            "four": integers(4),
            "k": integers(2, 1, 0, 3),
            "two": integers(-1, 2),
            "m": integers(-1),
            "l": integers(-(2**62)),
            "o": integers(0),
        },
        22,
        "reflect (0,3),(2,1) before",
    ),
    "cut": (
        [CUT, node("Slice", ["z", "f", "l", "a"], ["y"])],
        {"f": integers(1, 0), "l": integers(2**62, -2), "a": integers(-1, 2)},
        22,
        "(0,2),(1,0) cut after",
    ),
    "cut by attributes": (
        [CUT, node("Slice", ["z"], ["y"], axes=[3], starts=[0], ends=[-1])],
        {},
        9,
        "(0,0),(0,1) cut after",
    ),
    "cut twice": (
        [
            CUT,
            node("Slice", ["z", "f", "l", "a", "s"], ["c"]),
            node("Slice", ["c", "f", "l", "a", "s"], ["y"]),
        ],
        {"f": integers(1), "l": integers(99), "a": integers(2), "s": integers(1)},
        22,
        "(2,0),(0,0) cut after",
    ),
}
SHAPE = (2, 5, 6)


@pytest.mark.parametrize("case", CASES)
def test_the_row_is_the_whole_block(case: str, tmp_path: Path) -> None:
    nodes, tensors, opset, words = CASES[case]
    made = model(nodes, SHAPE, {**W, **tensors}, opset=opset)
    call = only(calls(made, tmp_path, SHAPE))
    op = call.operator()
    assert op.input_shape == SHAPE
    assert torch.equal(op.to_dense().double(), computed(made, SHAPE))
    assert call.conv.fused == (words,)
    assert call.conv.outside == ()


def test_negative_padding_cuts(tmp_path: Path) -> None:
    """As a slice does: the evaluator knows no negative padding."""
    nodes, tensors, _, words = CASES["cut"]
    truth = computed(model(nodes, SHAPE, {**W, **tensors}), SHAPE)
    tensors = {**W, "p": all_axes(0, -1, -2, 0)}
    made = model([CUT, node("Pad", ["z", "p"], ["y"])], SHAPE, tensors)
    call = only(calls(made, tmp_path, SHAPE))
    assert call.conv.fused == (words,)
    assert torch.equal(call.operator().to_dense().double(), truth)


def test_a_transposed_convolution_is_cut(tmp_path: Path) -> None:
    nodes = [
        node("ConvTranspose", ["x", "w"], ["z"], strides=[2, 2]),
        node("Slice", ["z", "f", "l", "a"], ["y"]),
    ]
    given = {"f": integers(1, 0), "l": integers(-1, 6), "a": integers(2, 3)}
    made = model(nodes, (2, 4, 4), {"w": weight(2, 3, 3, 3), **given})
    call = only(calls(made, tmp_path, (2, 4, 4)))
    assert torch.equal(call.operator().to_dense().double(), computed(made, (2, 4, 4)))


def test_padded_and_cut(tmp_path: Path) -> None:
    nodes = [
        pad(mode="wrap"),
        node("Conv", ["q", "w"], ["z"]),
        node("Slice", ["z", "f", "l", "a"], ["y"]),
    ]
    given = {
        "f": integers(1),
        "l": integers(-1),
        "a": integers(2),
        "p": all_axes(*[2] * 4),
    }
    made = model(nodes, SHAPE, {**W, **given})
    call = only(calls(made, tmp_path, SHAPE))
    assert call.conv.fused == ("circular 2 before", "(1,1),(0,0) cut after")
    assert torch.equal(call.operator().to_dense().double(), computed(made, SHAPE))


PADDING = "what pads its input, onnx::Pad, is no part of it"
OUTSIDE: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "reflection in front of zeros": (
        [pad(mode="reflect"), OWN],
        {"p": all_axes(1, 1, 1, 1)},
        PADDING,
    ),
    "two modes": (
        [
            node("Pad", ["x", "p"], ["r"], mode="wrap"),
            node("Pad", ["r", "p"], ["q"], mode="edge"),
            CONV,
        ],
        {"p": all_axes(1, 0, 1, 0)},
        PADDING,
    ),
    "channels": (
        [pad(), CONV],
        {"p": integers(0, 1, 1, 1, 0, 0, 1, 1), "w": weight(2, 3, 3, 3)},
        PADDING,
    ),
    "computed amounts": (
        [node("Abs", ["n"], ["p"]), pad(), CONV],
        {"n": all_axes(1, 1, 1, 1)},
        PADDING,
    ),
    "a computed constant": (
        [
            node("ReduceMax", ["x"], ["c"], keepdims=0),
            pad(inputs=["x", "p", "c"]),
            CONV,
        ],
        {"p": all_axes(1, 1, 1, 1)},
        PADDING,
    ),
    "before it is transposed": (
        [pad(), node("ConvTranspose", ["q", "w"], ["y"])],
        {"p": all_axes(1, 1, 1, 1), "w": weight(2, 1, 2, 2)},
        PADDING,
    ),
    "cut by more than it is padded": (
        [
            node("Conv", ["x", "w"], ["z"]),
            node("Slice", ["z", "f", "l", "a"], ["y"]),
        ],
        {"f": integers(1), "l": integers(99), "a": integers(2)},
        "what cuts its output, onnx::Slice, is no part of it",
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_one_operator_cannot_tell_is_said(case: str, tmp_path: Path) -> None:
    nodes, tensors, words = OUTSIDE[case]
    made = model(nodes, SHAPE, {**W, **tensors})
    call = only(calls(made, tmp_path, SHAPE))
    (said,) = call.conv.outside
    assert said.startswith(words)
    assert "hold for the convolution alone" in said


ALONE: dict[str, tuple[list[Any], dict[str, Any], tuple[str, ...]]] = {
    "read uncut too": (
        [CUT, node("Slice", ["z", "f", "l", "a"], ["c"]), node("Relu", ["z"], ["y"])],
        {},
        ("y",),
    ),
    "returned uncut too": (
        [CUT, node("Slice", ["z", "f", "l", "a"], ["y"])],
        {},
        ("y", "z"),
    ),
    "every second": (
        [CUT, node("Slice", ["z", "f", "l", "a", "s"], ["y"])],
        {"s": integers(2)},
        ("y",),
    ),
    "channels": ([CUT, node("Slice", ["z", "f", "l", "s"], ["y"])], {}, ("y",)),
    "shuffled channels in front": (
        [
            node("Slice", ["x", "f", "l", "f"], ["t"]),
            node("Concat", ["t", "x"], ["b"], axis=1),
            node("Conv", ["b", "v"], ["y"], pads=[2, 2, 2, 2]),
        ],
        {"v": weight(3, 3, 3, 3)},
        ("y",),
    ),
    "padded behind": (
        [CUT, node("Pad", ["z", "p"], ["y"])],
        {"p": all_axes(1, 0, 0, 0)},
        ("y",),
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_what_is_no_part_of_it_changes_nothing(case: str, tmp_path: Path) -> None:
    nodes, tensors, outputs = ALONE[case]
    given = {"f": integers(1), "l": integers(99), "a": integers(2), "s": integers(1)}
    made = model(nodes, SHAPE, {**W, **given, **tensors}, outputs=outputs)
    call = only(calls(made, tmp_path, SHAPE))
    assert call.operator().output_shape == (3, 7, 8)
    assert (call.conv.fused, call.conv.outside) == ((), ())


def test_an_output_that_a_body_reads_is_not_cut(tmp_path: Path) -> None:
    def body(name: str) -> Any:
        inside = [node("Relu", ["z"], [name])]
        return helper.make_graph(inside, name, [], [value(name, None)])

    nodes = [
        CUT,
        node("Slice", ["z", "f", "l", "a"], ["y"]),
        node("If", ["c"], ["i"], then_branch=body("t"), else_branch=body("e")),
    ]
    given = {"f": integers(1), "l": integers(99), "a": integers(2), "c": np.array(True)}
    made = model(nodes, SHAPE, {**W, **given}, outputs=("y", "i"))
    assert only(calls(made, tmp_path, SHAPE)).operator().output_shape == (3, 7, 8)


def normalised(op: str, *, groups: int = 1, **given: Any) -> Any:
    """A convolution of 4 channels to 6, a bias, and normalisation behind it."""
    kernel = (4, 6 // groups, 3, 3) if op == "ConvTranspose" else (6, 4 // groups, 3, 3)
    norm = {name: weight(6, seed=j) for j, name in enumerate("gbm")}
    return model(
        [
            node(op, ["x", "w", "d"], ["z"], group=groups, strides=[2, 1]),
            node("BatchNormalization", ["z", *"gbmv"], ["y"], epsilon=1e-2, **given),
        ],
        (4, 5, 4),
        {
            "w": weight(*kernel),
            "d": weight(6, seed=5),
            "v": weight(6, seed=4) ** 2 + 1,
            **norm,
        },
    )


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("groups", [1, 2])
def test_normalisation_is_folded_on_request(op: str, groups: int, tmp_path: Path) -> None:
    made, shape = normalised(op, groups=groups), (4, 5, 4)
    file = opened(made, tmp_path)
    trace = file.trace(shape, fold_batch_norm=True)
    call = only(trace.calls)
    folded = call.operator()
    assert call.conv.fused == ("batch norm after",)
    assert trace.notes == []
    alone = file.trace(shape)
    assert alone.notes == ["not analysed: 1 BatchNormalization"]
    plain = only(alone.calls).operator()
    wanted = torch.nn.functional.batch_norm(
        (plain.to_dense().double().mT.reshape(-1, *plain.output_shape)),
        *(torch.from_numpy(np.array(_tensor(made, name))).double() for name in "mvgb"),
        eps=float(np.float32(1e-2)),
    )
    zero = torch.nn.functional.batch_norm(
        torch.zeros(1, *plain.output_shape, dtype=torch.float64),
        *(torch.from_numpy(np.array(_tensor(made, name))).double() for name in "mvgb"),
        eps=float(np.float32(1e-2)),
    )
    truth = (wanted - zero).flatten(1).mT
    assert torch.allclose(folded.to_dense(), truth, rtol=0, atol=1e-13)


def _tensor(made: Any, name: str) -> np.ndarray:
    (found,) = [each for each in made.graph.initializer if each.name == name]
    return numpy_helper.to_array(found)


def test_training_is_not_folded(tmp_path: Path) -> None:
    made = normalised("Conv", training_mode=1)
    trace = opened(made, tmp_path).trace((4, 5, 4), fold_batch_norm=True)
    assert only(trace.calls).conv.fused == ()
