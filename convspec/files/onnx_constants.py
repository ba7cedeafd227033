"""The tensors of an ONNX model that do not depend on its input.

They are initializers, constants, and what a few operations make of those: moving,
converting and dequantizing. Nothing else is computed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convspec.errors import UnreadableModel
from convspec.files.onnx_program import Node, Program
from convspec.files.onnx_tensors import TYPES, Folder, type_name
from convspec.limits import readable_bytes

__all__ = ["Constants"]

MOST_STEPS = 64  # from a tensor of the file to what is read
DEEPEST = 4  # that shapes of shapes are looked for
PLAIN = ("value_float", "value_floats", "value_int", "value_ints")


class Constants:
    """Looks up tensors by the names of values."""

    def __init__(self, program: Program, folder: Folder) -> None:
        self.tensors = program.tensors
        self.makers = {name: n for n in program.nodes for name in n.outputs[:1] if name}
        self.folder = folder
        self._known: dict[str, Tensor | None] = {}

    def steps(self, name: str) -> tuple[str, list[Node]] | None:
        """Where a value comes from: a tensor of the file, and what is done to it.

        None if it is computed. The operations are in order.
        """
        nodes: list[Node] = []
        while name not in self.tensors:
            node = self.makers.get(name)
            if node is None or len(nodes) >= MOST_STEPS or node.domain:
                return None
            if node.op == "Constant" and any(each in node.attributes for each in PLAIN):
                return name, nodes[::-1]
            if node.op not in STEPS:
                return None
            nodes.append(node)
            name = node.input(0)
        return name, nodes[::-1]

    def source(self, name: str) -> str:
        """Name of the tensor of the file that a value is made of; empty if of none."""
        found = self.steps(name)
        return "" if found is None else found[0]

    def type_of(self, name: str) -> str:
        """Name of the type of the tensor of the file that a value is made of."""
        source = self.source(name)
        known = source in self.tensors
        return type_name(self.tensors[source].data_type) if known else "FLOAT"

    def tensor(self, name: str, depth: int = 0) -> Tensor | None:
        """The numbers of a value; None if they are computed, or of an unknown type.

        Raises:
            UnreadableModel: If what is stored or done cannot be.
        """
        if name in self._known:
            return self._known[name]
        found = self.steps(name) if name and depth <= DEEPEST else None
        if found is None:
            return None
        value = self._stored(found[0])
        for node in found[1]:
            if value is None:
                break
            value = self._done(node, value, depth)
        self._known[name] = value
        return value

    def integers(self, name: str, depth: int = 0) -> list[int] | None:
        """The numbers of a value of integers, few of them; None if it is none."""
        value = self.tensor(name, depth)
        plain = value is not None and not value.is_floating_point()
        if value is None or not plain or value.ndim > 1 or value.numel() > MOST_STEPS:
            return None
        return [int(number) for number in value.reshape(-1).tolist()]

    def _stored(self, name: str) -> Tensor | None:
        if name in self.tensors:
            return self.folder.tensor(self.tensors[name])
        attributes = self.makers[name].attributes
        kind = next(each for each in PLAIN if each in attributes)
        field = {"value_float": "f", "value_floats": "floats", "value_int": "i"}
        value = getattr(attributes[kind], field.get(kind, "ints"))
        value = list(value) if kind.endswith("s") else value
        dtype = torch.float32 if "float" in kind else torch.int64
        return torch.tensor(value, dtype=dtype)

    def _done(self, node: Node, value: Tensor, depth: int) -> Tensor | None:
        """What an operation makes of a value."""
        if value.numel() * 8 > 4 * self.folder.max_bytes:
            raise UnreadableModel(
                f"{node.path or node.op!r} must make a tensor that fits max_bytes = "
                f"{readable_bytes(self.folder.max_bytes)}; it would be larger; raise "
                "max_bytes"
            )
        try:
            return STEPS[node.op](self, node, value, depth + 1)
        except (RuntimeError, IndexError, ValueError, TypeError) as error:
            words = " ".join(str(error).split())[:100]
            raise UnreadableModel(
                f"{node.path or node.op!r} must fit what it reads, of shape "
                f"{tuple(value.shape)}; {words}; export the model again"
            ) from error


def _same(constants: Constants, node: Node, value: Tensor, depth: int) -> Tensor:
    return value


def _transposed(constants: Constants, node: Node, value: Tensor, depth: int) -> Tensor:
    order = node.integers("perm")
    return value.permute(order or tuple(range(value.ndim))[::-1])


def _cast(constants: Constants, node: Node, value: Tensor, depth: int) -> Tensor | None:
    number = node.integer("to", 1)
    dtype = TYPES[number][3] if number in TYPES else None
    if dtype is None or not (dtype.is_floating_point or dtype == torch.int64):
        return None
    return value.to(dtype)


def _reshaped(
    constants: Constants, node: Node, value: Tensor, depth: int
) -> Tensor | None:
    wanted = node.integers("shape") or constants.integers(node.input(1), depth)
    if wanted is None:
        return None
    if not node.integer("allowzero", 0):
        wanted = [value.shape[j] if size == 0 else size for j, size in enumerate(wanted)]
    return value.reshape(tuple(wanted))


def _axes(constants: Constants, node: Node, depth: int) -> list[int] | None:
    own = node.integers("axes")
    return constants.integers(node.input(1), depth) if own is None else list(own)


def _unsqueezed(
    constants: Constants, node: Node, value: Tensor, depth: int
) -> Tensor | None:
    axes = _axes(constants, node, depth)
    if axes is None:
        return None
    rank = value.ndim + len(axes)
    if rank > MOST_STEPS or any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {axes[:8]} are beyond rank {rank}")
    for axis in sorted(axis % rank for axis in axes):
        value = value.unsqueeze(axis)
    return value


def _squeezed(
    constants: Constants, node: Node, value: Tensor, depth: int
) -> Tensor | None:
    axes = _axes(constants, node, depth)
    if axes is None and node.input(1):
        return None
    if axes is None:
        return value.squeeze()
    places = {axis % value.ndim for axis in axes if -value.ndim <= axis < value.ndim}
    if len(places) < len(axes) or any(value.shape[place] != 1 for place in places):
        raise ValueError(f"axes {axes[:8]} are not of size 1")
    return value.squeeze(tuple(places))


def _dequantized(
    constants: Constants, node: Node, value: Tensor, depth: int
) -> Tensor | None:
    """``(x - zero) scale``, of the type of the scale; per tensor or along an axis."""
    scale = constants.tensor(node.input(1), depth)
    zero = constants.tensor(node.input(2), depth) if node.input(2) else None
    blocks = node.integer("block_size", 0) or "output_dtype" in node.attributes
    if scale is None or (zero is None and node.input(2)) or blocks:
        return None
    if value.is_floating_point() or not scale.is_floating_point() or scale.ndim > 1:
        return None
    shape = [1] * value.ndim
    if scale.numel() > 1:
        axis = node.integer("axis", 1)
        if not -value.ndim <= axis < value.ndim:
            raise ValueError(f"axis {axis} is beyond rank {value.ndim}")
        shape[axis] = scale.numel()
        if value.shape[axis] != scale.numel():
            raise ValueError(f"{scale.numel()} scales do not fit axis {axis}")
    wide = value.to(torch.int32)
    if zero is not None:
        wide = wide - zero.to(torch.int32).reshape(shape)
    return wide.to(scale.dtype) * scale.reshape(shape)


Step = Callable[[Constants, Node, Tensor, int], "Tensor | None"]
STEPS: dict[str, Step] = {
    "Identity": _same,
    "Transpose": _transposed,
    "Cast": _cast,
    "Reshape": _reshaped,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "DequantizeLinear": _dequantized,
}
