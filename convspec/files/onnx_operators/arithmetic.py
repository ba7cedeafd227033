"""ONNX's arithmetic of several tensors, and its comparisons."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from convspec.files.onnx_operators.operands import Operands, Reader, Run

__all__ = ["READERS"]


def _plain(function: Callable[..., Any]) -> Reader:
    """A function of two tensors."""
    return lambda given: lambda a, b: function(a, b)


def _reduced(function: Callable[..., Any]) -> Reader:
    """A function of two tensors, of as many as there are."""
    return lambda given: lambda *some: reduce(function, some)


def _mean(given: Operands) -> Run:
    count = len(given.values)
    return lambda *some: reduce(torch.add, some) / count


def _quotient(given: Operands) -> Run:
    """``a / b``; of integers without what is left."""
    whole = not given.value(0).is_floating_point()
    return lambda a, b: torch.div(a, b, rounding_mode="trunc" if whole else None)


def _remainder(given: Operands) -> Run:
    """With the sign of the divisor, or of the dividend as in C."""
    return torch.fmod if given.node.integer("fmod", 0) else torch.remainder


def _power(given: Operands) -> Run:
    """``x ^ p``, p one number; of integers the type stays that of x."""
    if 1 in given.data:
        raise given.refused("its exponent depends on the model's input")
    exponents = set(given.numbers(1))
    if len(exponents) != 1:
        raise given.refused("its exponents must be all the same")
    order = exponents.pop()
    if not given.value(0).is_floating_point():
        if order < 0 or not order.is_integer():
            raise given.refused(f"integers to the power of {order:g} are none")
        return lambda x, *others: torch.pow(x, int(order))
    if order == 1:
        return lambda x, *others: x
    shape = given.broadcast(given.shape(0), given.shape(1))
    if shape != given.shape(0):
        raise given.refused("its exponents have more axes than what they are of")
    return lambda x, *others: torch.pow(x, order)


def _matmul(given: Operands) -> Run:
    return torch.matmul


def _gemm(given: Operands) -> Run:
    """``alpha A B + beta C``, A and B transposed where it says so."""
    node = given.node
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    first, second = node.integer("transA", 0), node.integer("transB", 0)
    columns = given.shape(1)[0 if second else -1]
    offset = not given.has(2) or given.shape(2) in ((columns,), (1, columns))
    known = given.data.isdisjoint((1, 2))
    if alpha == 1 and beta == 1 and not first and offset and known:
        return lambda a, b, c=None: functional.linear(
            a, b if second else b.mT, None if c is None else c.reshape(-1)
        )

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = torch.matmul(a.mT if first else a, b.mT if second else b)
        if alpha != 1:
            product = product * alpha
        if c is None or beta == 0:
            return product
        return product + (c if beta == 1 else c * beta)

    return run


def _einsum(given: Operands) -> Run:
    equation = given.node.text("equation", "")
    return lambda *some: torch.einsum(equation, *some)


def _where(given: Operands) -> Run:
    return torch.where


READERS: dict[str, Reader] = {
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "Div": _quotient,
    "Einsum": _einsum,
    "Equal": _plain(torch.eq),
    "Gemm": _gemm,
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "MatMul": _matmul,
    "Max": _reduced(torch.maximum),
    "Mean": _mean,
    "Min": _reduced(torch.minimum),
    "Mod": _remainder,
    "Mul": _plain(torch.mul),
    "Or": _plain(torch.logical_or),
    "Pow": _power,
    "Sub": _plain(torch.sub),
    "Sum": _reduced(torch.add),
    "Where": _where,
}
