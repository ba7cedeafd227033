"""Singular-value distributions of operators too large to decompose.

Of the operator itself by stochastic Lanczos quadrature; of its symbol, the limit of
large inputs, by a grid of frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from convspec.arguments import integer, per_axis
from convspec.arrays import FloatArray
from convspec.frequency.conjugate import conjugate_half
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.geometry import ConvGeometry
from convspec.operators.normal import normalised, without_overflow
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.symbol import Symbol
from convspec.rounding.blocks import (
    block_bytes,
    block_values,
    blocks_at_once,
)
from convspec.spectrum.density.boundary import boundary_fraction
from convspec.spectrum.density.quadrature import lanczos_rules
from convspec.spectrum.density.result import Density

__all__ = ["spectral_density", "symbol_density"]


@isolated
def spectral_density(
    op: ConvOperator,
    *,
    probes: int = 16,
    steps: int = 60,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    control: bool = True,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Density:
    """The distribution of all min(m, n) singular values, with its sampling error.

    ``sum_i f(sigma_i) = tr f((A^H A)^(1/2)) = min(m, n) E[v^H f((A^H A)^(1/2)) v]`` for
    v random signs over ``sqrt(min(m, n))``, on the smaller side of A. Each of the
    ``probes`` draws gives a Gauss rule of ``steps`` nodes by Golub-Kahan
    bidiagonalisation. It costs ``2 probes steps`` convolutions and holds
    ``steps min(m, n)`` numbers per probe of those that run together.

    The error has two parts: sampling, of order ``1 / sqrt(probes min(m, n))`` relative
    to the mean, which every estimate states; and the quadrature's own, which is none
    for even moments and falls with ``steps`` for others. Values near zero are resolved
    to ``sqrt(eps) sigma_1``, and no better.

    Args:
        op: Any operator.
        probes: Number of random vectors, at least 2.
        steps: Nodes per probe, at least 1; no more than min(m, n) are used.
        seed: Of the probes. Torch's global generator is neither read nor moved.
        dtype: ``torch.float64`` or ``torch.float32``, the arithmetic of the products.
        control: Whether estimates use the exact Frobenius norm as control variate; see
            :class:`Density`.
        max_bytes: Byte limit of what is held at a time.

    Raises:
        TooLargeError: If a single probe, or the nodes of all, need more than
            ``max_bytes``.
        ValueError: For fewer than 2 probes or 1 step, a bad seed or dtype.

    Sources: Golub and Meurant, "Matrices, Moments and Quadrature with Applications",
    2010; Ubaru, Chen and Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos
    quadrature", SIAM J. Matrix Anal. Appl. 38, 2017.

    Example:
        >>> import torch, convspec as cs
        >>> op = cs.ConvOperator(torch.ones(1, 1, 3, 3) / 9, 64, padding=1)
        >>> density = cs.spectral_density(op, probes=8, steps=20)
        >>> density.nodes.shape, density.count
        ((8, 20), 4096)
        >>> abs(density.check) < 4
        True
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "spectral_density")
    probes = integer("probes", probes, 2, "one probe has no standard error")
    steps = integer("steps", steps, 1, "60 are usual")
    seed = integer("seed", seed, 0, "any other fixes the probes as well")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32 or torch.float64; got {dtype}")
    kept = min(steps, *op.shape)
    require_bytes(
        f"the nodes of {probes:,} probes",
        64 * probes * kept,
        max_bytes,
        "take fewer probes",
    )
    work, exponent = normalised(op, dtype)
    gauss, radau = lanczos_rules(work, probes, kept, seed, max_bytes)
    return Density(
        nodes=_ldexp(gauss.nodes, exponent),
        weights=gauss.weights,
        radau_nodes=_ldexp(radau.nodes, exponent),
        radau_weights=radau.weights,
        shape=op.shape,
        method="lanczos",
        exact_frobenius_norm=_frobenius_norm(op),
        boundary_fraction=boundary_fraction(op.geometry),
        seed=seed,
        controlled=bool(control),
        eps=torch.finfo(dtype).eps,
    )


