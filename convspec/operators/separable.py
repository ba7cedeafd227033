"""Kernels that are products of vectors along axes: A is a Kronecker product then.

With ``K_t = C_{t'} v_{t_j}`` for an axis j, t' the taps of the others, and any padding,

    A = (sum_t v_t S_j[t]) (x) (sum_{t'} C_{t'} (x) S[t']),

up to the order of rows and columns: a matrix of the axis alone and a convolution on the
others. Their singular values multiply. Several axes, and channels where none is left,
split off one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.rounding.directed import gamma, up

__all__ = ["Separation", "may_separate", "separate"]

# times the largest entry of an output channel is above the tolerance, or it says nothing
PIVOT = 1e-2


@dataclass(frozen=True)
class Separation:
    """A kernel near ``rest (x) vectors[0] (x) ...``.

    Attributes:
        axes: The axes that split off, ascending.
        vectors: Along each of them, (k_j,); float64 or complex128.
        rest: (out channels, in channels, *kernel), with one tap on these axes.
        distance: Bound on the norm of the operator of the kernel less the product.
    """

    axes: tuple[int, ...]
    vectors: tuple[Tensor, ...]
    rest: Tensor
    distance: float


def separate(
    weight: Tensor, most_reads: Sequence[int], tolerance: float
) -> Separation | None:
    """The axes along which a kernel is a product, up to a tolerance, and the factors.

    They are lines through its largest entry: exact where the kernel is a product of
    numbers that divide without rounding. The operator of the difference E has the norm
    ``||sum_t E_t (x) S[t]|| <= sum_t ||E_t||_F prod_j max_t ||S_j[t]||``.

    Args:
        weight: (out channels, in channels, *kernel), not all zero.
        most_reads: For each axis ``max_t ||S_j[t]||^2``.
        tolerance: Largest entry of E relative to the kernel's, for each axis.

    Returns:
        None where no axis splits off, or where there is nothing else than one axis.

    >>> laplace = torch.tensor([1.0, -2.0, 1.0], dtype=torch.float64)
    >>> found = separate(torch.outer(laplace, laplace)[None, None], (1, 1), 1e-15)
    >>> found.axes, found.rest.tolist(), found.vectors[0].tolist()
    ((0, 1), [[[[4.0]]]], [-0.5, 1.0, -0.5])
    """
    sides = [length for length in weight.shape[2:] if length > 1]
    if not sides or (len(sides) == 1 and weight.shape[:2].numel() == 1):
        return None
    wide = weight.to(torch.complex128 if weight.is_complex() else torch.float64).cpu()
    largest = int(wide.abs().argmax())
    pivot = tuple(int(place) for place in np.unravel_index(largest, wide.shape))
    top, lines = wide[pivot], {}
    for j in range(wide.ndim - 2):
        if wide.shape[2 + j] > 1:
            line = _line(wide, pivot, 2 + j) / top
            if _is_product(wide, pivot, line, 2 + j, tolerance * float(top.abs())):
                lines[j] = line
    if not lines:
        return None
    rest = wide
    for j in lines:
        rest = rest.narrow(2 + j, pivot[2 + j], 1)
    distance = _distance(wide, _product(rest, lines), most_reads)
    rest = rest.to(weight)  # as exact: these are entries of the weight
    return Separation(tuple(lines), tuple(lines.values()), rest, distance)


def may_separate(weights: Tensor, tolerance: float) -> Tensor:
    """Which kernels an axis may split off, by one output channel of each; (b,).

    Where a kernel is P + E, P a product and no entry of E above e, the same holds of the
    channel. With the lines through its largest entry p, at least e / PIVOT, its entries
    differ from products of lines by ``4 e`` and terms in e^2 / p.

    Args:
        weights: (b, out channels, in channels, *kernel), none all zero.
        tolerance: As for :func:`separate`.
    """
    wide = torch.complex128 if weights.is_complex() else torch.float64
    which = torch.arange(len(weights))
    allowed = tolerance * _largest(weights)  # (b,)
    sample = weights[:, 0].to(wide).cpu()  # (b, in channels, *kernel)
    sizes = sample.abs().flatten(1)
    place = sizes.argmax(dim=1)
    found = sizes[which, place] * PIVOT <= allowed
    order = torch.arange(sizes.shape[1]).reshape(sample.shape[1:])
    for dim in range(2, sample.ndim):
        taps = sample.shape[dim]
        if taps == 1:
            continue
        planes = sample.movedim(dim, -1).reshape(len(sample), -1, taps)
        at = order.movedim(dim - 1, -1).flatten().argsort()[place]
        column, pivot = planes[which, :, at % taps], planes[which, at // taps, at % taps]
        line = planes[which, at // taps] / torch.where(pivot == 0, 1, pivot)[:, None]
        off = (planes - column[:, :, None] * line[:, None]).abs().flatten(1).amax(dim=1)
        found |= off <= 8 * allowed
    return found


def _largest(weights: Tensor) -> Tensor:
    """The largest entry of each kernel; (b,), float64."""
    return weights.abs().flatten(1).amax(dim=1).double().cpu()


def _line(weight: Tensor, pivot: tuple[int, ...], dim: int) -> Tensor:
    """The entries that differ from the pivot along one dimension."""
    place: list[int | slice] = [*pivot]
    place[dim] = slice(None)
    return weight[tuple(place)]


def _is_product(
    weight: Tensor, pivot: tuple[int, ...], line: Tensor, dim: int, tolerance: float
) -> bool:
    """Whether the weight is its slice at the pivot times the line."""
    for part in (weight[pivot[0] :][:1], weight):  # one output channel tells most
        product = part.narrow(dim, pivot[dim], 1) * _along(line, dim, part.ndim)
        if float((part - product).abs().max()) > tolerance:
            return False
    return True


def _along(line: Tensor, dim: int, dims: int) -> Tensor:
    return line.reshape(-1, *[1] * (dims - 1 - dim))


def _product(rest: Tensor, lines: dict[int, Tensor]) -> Tensor:
    for j, line in lines.items():
        rest = rest * _along(line, 2 + j, rest.ndim)
    return rest


def _distance(weight: Tensor, product: Tensor, most_reads: Sequence[int]) -> float:
    """The norm of the difference's operator, bounded with the rounding of both."""
    # a complex product rounds to within 3 units, the difference to one
    rounding = gamma(4 * weight.ndim)
    size = (weight - product).abs() + rounding * (weight.abs() + product.abs())
    taps = torch.linalg.vector_norm(size.flatten(2), dim=(0, 1))
    slack = 1 + gamma(size.numel() + 16)
    return up(float(taps.sum()) * math.sqrt(math.prod(most_reads)) * slack, 4)
