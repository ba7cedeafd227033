"""Graphs in graphs, functions, names, sizes and files of ONNX models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from convspec.errors import UnreadableModel
from convspec.files.onnx_model import OnnxModel
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

W = weight(2, 2, 3, 3)
SHAPE = (2, 5, 6)


def names(made: Any, path: Path, shape: tuple[int, ...] = SHAPE) -> list[str]:
    return [call.name for call in calls(made, path, shape)]


def body(name: str, *, scale: float) -> Any:
    """A branch: a convolution of x with a kernel of its own, both named as elsewhere."""
    return helper.make_graph(
        [node("Conv", ["x", "k"], ["r"], name="conv"), node("Relu", ["r"], ["o"])],
        name,
        [],
        [value("o", None)],
        [numpy_helper.from_array(np.float32(scale) * W, "k")],
    )


def test_both_branches_of_an_if(tmp_path: Path) -> None:
    """In the order of the file, which is that of the alphabet."""
    branches = {"then_branch": body("a", scale=1), "else_branch": body("b", scale=2)}
    made = model(
        [node("If", ["c"], ["y"], "if", **branches)], SHAPE, {"c": np.array(True)}
    )
    first, second = calls(made, tmp_path, SHAPE)
    assert [call.name for call in (first, second)] == ["if/conv #1", "if/conv #2"]
    assert torch.equal(first.operator().to_dense(), 2 * second.operator().to_dense())
    assert first.input_size == (5, 6)


def test_bodies_in_bodies(tmp_path: Path) -> None:
    inner = node(
        "If",
        ["c"],
        ["o"],
        "in",
        then_branch=body("a", scale=1),
        else_branch=body("b", scale=1),
    )
    other = node("Identity", ["x"], ["o"])
    outer = node(
        "If",
        ["c"],
        ["y"],
        "out",
        then_branch=helper.make_graph([inner], "t", [], [value("o", None)]),
        else_branch=helper.make_graph([other], "e", [], [value("o", None)]),
    )
    made = model([outer], SHAPE, {"c": np.array(True)})
    call = only(calls(made, tmp_path, SHAPE))
    assert (call.name, call.count) == ("out/in/conv", 2)


def loop(sizes: Any) -> Any:
    inside = helper.make_graph(
        [
            node("Conv", ["s", "w"], ["r"], name="conv", pads=[1, 1, 1, 1]),
            node("Identity", ["c"], ["d"]),
        ],
        "body",
        [
            value("i", [], TensorProto.INT64),
            value("c", [], TensorProto.BOOL),
            value("s", sizes),
        ],
        [value("d", [], TensorProto.BOOL), value("r", sizes)],
    )
    tensors = {"w": W, "n": np.array(3, dtype=np.int64), "go": np.array(True)}
    return model(
        [node("Loop", ["n", "go", "x"], ["y"], "loop", body=inside)], SHAPE, tensors
    )


def test_the_body_of_a_loop(tmp_path: Path) -> None:
    call = only(calls(loop([1, 2, 5, 6]), tmp_path, SHAPE))
    assert (call.name, call.operator().input_shape) == ("loop/conv", SHAPE)


def test_a_loop_whose_state_has_no_size(tmp_path: Path) -> None:
    call = only(calls(loop(None), tmp_path, SHAPE))
    with pytest.raises(TypeError, match="must have a size"):
        call.operator()


def test_the_body_of_a_scan(tmp_path: Path) -> None:
    inside = helper.make_graph(
        [node("Conv", ["s", "w"], ["r"], name="conv")],
        "body",
        [value("s", [1, 2, 5, 6])],
        [value("r", [1, 2, 3, 4])],
    )
    made = model(
        [
            node("Unsqueeze", ["x", "a"], ["u"]),
            node("Scan", ["u"], ["y"], "scan", body=inside, num_scan_inputs=1),
        ],
        SHAPE,
        {"w": W, "a": integers(0)},
    )
    assert names(made, tmp_path) == ["scan/conv"]


def block(name: str, nodes: list[Any], attributes: tuple[str, ...] = ()) -> Any:
    return helper.make_function(
        "own",
        name,
        ["x", "w"],
        ["y"],
        nodes,
        [helper.make_opsetid("", 22)],
        list(attributes),
    )


def with_reference(made: Any, name: str, kind: int) -> Any:
    attribute = made.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = name, name, kind
    return made


def test_a_function_has_rows_for_each_call(tmp_path: Path) -> None:
    """With the attributes of the call, and a size of its own."""
    conv = with_reference(node("Conv", ["x", "w"], ["t"], name="conv"), "strides", 7)
    function = block("Block", [conv, node("Relu", ["t"], ["y"])], ("strides",))
    made = model(
        [
            node("Block", ["x", "v"], ["t"], "one", domain="own", strides=[2, 1]),
            node("Block", ["t", "w"], ["y"], "two", domain="own"),
        ],
        (2, 9, 8),
        {"v": W, "w": weight(1, 2, 2, 2)},
        functions=[function],
        domains=["own"],
    )
    one, two = calls(made, tmp_path, (2, 9, 8))
    assert [call.name for call in (one, two)] == ["one/conv", "two/conv"]
    assert one.operator().output_shape == (2, 4, 6)
    assert two.operator().input_shape == (2, 4, 6)
    assert torch.equal(two.operator().weight, torch.from_numpy(weight(1, 2, 2, 2)))


def test_functions_in_functions_and_in_bodies(tmp_path: Path) -> None:
    inner = block("Inner", [node("Conv", ["x", "w"], ["y"], name="conv")])
    call = node("Inner", ["x", "w"], ["o"], "in", domain="own")
    branch = helper.make_graph([call], "g", [], [value("o", None)])
    inside = [
        node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True))),
        node("If", ["c"], ["y"], "if", then_branch=branch, else_branch=branch),
    ]
    outer = block("Outer", inside)
    made = model(
        [node("Outer", ["x", "w"], ["y"], "out", domain="own")],
        SHAPE,
        {"w": W},
        functions=[inner, outer],
        domains=["own"],
    )
    call = only(calls(made, tmp_path, SHAPE))
    assert (call.name, call.count) == ("out/if/in/conv", 2)
    assert call.operator().input_shape == SHAPE


def test_functions_that_call_themselves_are_refused(tmp_path: Path) -> None:
    one = block("One", [node("Two", ["x", "w"], ["y"], domain="own")])
    two = block("Two", [node("One", ["x", "w"], ["y"], domain="own")])
    made = model(
        [node("One", ["x", "w"], ["y"], domain="own")],
        SHAPE,
        {"w": W},
        functions=[one, two],
        domains=["own"],
    )
    with pytest.raises(UnreadableModel, match="functions must not call themselves"):
        names(made, tmp_path)


def test_functions_that_double_are_refused(tmp_path: Path) -> None:
    """Forty functions, each of which calls the next twice: 2^40 operations."""
    functions = [
        block(
            f"F{j}",
            [
                node(f"F{j + 1}", ["x", "w"], ["t"], domain="own"),
                node(f"F{j + 1}", ["t", "w"], ["y"], domain="own"),
            ],
        )
        for j in range(40)
    ]
    functions.append(block("F40", [node("Conv", ["x", "w"], ["y"])]))
    made = model(
        [node("F0", ["x", "w"], ["y"], domain="own")],
        SHAPE,
        {"w": W},
        functions=functions,
        domains=["own"],
    )
    with pytest.raises(UnreadableModel, match="at most 131072 operations"):
        names(made, tmp_path)


NAMES = [
    ({"name": "/features/0/Conv"}, "w", "/features/0/Conv"),
    ({}, "layer.0.weight", "layer.0"),
    ({}, "layer_weight", "layer"),
    ({}, "kernel", "kernel"),
]


@pytest.mark.parametrize(("given", "tensor", "name"), NAMES)
def test_names(given: dict[str, str], tensor: str, name: str, tmp_path: Path) -> None:
    made = model([node("Conv", ["x", tensor], ["y"], **given)], SHAPE, {tensor: W})
    assert names(made, tmp_path) == [name]


def test_a_computed_weight_has_the_name_of_the_output(tmp_path: Path) -> None:
    nodes = [node("Abs", ["k"], ["w"]), node("Conv", ["x", "w"], ["y"])]
    assert names(model(nodes, SHAPE, {"k": W}), tmp_path) == ["y"]


def test_one_kernel_on_several_sizes(tmp_path: Path) -> None:
    """The same weight thrice, twice on one size; another under the same name."""
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Conv", ["a", "w"], ["b"], pads=[1, 1, 1, 1]),
        node("Conv", ["b", "w"], ["c"]),
        node("Conv", ["c", "w"], ["y"], strides=[2, 2]),
    ]
    found = calls(model(nodes, SHAPE, {"w": W}), tmp_path, SHAPE)
    assert [(c.name, c.kernel, c.count) for c in found] == [
        ("w #1", 0, 2),
        ("w #1", 0, 1),
        ("w #2", 2, 1),
    ]


def plain(**given: Any) -> Any:
    return model([node("Conv", ["x", "w"], ["y"])], SHAPE, {"w": W}, **given)


def shaped(shape: Any, **given: Any) -> Any:
    return model([node("Conv", ["x", "w"], ["y"])], shape, {"w": W}, **given)


def test_the_sizes_in_the_file(tmp_path: Path) -> None:
    file = opened(plain(), tmp_path)
    assert file.title == "model.onnx"
    assert only(file.trace(None).calls).input_size == (5, 6)
    fixed = opened(shaped(SHAPE, batch=8), tmp_path)
    assert only(fixed.trace(SHAPE).calls).input_size == (5, 6)


MISFITS: dict[str, tuple[Any, Any, str]] = {
    "sizes are missing": (
        shaped((2, "h", "w")),
        None,
        r"input 'x' must have a size; .* \(N, 2, h, w\)",
    ),
    "no shape at all": (None, None, "input 'x' must have a size; .* of any shape"),
    "other channels": (plain(), (3, 5, 6), r"input_shape must fit input 'x', \(N, 2"),
    "other sizes": (plain(), (2, 9, 9), "input_shape must fit input 'x'"),
    "too few axes": (plain(), (2, 5), "input_shape must fit input 'x'"),
    "two shapes": (plain(), (SHAPE, SHAPE), "one shape for each of the 1 inputs"),
    "channels of no kernel": (shaped(("c", 5, 6)), (3, 5, 6), "must read 2 channels"),
    "smaller than the kernel": (shaped((2, "h", "w")), (2, 2, 2), "kernel's extent"),
    "no integers": (plain(), (2, 5, -1), "input_shape must be positive integers"),
    "absurd": (shaped((2, "h", "w")), (2, 2**45, 5), "input_shape must fit input"),
    "long": (shaped((2, "h", "w")), (2, 2**35, 5), "axes of at most 67108864 pixels"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_shapes_that_do_not_fit(case: str, tmp_path: Path) -> None:
    made, shape, words = MISFITS[case]
    if made is None:
        made = plain()
        made.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UnreadableModel, match=words) as caught:
        opened(made, tmp_path).trace(shape)
    assert "\n" not in str(caught.value)
    assert case == "no integers" or "model.onnx: " in str(caught.value)


def test_several_inputs(tmp_path: Path) -> None:
    made = model(
        [node("Concat", ["x", "z"], ["t"], axis=2), node("Conv", ["t", "w"], ["y"])],
        (2, "h", 6),
        {"w": W},
    )
    made.graph.input.append(value("z", ["N", 2, "k", 6]))
    call = only(opened(made, tmp_path).trace(((2, 5, 6), (2, 3, 6))).calls)
    assert call.input_size == (8, 6)


def test_sizes_that_the_graph_computes(tmp_path: Path) -> None:
    """Twice the size by Shape, Mul and Resize, as exporters write it."""
    nodes = [
        node("Shape", ["x"], ["s"], start=2),
        node("Mul", ["s", "two"], ["d"]),
        node("Shape", ["x"], ["b"], end=2),
        node("Concat", ["b", "d"], ["t"], axis=0),
        node("Resize", ["x", "", "", "t"], ["r"], mode="nearest"),
        node("Conv", ["r", "w"], ["y"]),
    ]
    made = model(nodes, (2, "h", "v"), {"w": W, "two": integers(2, 2)})
    assert only(calls(made, tmp_path, SHAPE)).input_size == (10, 12)


def test_the_file_knows_the_size_behind_another_operation(tmp_path: Path) -> None:
    nodes = [
        node("Own", ["x"], ["t"], domain="own"),
        node("Relu", ["t"], ["u"]),
        node("Conv", ["u", "w"], ["y"]),
    ]
    made = model(nodes, (2, "h", 6), {"w": W}, domains=["own"])
    made.graph.value_info.append(value("t", ["N", 2, "h", 4]))
    assert only(calls(made, tmp_path, SHAPE)).input_size == (5, 4)


def test_stale_sizes_in_the_file_do_not_count(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["t"]), node("Conv", ["t", "w"], ["y"])]
    made = model(nodes, (2, "h", "v"), {"w": W})
    made.graph.value_info.append(value("t", [1, 2, 224, 224]))
    assert only(calls(made, tmp_path, SHAPE)).input_size == (5, 6)


def test_weights_among_the_inputs(tmp_path: Path) -> None:
    """As files of version 3 have them."""
    made = plain()
    made.ir_version = 3
    made.graph.input.append(value("w", W.shape))
    assert only(calls(made, tmp_path, SHAPE)).input_size == (5, 6)


def beside(
    path: Path, location: str, *, offset: int = 8, length: int | None = None
) -> Any:
    """A model whose weight lies in a file beside it."""
    made = plain()
    (tensor,) = made.graph.initializer
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    length = len(content) if length is None else length
    for key, text in {"location": location, "offset": offset, "length": length}.items():
        tensor.external_data.add(key=key, value=str(text))
    (path / "data").mkdir()
    (path / "data" / "w.bin").write_bytes(bytes(8) + content)
    return made


@pytest.mark.parametrize("location", ["data/w.bin", "./data/w.bin"])
def test_data_beside_the_file(location: str, tmp_path: Path) -> None:
    op = only(calls(beside(tmp_path, location), tmp_path, SHAPE)).operator()
    assert torch.equal(op.to_dense().double(), computed(plain(), SHAPE))


AWAY = [
    "../w.bin",
    "data/../../w.bin",
    "/etc/passwd",
    "link.bin",
    "linked/w.bin",
    "",
    "\0",
]


@pytest.mark.parametrize("location", AWAY)
def test_data_elsewhere_is_refused(location: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(1000))
    (inside / "link.bin").symlink_to(tmp_path / "w.bin")
    (inside / "linked").symlink_to(tmp_path)
    with pytest.raises(UnreadableModel, match="must lie in the model's folder"):
        calls(beside(inside, location), inside, SHAPE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"location": "none.bin"}, "no such file"),
        ({"location": "data"}, "must be a plain file"),
        ({"location": "data/w.bin", "offset": 9}, "it must hold 144 bytes from 9 on"),
        ({"location": "data/w.bin", "offset": 10**17}, "it must hold 144 bytes"),
        ({"location": "data/w.bin", "offset": -4}, "that are numbers"),
        ({"location": "data/w.bin", "length": 10**17}, "144 bytes; it has 1000"),
    ],
)
def test_data_that_is_not_there(given: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match=words):
        calls(beside(tmp_path, **given), tmp_path, SHAPE)


def test_an_exported_network(tmp_path: Path) -> None:
    """The file that onnx itself writes and reads back."""
    made = plain()
    onnx.save(made, tmp_path / "saved.onnx")
    trace = OnnxModel.open(str(tmp_path / "saved.onnx")).trace(SHAPE)
    assert only(trace.calls).operator().shape == (24, 60)


def test_sizes_follow_amounts_that_are_computed(tmp_path: Path) -> None:
    nodes = [
        node("Mul", ["one", "two"], ["n"]),
        node("Concat", ["zero", "n", "zero", "n"], ["p"], axis=0),
        node("Pad", ["x", "p"], ["q"], mode="reflect"),
        node("Unsqueeze", ["q", "one"], ["r"]),
        node("Conv", ["r", "w"], ["y"], name="basis", strides=[2]),
    ]
    tensors = {
        "zero": integers(0),
        "one": integers(1),
        "two": integers(2),
        "w": weight(3, 1, 4),
    }
    call = only(calls(model(nodes, (12,), tensors), tmp_path, (12,)))
    assert call.operator().geometry.input_shape == (1, 16)


def remembering() -> Any:
    """A convolution behind what is not computed, behind padding by computed amounts."""
    nodes = [
        node("Mul", ["one", "two"], ["n"]),
        node("Concat", ["zero", "n", "zero", "n"], ["p"], axis=0),
        node("Pad", ["x", "p"], ["q"]),
        node("Unsqueeze", ["q", "one"], ["r"]),
        node("LSTM", ["r", "w", "h"], ["s"], hidden_size=5),
        node("Squeeze", ["s", "one"], ["t"]),
        node("Conv", ["t", "k"], ["y"], name="behind"),
    ]
    tensors = {
        "w": weight(1, 20, 16),
        "zero": integers(0),
        "one": integers(1),
        "two": integers(2),
        "h": weight(1, 20, 5),
        "k": weight(2, 1, 3),
    }
    return model(nodes, (12,), tensors)


def test_sizes_follow_operations_that_are_not_computed(tmp_path: Path) -> None:
    call = only(calls(remembering(), tmp_path, (12,)))
    assert call.operator().geometry.input_shape == (1, 5)


def test_tensors_of_other_types_leave_sizes_as_they_are(tmp_path: Path) -> None:
    """Of an LSTM the last size is known without its weight."""
    made = remembering()
    made.graph.initializer[0].data_type = 71
    call = only(calls(made, tmp_path, (12,)))
    assert call.operator().geometry.input_shape == (1, 5)
