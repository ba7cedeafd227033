"""Bounds from the entries of the operator: row and column sums, and all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.views import fans, merged, patches, seen_through
from convspec.isolation import isolated
from convspec.operators.kernel import ScaledKernel
from convspec.operators.operator import ConvOperator
from convspec.operators.reads import Reads
from convspec.quantity.bound import Bound
from convspec.rounding import down, gamma, up
from convspec.rounding.scaling import root

__all__ = ["absolute_norm", "frobenius", "one_inf", "schur_norm"]


@isolated
def frobenius(op: ConvOperator) -> Bound:
    """``||A||_F / sqrt(min(m, n)) <= sigma_1 <= ||A||_F``, of one group.

    ``||A||_F^2 = <K, K x_1 M_1 ... x_d M_d>`` with ``M_j[t, u]`` the number of outputs
    whose taps t and u read one pixel of axis j: exact for every geometry. A is block
    diagonal, so that the largest norm of one group takes the place of that of all. It
    grows with the image: above for small images only, below a measure of the average
    singular value.

    Differentiable in the weight, with gradient 0 at zero; at ties between groups the mean
    of their gradients.

    Source: elementary, from ``||A||_F^2 = tr A^H A``, which is the sum of at most
    min(m, n) squares of singular values; Golub and Van Loan, "Matrix Computations", 4th
    edition, 2013, section 2.3.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> bound = cs.bounds.frobenius(op)  # 50 times 4 and 98 times 1
    >>> round(bound.upper**2, 9), round(bound.lower**2, 9)
    (298.0, 5.96)
    """
    kernel = ScaledKernel.of(op)
    overlaps = [read.overlap for read in kernel.axes]
    squares = _squares(kernel.blocks, overlaps)
    size = float(_squares(kernel.blocks.detach().abs(), overlaps).max())
    rows, columns = kernel.blocks.shape[1:3]
    terms = sum(map(len, overlaps)) + rows + columns * math.prod(kernel.taps)
    error = up(gamma(4 * terms) * size)
    square = squares.max()
    found = float(square.detach())
    rank = min(op.geometry.shape) // op.groups
    return kernel.bound(
        "frobenius",
        lower=down(math.sqrt(max(0.0, down(down(found - error) / rank, 2))), 2),
        upper=up(math.sqrt(up(found + error)), 2),
        value=root(square),
        assumptions="any operator",
        reference="elementary",
    )


@isolated
def one_inf(op: ConvOperator) -> Bound:
    """Schur's test: ``sigma_1 <= sqrt(||A||_1 ||A||_inf)``, both norms exact.

    ``||A||_inf`` is the largest row sum of absolute values and ``||A||_1`` the largest
    column sum, of the operator itself, borders and coinciding taps of every padding mode
    included. Below, ``sigma_1 >= max(||A||_inf / sqrt(n), ||A||_1 / sqrt(m))``, of one
    group.

    Differentiable in the weight through the largest sums, with gradient 0 in entries that
    are 0; at ties between channels or groups the mean of their gradients, between places
    at the border and inside through the first that has the largest sum. The root of a
    product of norms is not convex, so that this need be no subgradient.

    Source: Schur, "Bemerkungen zur Theorie der beschränkten Bilinearformen", J. reine
    angew. Math. 140, 1911.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> round(cs.bounds.one_inf(op).upper, 12)
    4.0
    """
    kernel = ScaledKernel.of(op)
    rows, row_error = _largest_sum(kernel, patches, 1)
    columns, column_error = _largest_sum(kernel, fans, 2)
    m, n = (size // op.groups for size in op.geometry.shape)
    row, column = float(rows.detach()), float(columns.detach())
    lower = max(
        down(down(row - row_error) / up(math.sqrt(n)), 2),
        down(down(column - column_error) / up(math.sqrt(m)), 2),
    )
    return kernel.bound(
        "one_inf",
        lower=lower,
        upper=_schur(row + row_error, column + column_error),
        value=root(rows * columns),
        assumptions="any operator",
        reference="Schur 1911",
    )


def schur_norm(kernel: ScaledKernel) -> float:
    """``sqrt(||A||_1 ||A||_inf)`` of the scaled operator, rounded up: :func:`one_inf`."""
    flat = kernel.detached()
    row, row_error = _largest_sum(flat, patches, 1)
    column, column_error = _largest_sum(flat, fans, 2)
    return _schur(float(row) + row_error, float(column) + column_error)


def absolute_norm(kernel: ScaledKernel) -> float:
    """At least the norm of ``|A|``, entry by entry: Schur's test on absolute values.

    It bounds the rounding of a product with A: ``|fl(A x) - A x| <= gamma_k |A| |x|``.
    """
    absolute = replace(kernel, weight=kernel.weight.detach().abs())
    row, row_error = _largest_sum(absolute, patches, 1)
    column, column_error = _largest_sum(absolute, fans, 2)
    product = up(up(float(row) + row_error) * up(float(column) + column_error))
    return up(math.sqrt(product) * (1 + gamma(8)))


def _schur(row: float, column: float) -> float:
    """The root of the product of two sums, each rounded to nearest, rounded up."""
    return up(math.sqrt(up(up(row) * up(column))))


def _squares(blocks: Tensor, overlaps: list[IntArray]) -> Tensor:
    """``<K, K x_1 M_1 ... x_d M_d>`` of each group, summed in two steps."""
    product = blocks
    for overlap in overlaps:
        counts = torch.as_tensor(overlap).to(blocks)
        # contracts the first spatial axis and appends it behind: d turns restore them
        product = torch.tensordot(product, counts, dims=([3], [0]))
    terms = (blocks.conj() * product).real if blocks.is_complex() else blocks * product
    return terms.flatten(2).sum(dim=2).sum(dim=1)


def _largest_sum(
    kernel: ScaledKernel, side: Callable[[Reads], list[IntArray]], keep: int
) -> tuple[Tensor, float]:
    """The largest sum of absolute values over all but groups and one kind of channels.

    Returns:
        The sum, differentiable, and a bound on its rounding: entries in which taps are
        added up err by as much as the sum of their absolute values does.
    """
    summed = [d for d in range(1, kernel.weight.ndim + 1) if d != keep]
    blocks, absolute = kernel.blocks.detach(), kernel.blocks.detach().abs()
    best, error = -1.0, 0.0
    for chosen in product(*[side(read) for read in kernel.axes]):
        sums = seen_through(blocks, chosen).abs().sum(dim=summed)
        if float(sums.max()) > best:
            best, views = float(sums.max()), chosen
        size = float(seen_through(absolute, chosen).sum(dim=summed).max())
        terms = math.prod(blocks.shape[1:3]) // blocks.shape[keep]
        terms = terms * math.prod(map(len, chosen)) + merged(chosen)
        error = max(error, up(gamma(4 * terms) * size))
    return seen_through(kernel.blocks, views).abs().sum(dim=summed).max(), error
