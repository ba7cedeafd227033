"""Files that are damaged or made to do harm: a line that names the file, no more."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from convspec.errors import ConvSpecError, UnreadableModel, UnsupportedLayer
from convspec.files.onnx_model import OnnxModel
from convspec.model.inputs import example_inputs
from convspec.model.running import run_recorded
from tests.files.onnx_models import integers, model, node, opened, value, weight

W = weight(2, 2, 3, 3)
SHAPE = (2, 5, 6)


def branch() -> Any:
    inside = [node("Conv", ["n", "w"], ["o"], name="conv", group=2)]
    return helper.make_graph(
        inside,
        "branch",
        [],
        [value("o", None)],
        [numpy_helper.from_array(weight(2, 1, 2, 2), "w")],
    )


def network() -> Any:
    """Some of everything that is read."""
    function = helper.make_function(
        "own",
        "Block",
        ["a", "k"],
        ["b"],
        [node("Conv", ["a", "k"], ["c"], pads=[1, 1, 1, 1]), node("Relu", ["c"], ["b"])],
        [helper.make_opsetid("", 22)],
    )
    zero = helper.make_tensor("z", TensorProto.INT8, (), [3])
    nodes = [
        node("Pad", ["x", "p"], ["q"], mode="reflect"),
        node("DequantizeLinear", ["i", "s", "z"], ["d"]),
        node("Conv", ["q", "d"], ["r"], name="first", strides=[1, 1]),
        node("BatchNormalization", ["r", "one", "one", "one", "one"], ["n"]),
        node("Block", ["n", "k"], ["m"], "block", domain="own"),
        node("If", ["c"], ["t"], "if", then_branch=branch(), else_branch=branch()),
        node("ConvTranspose", ["t", "u"], ["v"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Slice", ["v", "f", "l", "a"], ["w"]),
        node("Reshape", ["w", "h"], ["g"]),
        node("Gemm", ["g", "o"], ["y"]),
    ]
    tensors = {
        "p": integers(0, 0, 1, 1, 0, 0, 1, 1),
        "i": np.arange(36, dtype=np.int8).reshape(2, 2, 3, 3),
        "s": np.float32(0.5),
        "z": zero,
        "one": np.ones(2, dtype=np.float32),
        "k": W,
        "c": np.array(True),
        "u": weight(2, 2, 3, 3, seed=1),
        "f": integers(0),
        "l": integers(-1),
        "a": integers(2),
        "h": integers(1, -1),
        "o": weight(140, 3),
    }
    return model(nodes, SHAPE, tensors, functions=[function], domains=["own"])


def traced(path: Path, shape: Any = None) -> None:
    """Read a file as far as its operators; what is refused must be in a line."""
    said, trace = f"{path}", None
    try:
        trace = OnnxModel.open(path, max_bytes=2**22).trace(
            shape, linear=True, fold_batch_norm=True
        )
    except UnreadableModel as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said
    for call in trace.calls if trace is not None else ():
        try:
            call.operator()
        except ConvSpecError:  # of a row
            continue


def built(path: Path) -> None:
    """Make a module of a file; what is refused must be in a line."""
    said = f"{path}"
    try:
        module, shape = OnnxModel.open(path, max_bytes=2**22).module(None)
        run_recorded(module, example_inputs(module, shape))
    except (UnreadableModel, UnsupportedLayer) as error:
        said = str(error)
        if said.startswith("the model must run"):  # of numbers, not of the file
            said = f"{path}"
    assert str(path) in said
    assert "\n" not in said


def test_the_network_is_made_a_module(tmp_path: Path) -> None:
    module, shape = opened(network(), tmp_path).module(None)
    assert shape == SHAPE
    assert module(torch.zeros(1, *SHAPE)).shape == (1, 3)


def test_the_network_is_read(tmp_path: Path) -> None:
    trace = opened(network(), tmp_path).trace(None, linear=True, fold_batch_norm=True)
    assert [(call.name, call.type) for call in trace.calls] == [
        ("first", "Conv"),
        ("block/k", "Conv"),
        ("if/conv", "Conv"),
        ("u", "ConvTranspose"),
        ("o", "Gemm"),
    ]


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The bytes with bits turned, pieces taken out, doubled, or put elsewhere."""
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        at = draw.randrange(len(changed) or 1)
        end = min(len(changed), at + draw.randrange(1, 16))
        kind = draw.randrange(6)
        if kind == 0:
            changed[at:end] = changed[at:end][::-1]
        elif kind == 1:
            changed[at:end] = b""
        elif kind == 2:
            changed[at:at] = changed[at:end]
        elif kind == 3:
            changed[at : at + 1] = bytes([draw.choice([0, 1, 127, 128, 255])])
        elif len(changed) > at:
            changed[at] ^= 1 << draw.randrange(8)
    return bytes(changed)