@isolated
def symbol_density(
    op: ConvOperator,
    grid: int | Sequence[int] | None = None,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Density:
    """The distribution of the symbol's singular values: the limit of large inputs.

    ``(1 / min(m, n)) sum_i f(sigma_i(A))`` tends to the mean over frequencies w of
    ``(1 / c) sum_i f(sigma_i(F(w)))``, for continuous f, as the input grows, whatever
    the padding. It is read like the density of an operator of op's shape, but it is the
    limit's, not op's: the difference is of order boundary / volume. That from the torus
    of op's size, which samples the symbol, is bounded by ``boundary_fraction``.

    Args:
        op: Any operator; only its kernel, stride and shape matter.
        grid: Frequencies per axis, or one number for all; by default op's torus, and at
            least so many that the mean of ``sigma^4`` is exact.
        max_bytes: Byte limit of the result.

    Returns:
        A :class:`Density` of one row, a node for each frequency and singular value.
        Pairs of frequencies with conjugate symbols share one node of twice the weight.

    Raises:
        GeometryError: If grid is not one positive integer per axis.
        TooLargeError: If the result needs more than ``max_bytes``.

    Source: Tilli, "Singular values and eigenvalues of non-Hermitian block Toeplitz
    matrices", Linear Algebra Appl. 272, 1998.
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "symbol_density")
    work, exponent = without_overflow(op)
    symbol = work.symbol()
    sizes = _grid(op.geometry, symbol, grid)
    points, each = math.prod(sizes), symbol.groups * min(symbol.block_shape)
    needed = (32 * each + 32 * symbol.dim) * points
    needed += block_bytes(symbol.groups, symbol.block_shape)
    require_bytes(
        f"the symbol's {each * points:,} singular values",
        needed,
        max_bytes,
        "take a smaller grid",
    )
    index, multiplicity = conjugate_half(sizes, symbol.coefficients.is_complex())
    values = np.empty((len(index), each))
    at_once = blocks_at_once(symbol.groups, symbol.block_shape, max_bytes - needed)
    for first in range(0, len(index), at_once):
        chunk = slice(first, first + at_once)
        blocks = symbol.at_grid(index[chunk], sizes)
        values[chunk] = block_values(blocks).flatten(1).cpu().numpy()
    weights = np.repeat(multiplicity / (points * each), each)
    order = np.argsort(-values.reshape(-1), kind="stable")
    nodes, weights = values.reshape(1, -1)[:, order], weights[None, order]
    nodes = _ldexp(nodes, exponent)
    return Density(
        nodes=nodes,
        weights=weights,
        radau_nodes=nodes,
        radau_weights=weights,
        shape=op.shape,
        method="symbol",
        exact_frobenius_norm=_frobenius_norm(op),
        boundary_fraction=boundary_fraction(op.geometry),
    )


def _grid(
    geometry: ConvGeometry, symbol: Symbol, grid: int | Sequence[int] | None
) -> tuple[int, ...]:
    """Frequencies per axis; by default no fewer than the mean of sigma^4 needs."""
    if grid is not None:
        return per_axis("grid", grid, symbol.dim, least=1)
    span = symbol.lags.max(axis=0) - symbol.lags.min(axis=0)
    return tuple(
        max(output, 2 * int(lags) + 1)
        for output, lags in zip(geometry.outputs, span, strict=True)
    )


def _frobenius_norm(op: ConvOperator) -> float:
    """``||A||_F`` without overflow on the way."""
    unit, exponent = normalised(op, torch.float64)
    return float(_ldexp(np.array(unit.frobenius_norm()), exponent))


def _ldexp(values: FloatArray, exponent: int) -> FloatArray:
    with np.errstate(over="ignore"):  # beyond float64 a value is inf
        scaled: FloatArray = np.ldexp(values, exponent)
    return scaled
