"""ONNX's functions of single entries, by torch's operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from convspec.files.onnx_operators.operands import Operands, Reader, Run

__all__ = ["READERS"]

# single precision's neighbour of 1/6, as exporters write it
SIXTH = 1e-7


def _plain(function: Callable[..., Any]) -> Reader:
    """A function without arguments."""
    return lambda given: lambda x, *others: function(x)


def _leaky(given: Operands) -> Run:
    slope = given.node.number("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, slope)


def _prelu(given: Operands) -> Run:
    """A slope for all entries, or for each channel."""
    shape, rank = given.shape(1), given.rank()
    padded = (1,) * (rank - len(shape)) + shape
    others = [size for axis, size in enumerate(padded) if axis != 1]
    if len(shape) > rank or any(size != 1 for size in others):
        raise given.refused("its slopes must be one for each channel")
    return lambda x, slope: functional.prelu(x, slope.reshape(-1))


def _elu(given: Operands) -> Run:
    alpha = given.node.number("alpha", 1.0)
    return lambda x: functional.elu(x, alpha)


def _selu(given: Operands) -> Run:
    """``gamma x`` above 0, ``gamma alpha (exp(x) - 1)`` below."""
    alpha = given.node.number("alpha", 1.67326319217681884765625)
    scale = given.node.number("gamma", 1.05070102214813232421875)
    return lambda x: torch.ops.aten.elu(x, alpha, scale, 1.0)


def _celu(given: Operands) -> Run:
    alpha = given.node.number("alpha", 1.0)
    return lambda x: functional.celu(x, alpha)


def _gelu(given: Operands) -> Run:
    how = given.node.text("approximate", "none")
    return lambda x: functional.gelu(x, approximate=how)


def _hard_sigmoid(given: Operands) -> Run:
    """``clamp(alpha x + beta, 0, 1)``; alpha = 1/6, however it is rounded, is torch's."""
    alpha, beta = given.node.number("alpha", 0.2), given.node.number("beta", 0.5)
    if abs(alpha - 1 / 6) < SIXTH and beta == 0.5:
        return functional.hardsigmoid
    return lambda x: torch.clamp(alpha * x + beta, 0.0, 1.0)


def _swish(given: Operands) -> Run:
    alpha = given.node.number("alpha", 1.0)
    if alpha == 1:
        return functional.silu
    return lambda x: x * torch.sigmoid(alpha * x)


def _clip(given: Operands) -> Run:
    low = given.number("min", 1, -math.inf)
    high = given.number("max", 2, math.inf)
    least = None if low == -math.inf else low
    most = None if high == math.inf else high
    if least is None and most is None:
        return lambda x, *ends: x
    if not given.value(0).is_floating_point():
        least, most = (None if end is None else int(end) for end in (least, most))
    return lambda x, *ends: torch.clamp(x, least, most)


def _thresholded(given: Operands) -> Run:
    alpha = given.node.number("alpha", 1.0)
    return lambda x: functional.threshold(x, alpha, 0.0)


def _shrink(given: Operands) -> Run:
    """``x + bias`` below -lambd, ``x - bias`` above lambd, 0 between."""
    reach, bias = given.node.number("lambd", 0.5), given.node.number("bias", 0.0)
    if bias == reach:
        return lambda x: functional.softshrink(x, reach)
    if bias == 0:
        return lambda x: functional.hardshrink(x, reach)
    raise given.refused(f"with bias {bias:g} and lambd {reach:g} it jumps")


def _cast(given: Operands) -> Run:
    """Another type of numbers that are known, or of data that is rounded to integers."""
    return _converted(given, given.dtype("to", 1))


def _cast_like(given: Operands) -> Run:
    return _converted(given, given.take(1).dtype)


def _converted(given: Operands, target: torch.dtype) -> Run:
    """Data of floating point stays of the one type that it has."""
    plain = given.value(0).is_floating_point() and target.is_floating_point
    if 0 in given.data and plain:
        return lambda x, *others: x
    return lambda x, *others: x.to(target)


def _dropout(given: Operands) -> Run:
    """Nothing, as in evaluation mode."""
    if given.has(2) and any(given.numbers(2)):
        raise given.refused("it draws random numbers, as in training mode")
    return lambda x, *others: x


def _same(x: Tensor) -> Tensor:
    return x


READERS: dict[str, Reader] = {
    "Abs": _plain(torch.abs),
    "Atan": _plain(torch.atan),
    "Cast": _cast,
    "CastLike": _cast_like,
    "Ceil": _plain(torch.ceil),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": _plain(torch.cos),
    "Dropout": _dropout,
    "Elu": _elu,
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Floor": _plain(torch.floor),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(functional.hardswish),
    "Identity": _plain(_same),
    "LeakyRelu": _leaky,
    "Log": _plain(torch.log),
    "Mish": _plain(functional.mish),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "PRelu": _prelu,
    "Reciprocal": _plain(torch.reciprocal),
    "Relu": _plain(functional.relu),
    "Round": _plain(torch.round),
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": _plain(torch.sigmoid),
    "Sign": _plain(torch.sign),
    "Sin": _plain(torch.sin),
    "Softplus": _plain(functional.softplus),
    "Softsign": _plain(functional.softsign),
    "Sqrt": _plain(torch.sqrt),
    "Swish": _swish,
    "Tanh": _plain(torch.tanh),
    "ThresholdedRelu": _thresholded,
}