def damage(count: int, seed: int, path: Path) -> None:
    draw, content = random.Random(seed), network().SerializeToString()
    file = path / "damaged.onnx"
    for _ in range(count):
        file.write_bytes(mutated(content, draw))
        start = time.perf_counter()
        traced(file)
        built(file)
        assert time.perf_counter() - start < 20


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files(seed: int, tmp_path: Path) -> None:
    damage(100, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(7))
def test_thousands_of_damaged_files(seed: int, tmp_path: Path) -> None:
    damage(1000, 100 + seed, tmp_path)


def test_truncated_files(tmp_path: Path) -> None:
    content, file = network().SerializeToString(), tmp_path / "short.onnx"
    for end in range(0, len(content), 29):
        file.write_bytes(content[:end])
        traced(file)
        built(file)


def conv(**given: Any) -> Any:
    return model([node("Conv", ["x", "w"], ["y"], "conv", **given)], SHAPE, {"w": W})


def transposed(**given: Any) -> Any:
    nodes = [node("ConvTranspose", ["x", "w"], ["y"], "conv", **given)]
    return model(nodes, SHAPE, {"w": W})


def dims(*sizes: int, data: bytes = b"") -> Any:
    made = conv()
    (tensor,) = made.graph.initializer
    del tensor.dims[:]
    tensor.dims.extend(sizes)
    tensor.raw_data = data or tensor.raw_data
    return made


def graph_of(*nodes: Any) -> Any:
    return model(list(nodes), SHAPE, {"w": W})


def cyclic(op: str, at: str, read: str) -> Any:
    nodes = [
        node(op, ["b"], ["a"], **({"pads": [0] * 8} if op == "Pad" else {})),
        node(op, ["a"], ["b"], **({"pads": [0] * 8} if op == "Pad" else {})),
        node("Conv", ["x", read] if at == "weight" else [read, "w"], ["y"]),
    ]
    return graph_of(*nodes)


