"""The normal form of a composed map: numbers near 1 in every part, in double precision.

Scaling by powers of two is exact, so that ``A = 2^e B`` for the map B that is returned;
what underflows in B is below :data:`convspec.rounding.scaling.UNDERFLOW`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from convspec.operators.composed.factors import Factors
from convspec.operators.composed.on_axes import OnAxes
from convspec.operators.composed.product import Product
from convspec.operators.composed.rows import Rows
from convspec.operators.composed.stacked import Beside, Stacked
from convspec.operators.composed.sum import Sum
from convspec.operators.linear_map import LinearMap, Number
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator
from convspec.rounding.scaling import ldexp, real_parts

__all__ = ["normal_form", "plain_number"]

# of a map of zeros: below that of any other
ZERO = -(10**6)


def normal_form(op: LinearMap) -> tuple[LinearMap, int]:
    """``2^-e A`` in float64 or complex128 with numbers near 1, without gradients, and e.

    Of a map of zeros e is far below what a float64 may be scaled by.
    """
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    return _scaled(op.to(wide))


def _scaled(op: LinearMap) -> tuple[LinearMap, int]:
    if isinstance(op, ConvOperator):
        work, exponent = normalised(op, torch.float64)
        return work, exponent if bool(work.weight.any()) else ZERO
    if isinstance(op, Product):
        found = [_scaled(part) for part in op.parts]
        return Product(tuple(part for part, _ in found)), sum(e for _, e in found)
    if isinstance(op, Sum):
        return _of_sum(op)
    if isinstance(op, Stacked | Beside):
        found = [_scaled(part) for part in op.parts]
        most = max(e for _, e in found)
        parts = tuple(_times(part, e - most) for part, e in found)
        return replace(op, parts=parts), most
    if isinstance(op, Factors):
        factor, exponent = _near_1(op.factor)
        return replace(op, factor=factor), exponent
    if isinstance(op, Rows):
        matrix, exponent = _near_1(op.matrix)
        return replace(op, matrix=matrix), exponent
    if isinstance(op, OnAxes):
        scaled = {axis: _near_1(matrix) for axis, matrix in op.matrices.items()}
        matrices = {axis: matrix for axis, (matrix, _) in scaled.items()}
        return replace(op, matrices=matrices), sum(e for _, e in scaled.values())
    return op, 0


def _of_sum(op: Sum) -> tuple[LinearMap, int]:
    found = [(plain_number(c), *_scaled(part)) for c, part in op.terms]
    exponents = [e + _exponent(c) for c, _, e in found]
    most = max(exponents)
    terms = tuple((_shifted(c, max(e - most, -3000)), part) for c, part, e in found)
    return Sum(terms), most


def _times(op: LinearMap, exponent: int) -> LinearMap:
    """``2^e A`` for e at most 0."""
    return op if exponent == 0 else Sum(((math.ldexp(1.0, max(exponent, -3000)), op),))


def _near_1(values: Tensor) -> tuple[Tensor, int]:
    values = values.detach()
    largest = float(real_parts(values).abs().max())
    exponent = math.frexp(largest)[1] if largest else ZERO
    return (ldexp(values, -exponent) if largest else values), exponent


def plain_number(c: Number) -> float | complex:
    """A factor as Python's number."""
    found = c.detach().item() if isinstance(c, Tensor) else c
    return complex(found) if isinstance(found, complex) else float(found)


def _exponent(c: float | complex) -> int:
    largest = max(abs(c.real), abs(c.imag))
    return math.frexp(largest)[1] if largest else ZERO


def _shifted(c: float | complex, exponent: int) -> float | complex:
    if isinstance(c, complex):
        return complex(math.ldexp(c.real, exponent), math.ldexp(c.imag, exponent))
    return math.ldexp(c, exponent)
