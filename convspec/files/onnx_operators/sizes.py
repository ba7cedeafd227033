"""ONNX's operations that make numbers of shapes and of attributes alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.files.onnx_operators.operands import Operands, Reader, Run

__all__ = ["READERS"]


def _shape(given: Operands) -> Run:
    """The shape of a tensor, or a part of it."""
    found = list(given.take(0).shape)
    first, last = given.node.integer("start", 0), given.node.integer("end", len(found))
    part = found[slice(first, last)]
    return lambda *others: torch.tensor(part, dtype=torch.int64, device="cpu")


def _size(given: Operands) -> Run:
    count = given.take(0).numel()
    return lambda *others: torch.tensor(count, dtype=torch.int64, device="cpu")


def _constant(given: Operands) -> Run:
    """Numbers that are attributes; tensors are constants of the file by themselves."""
    node = given.node
    fields = {"value_float": "f", "value_floats": "floats", "value_int": "i"}
    for name in ("value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = getattr(node.attributes[name], fields.get(name, "ints"))
            value = list(value) if name.endswith("s") else value
            dtype = torch.float32 if "float" in name else torch.int64
            return lambda: torch.tensor(value, dtype=dtype, device="cpu")
    raise given.refused("of its attributes none is read")


def _filled(given: Operands) -> Run:
    """One number, in every place of a shape."""
    shape = given.integers(0)
    given.require_entries(math.prod(map(float, shape)))
    attribute = given.node.attributes.get("value")
    value, dtype = 0.0, torch.float32
    if attribute is not None:
        tensor = given.stored(attribute.t)
        if tensor.numel() != 1:
            raise given.refused("its value must be one number")
        value, dtype = tensor.reshape(-1)[0].item(), tensor.dtype
    return lambda *others: torch.full(shape, value, dtype=dtype, device="cpu")


def _range(given: Operands) -> Run:
    dtype = given.value(0).dtype
    first, last, step = (given.numbers(place)[0] for place in range(3))
    if step == 0:
        raise given.refused("its step is 0")
    count = max(0, math.ceil((last - first) / step))
    given.require_entries(count)

    def run(*ends: Tensor) -> Tensor:
        places = torch.arange(count, dtype=torch.float64, device="cpu")
        return (first + step * places).to(dtype)

    return run


READERS: dict[str, Reader] = {
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
}