ABSURD: dict[str, tuple[Any, str]] = {
    "stride 0": (conv(strides=[0, 1]), "strides of conv must be 2 numbers from 1"),
    "a stride too few": (conv(strides=[1]), "strides of conv must be 2 numbers"),
    "negative dilation": (conv(dilations=[1, -1]), "dilations of conv must be 2 numbers"),
    "a kernel": (conv(kernel_shape=[10**9, 3]), "kernel_shape of conv must be"),
    "pads": (conv(pads=[10**12] * 4), "pads of conv must be 4 numbers from 0"),
    "negative pads": (conv(pads=[-1, 0, 0, 0]), "pads of conv must be 4 numbers from 0"),
    "pads too few": (conv(pads=[1, 1]), "pads of conv must be 4 numbers from 0"),
    "groups that divide nothing": (conv(group=7), "must read 14 channels"),
    "no groups": (conv(group=0), "must read 0 channels"),
    "groups of outputs": (
        model(
            [node("Conv", ["x", "w"], ["y"], "conv", group=2)],
            SHAPE,
            {"w": weight(3, 1, 2, 2)},
        ),
        "groups must divide the output channels",
    ),
    "auto_pad": (conv(auto_pad="SAME"), "auto_pad of conv must be one of NOTSET"),
    "types of attributes": (conv(strides="two"), "strides of 'conv' must have the type"),
    "output padding": (
        transposed(output_padding=[3, 0]),
        "output_padding must be smaller than stride or dilation",
    ),
    "output shape": (transposed(output_shape=[3]), "output_shape of conv must have 2"),
    "padding that leaves nothing": (
        transposed(pads=[9, 9, 9, 9]),
        "output size must be at least 1",
    ),
    "a bias of another length": (
        model(
            [node("Conv", ["x", "w", "b"], ["y"], "conv")],
            SHAPE,
            {"w": W, "b": weight(3)},
        ),
        "the bias of conv must have shape",
    ),
    "dimensions that overflow": (dims(2**31, 2**31, 2**31, 2), "must be sizes"),
    "dimensions whose product is 0 mod 2^64": (dims(2**32, 2**32, 3, 3), "must be sizes"),
    "negative dimensions": (dims(-2, -2, 3, 3), "must be sizes"),
    "more than the data": (dims(10**5, 2, 3, 3), "must hold what its dimensions"),
    "less than the data": (dims(1, 2, 3, 3), "must hold what its dimensions"),
    "one value made twice": (
        graph_of(node("Relu", ["x"], ["y"]), node("Conv", ["x", "w"], ["y"])),
        "a value must be made once",
    ),
    "a weight made twice": (
        graph_of(node("Relu", ["x"], ["w"]), node("Conv", ["x", "w"], ["y"])),
        "a value must be made once",
    ),
    "a shape that fits not": (
        model(
            [node("Reshape", ["w", "s"], ["k"], "re"), node("Conv", ["x", "k"], ["y"])],
            SHAPE,
            {"w": W, "s": integers(5, 5, 1, 1)},
        ),
        "'re' must fit what it reads|infers no shapes",
    ),
}


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_models_are_refused(case: str, tmp_path: Path) -> None:
    made, words = ABSURD[case]
    with pytest.raises(UnreadableModel, match=words) as caught:
        opened(made, tmp_path).trace(None)
    assert "model.onnx: " in str(caught.value)
    assert "\n" not in str(caught.value)


CYCLES = [
    (op, at, read)
    for op in ("Identity", "Pad")
    for at in ("weight", "image")
    for read in "ab"
]


