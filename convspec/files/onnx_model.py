"""Models in ONNX files: what they convolve, read from the file and never run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convspec.errors import UnreadableModel, UnsupportedLayer
from convspec.files.onnx_assembly import network_of
from convspec.files.onnx_beside import Beside
from convspec.files.onnx_constants import Constants
from convspec.files.onnx_convolutions import (
    convolves,
    multiplies,
    read_convolution,
    read_product,
    weight_name,
)
from convspec.files.onnx_file import Proto, answered, bytes_of, messages_of, model_of
from convspec.files.onnx_program import Node
from convspec.files.onnx_shapes import Shape, shapes_of
from convspec.files.onnx_sizes import follow_sizes
from convspec.files.onnx_sizes_computed import shapes_computed
from convspec.files.onnx_tensors import Folder, require_sizes
from convspec.files.onnx_unfolding import unfolded
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.model.convolutions import Convolution
from convspec.model.inputs import plain_shape
from convspec.model.sites import Call
from convspec.model.source import ReadModel
from convspec.model.trace import Trace

__all__ = ["OnnxModel"]

# operations with weights that are in no row, or not always
WEIGHTED = frozenset(
    {
        "Attention",
        "BatchNormalization",
        "Einsum",
        "GRU",
        "Gather",
        "Gemm",
        "GroupNormalization",
        "InstanceNormalization",
        "LSTM",
        "LayerNormalization",
        "MatMul",
        "MatMulInteger",
        "PRelu",
        "QLinearMatMul",
        "RMSNormalization",
        "RNN",
    }
)


class OnnxModel(ReadModel):
    """A model in an ONNX file.

    Everything in the file is data: no operation of it is run.
    """

    def __init__(self, path: Path, model: Proto, max_bytes: float) -> None:
        self.path = path
        self.model = model
        self.folder = Folder(path, max_bytes)

    @classmethod
    def open(cls, path: str | Path, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> OnnxModel:
        """The model in a file.

        Args:
            path: The file; large tensors may lie in files beside it.
            max_bytes: The most that it, or a file beside it, may hold.

        Raises:
            MissingExtra: If onnx is not installed.
            UnreadableModel: If it is no ONNX model, or larger than max_bytes.
        """
        path, max_bytes = Path(path), byte_limit(max_bytes)
        with _named(path):
            model = model_of(bytes_of(path, max_bytes))
            with answered("its tensors must be valid"):
                for message in messages_of(model):
                    if message.DESCRIPTOR.name == "TensorProto":
                        require_sizes(message)
        return cls(path, model, max_bytes)

    @property
    def title(self) -> str:
        """The name of its file."""
        return self.path.name

    def trace(
        self,
        input_shape: tuple[Any, ...] | None,
        *,
        linear: bool = False,
        fold_batch_norm: bool = False,
    ) -> Trace:
        """What it calls on an input of this shape.

        Args:
            input_shape: Without the batch, or one shape for each input; None for what
                the file says.
            linear: Whether products with weight matrices are calls, too.
            fold_batch_norm: Whether batch norm behind a convolution is a part of it.

        Raises:
            UnreadableModel: If the shape is missing, or fits nothing in the file.
        """
        shape = None if input_shape is None else plain_shape(input_shape)
        with _named(self.path):
            with answered("its graph must be valid"):
                program = unfolded(self.model)
            follow_sizes(program, self.folder)
            shapes = shapes_of(self.model, program, shape)
            read = [node.input(0) for node in program.nodes if convolves(node)]
            if not all(_whole(shapes, name) for name in read):
                more = shapes_computed(self.model, program, self.folder)
                shapes |= {
                    name: s for name, s in more.items() if not _whole(shapes, name)
                }
            constants = Constants(program, self.folder)
            beside = Beside(program, constants, shapes)
            found = list[tuple[Node, Convolution]]()
            done = set[int]()
            for node in program.nodes:
                conv, norm = None, None
                if linear and multiplies(node, constants):
                    conv = read_product(node, constants)
                elif convolves(node):
                    conv = read_convolution(node, constants, shapes)
                    if conv.weight is not None:
                        conv, norm = beside.whole(conv, node, fold_batch_norm)
                if conv is not None:
                    found.append((node, conv))
                    done |= {id(node), id(norm)}
            others = [node for node in program.nodes if id(node) not in done]
        return Trace(_calls(found, constants), [], _notes(others, constants))

    def module(
        self, input_shape: tuple[Any, ...] | None
    ) -> tuple[nn.Module, tuple[int, ...]]:
        """A module that computes the same, and the shape of its input.

        Args:
            input_shape: Without the batch; None for what the file says.

        Raises:
            UnreadableModel: If the shape is missing or fits nothing, or if there is
                more than one input.
            UnsupportedLayer: If an operation is not computed.
        """
        with _named(self.path):
            with answered("its graph must be valid"):
                program = unfolded(self.model)
            with answered("its inputs and their types must be valid"):
                return network_of(self.model, program, self.folder, input_shape)


def _whole(shapes: Mapping[str, Shape], name: str) -> bool:
    """Whether the shape of a value is known."""
    return None not in shapes.get(name, (None,))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the name of the file in front of what is said of it, in one line."""
    try:
        yield
    except (UnreadableModel, UnsupportedLayer) as error:
        words = " ".join(f"{path}: {error}".split())
        raise type(error)(words) from error


def _calls(found: Sequence[tuple[Node, Convolution]], constants: Constants) -> list[Call]:
    """Every kernel on every size once, in order; kernels of one name told apart."""
    calls: dict[object, Call] = {}
    kernels: dict[object, int] = {}
    names: dict[str, list[int]] = {}
    for node, conv in found:
        name = _name(node, constants)
        given = replace(conv.given, padding=0)
        kernel = (name, node.op, _digest(conv), given)
        parts = conv.given, conv.input_size, conv.fused, conv.outside, conv.unknown
        if (kernel, parts) in calls:
            calls[kernel, parts].count += 1
            continue
        number = kernels.setdefault(kernel, len(calls))
        calls[kernel, parts] = Call(name, node.op, number, conv)
        if number not in names.setdefault(name, []):
            names[name].append(number)
    for call in calls.values():
        some = names[call.name]
        if len(some) > 1:
            call.name = f"{call.name} #{some.index(call.kernel) + 1}"
    return list(calls.values())


def _digest(conv: Convolution) -> object:
    """What is the same for equal weights."""
    if conv.weight is None:
        return None
    weight = conv.weight.contiguous()
    content = weight.reshape(-1).view(torch.uint8).numpy().data
    return weight.dtype, tuple(weight.shape), hashlib.sha256(content).digest()


def _name(node: Node, constants: Constants) -> str:
    """The name of an operation, of its weight, or of what it makes."""
    if node.path and not node.path.endswith("/"):
        return node.path
    weight = constants.source(weight_name(node))
    for ending in (".weight", "_weight"):
        weight = weight.removesuffix(ending)
    made = next(filter(None, node.outputs), "")
    return f"{node.path}{weight or made or node.op}"


def _notes(nodes: Sequence[Node], constants: Constants) -> list[str]:
    """A sentence on operations with weights that are in no row, by type and number."""
    kinds = Counter(node.op for node in nodes if _is_weighted(node, constants))
    if not kinds:
        return []
    return ["not analysed: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items())]


def _is_weighted(node: Node, constants: Constants) -> bool:
    """Whether an operation has numbers of the file beside an input that is computed."""
    if not node.domain and node.op not in WEIGHTED:
        return False
    known = [bool(constants.source(name)) for name in node.inputs if name]
    return any(known) and not all(known)