@pytest.mark.parametrize(("op", "at", "read"), CYCLES)
def test_circles_end(op: str, at: str, read: str, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(cyclic(op, at, read).SerializeToString())
    traced(file)


def test_long_chains_end(tmp_path: Path) -> None:
    """Of 3,000 operations that move a weight, read by convolutions on the way."""
    nodes = [
        node("Identity", [f"w{j}" if j else "w"], [f"w{j + 1}"]) for j in range(3000)
    ]
    nodes += [node("Conv", ["x", f"w{j + 1}"], [f"y{j}"]) for j in range(3000)]
    file = tmp_path / "model.onnx"
    made = model(nodes, SHAPE, {"w": W}, outputs=("y0",))
    file.write_bytes(made.SerializeToString())
    start = time.perf_counter()
    traced(file)
    assert time.perf_counter() - start < 20


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "no such file"),
    "a folder": (folder, "must be a plain file"),
    "a pipe": (pipe, "must be a plain file"),
    "empty": (lambda path: path.write_bytes(b""), "it holds none"),
    "text": (lambda path: path.write_text("once upon a time"), "must be an ONNX model"),
    "zeros": (lambda path: path.write_bytes(bytes(1000)), "must be an ONNX model"),
    "large": (lambda path: path.write_bytes(bytes(2**21)), "must fit max_bytes = 1 MiB"),
    "a name that is no text": (
        lambda path: path.write_bytes(
            conv().SerializeToString().replace(b"conv", b"co\xff\xfe")
        ),
        "must be an ONNX model|its graph must be valid",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_models(case: str, tmp_path: Path) -> None:
    make, words = FILES[case]
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises(UnreadableModel, match=words) as caught:
        OnnxModel.open(path, max_bytes=2**20)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_with_a_null() -> None:
    with pytest.raises(UnreadableModel, match="must be a file that can be read"):
        OnnxModel.open("model\0.onnx")


BOMB = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
from convspec.errors import UnreadableModel
from convspec.files.onnx_model import OnnxModel
from convspec.model.inputs import example_inputs
from convspec.model.running import run_recorded
from tests.resident import peak_bytes
for path in sys.argv[1:]:
    start = time.perf_counter()
    try:
        OnnxModel.open(path).trace(None)
    except UnreadableModel:
        pass
    peak = peak_bytes() >> 20
    print(path.rpartition("/")[2], peak, time.perf_counter() - start, sep=";")
"""


def sized(size: int, *nodes: Any, **tensors: Any) -> Any:
    """A model that reads a list of sizes, beside its image."""
    made = model([*nodes, node("Conv", ["x", "w"], ["y"])], SHAPE, {"w": W, **tensors})
    made.graph.input.append(value("s", [size], TensorProto.INT64))
    return made


BOMBS: dict[str, Any] = {
    "a tensor of a thousand million axes": sized(
        10**9, node("ConstantOfShape", ["s"], ["t"]), node("Relu", ["t"], ["r"])
    ),
    "one expanded to that": sized(10**9, node("Expand", ["x", "s"], ["t"])),
    "one reshaped to that": sized(10**9, node("Reshape", ["x", "s"], ["t"])),
    "slices from everywhere": sized(10**9, node("Slice", ["x", "s", "s"], ["t"])),
    "long lists joined": sized(
        1,
        node(
            "ConstantOfShape", ["many"], ["f"], value=numpy_helper.from_array(integers(0))
        ),
        node("Concat", ["f", "s"], ["t"], axis=0),
        many=integers(10**10),
    ),
    "a long range": sized(
        1,
        node("Range", ["zero", "many", "one"], ["t"]),
        node("ConstantOfShape", ["t"], ["r"]),
        zero=np.int64(0),
        one=np.int64(1),
        many=np.int64(10**10),
    ),
    "many parts": sized(
        1, node("Split", ["x"], [f"t{j}" for j in range(3)], num_outputs=10**9)
    ),
    "a list joined to itself": sized(
        1,
        *[node("Concat", [f"c{j}"] * 2, [f"c{j + 1}"], axis=0) for j in range(40)],
        c0=integers(1, 1),
    ),
    "many axes": sized(1, node("Unsqueeze", ["x", "axes"], ["t"]), axes=integers(2**62)),
    "much padding": sized(
        1,
        node("Pad", ["x", "p"], ["q"]),
        node("Conv", ["q", "w"], ["z"]),
        p=integers(0, 0, 2**40, 0, 0, 0, 0, 0),
    ),
    "a large tile": sized(
        1,
        node("Tile", ["s", "n"], ["t"]),
        node("ConstantOfShape", ["t"], ["r"]),
        n=integers(10**9),
    ),
}


def alone(*nodes: Any, **tensors: Any) -> Any:
    """A model of an image alone, whose output needs what the nodes make of it."""
    return model([*nodes, node("Sum", ["x", "t"], ["y"])], SHAPE, tensors)


LARGE: dict[str, Any] = {
    "a constant": alone(node("ConstantOfShape", ["s"], ["t"]), s=integers(10**10)),
    "a constant of many axes": alone(
        node("ConstantOfShape", ["s"], ["t"]), s=integers(*[2**40] * 30)
    ),
    "an expanded one": alone(
        node("Expand", ["x", "s"], ["t"]), s=integers(2**40, 2, 5, 6)
    ),
    "a number expanded": alone(
        node("Expand", ["n", "s"], ["e"]),
        node("Neg", ["e"], ["t"]),
        n=np.float32(1),
        s=integers(2**40),
    ),
    "a tile": alone(node("Tile", ["x", "s"], ["t"]), s=integers(1, 1, 2**30, 2**30)),
    "a range": alone(
        node("Range", ["a", "b", "c"], ["t"]),
        a=np.int64(0),
        b=np.int64(10**12),
        c=np.int64(1),
    ),
    "padding": alone(
        node("Pad", ["x", "p"], ["t"]), p=integers(0, 0, 2**40, 0, 0, 0, 0, 2**30)
    ),
    "copied edges": alone(
        node("Pad", ["x", "p"], ["t"], mode="edge"),
        p=integers(0, 0, 2**30, 0, 0, 0, 0, 2**30),
    ),
    "a join of itself": alone(
        *[node("Concat", [f"c{j}"] * 2, [f"c{j + 1}"], axis=0) for j in range(40)],
        node("Relu", ["c40"], ["t"]),
        c0=np.ones((1, 2), dtype=np.float32),
    ),
    "an image joined to itself": alone(
        node("Identity", ["x"], ["c0"]),
        *[node("Concat", [f"c{j}"] * 2, [f"c{j + 1}"], axis=2) for j in range(40)],
        node("Relu", ["c40"], ["t"]),
    ),
    "more pixels": alone(
        node("Resize", ["x", "", "s"], ["t"]),
        s=np.array([1, 1, 1e6, 1e6], dtype=np.float32),
    ),
    "smooth pixels": alone(
        node("Resize", ["x", "", "s"], ["t"], mode="cubic"),
        s=np.array([1, 1, 1e6, 1e6], dtype=np.float32),
    ),
    "a wide convolution": alone(
        node("Conv", ["x", "w"], ["t"], pads=[2**25, 2**25, 2**25, 2**25]), w=W
    ),
    "an uneven convolution": alone(
        node("Conv", ["x", "w"], ["t"], pads=[2**24, 2**24, 0, 0], strides=[2**24] * 2),
        w=W,
    ),
    "an uneven spread": alone(
        node(
            "ConvTranspose",
            ["x", "w"],
            ["t"],
            strides=[2**22, 2**22],
            pads=[2**23, 2**23, 2**22, 2**22],
        ),
        w=W,
    ),
    "uneven windows": alone(
        node(
            "MaxPool",
            ["x"],
            ["t"],
            kernel_shape=[2, 2],
            pads=[2**24, 2**24, 0, 0],
            strides=[2**24, 2**24],
        )
    ),
    "a spread convolution": alone(
        node("ConvTranspose", ["x", "w"], ["t"], strides=[2**22, 2**22]), w=W
    ),
    "a product of all": alone(
        node("Reshape", ["x", "u"], ["v"]),
        node("Expand", ["v", "s"], ["e"]),
        node("MatMul", ["e", "r"], ["t"]),
        u=integers(-1, 1),
        s=integers(60, 1),
        r=np.zeros((1, 10**7), dtype=np.float32),
    ),
    "all places": alone(
        node("Gather", ["x", "i"], ["g"], axis=1),
        *[
            node("Gather", [f"g{j}" if j else "g", "i"], [f"g{j + 1}"], axis=1)
            for j in range(6)
        ],
        node("Relu", ["g6"], ["t"]),
        i=np.zeros((1, 1000), dtype=np.int64),
    ),
}


def test_nothing_large_is_made(tmp_path: Path) -> None:
    """In a process of its own: within 1 GiB and seconds, whatever the sizes say."""
    files = BOMBS | LARGE
    for case, made in files.items():
        (tmp_path / case).write_bytes(made.SerializeToString())
    ran = subprocess.run(
        [sys.executable, "-c", BOMB, *(str(tmp_path / case) for case in files)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = [line.split(";") for line in ran.stdout.splitlines()]
    assert [case for case, _, _ in lines] == list(files)
    for case, peak, seconds in lines:
        assert int(peak) < 1024, case
        assert float(seconds) < 10, case
