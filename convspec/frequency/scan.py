"""Where the symbol's largest singular value peaks: an estimate, nothing is proven."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.operators.symbol import Symbol

__all__ = ["Peaks", "leading_vectors", "symbol_peaks"]

# points per lag of the coarse grid, at least LEAST and at most MOST by number of axes
PER_LAG = 4
LEAST = 4
MOST = {1: 64, 2: 16, 3: 6}
# local maxima of at least this part of the largest value are refined, so many at most,
# and of what they reach those are kept that are worth more than the other part
REFINED, CANDIDATES = 0.93, 12
KEPT = 0.97
ROUNDS = 4
# steps of a block of vectors: from random ones, and from those of a neighbour
FIRST_STEPS, NEXT_STEPS = 8, 4
BLOCK = 4
# blocks of the symbol, with what is made of them, take so many bytes at a time
CHUNK_BYTES = 2**25
TINY = 1e-30


@dataclass(frozen=True)
class Peaks:
    """Local maxima of ``sigma_1(F(w))``, the largest first.

    Attributes:
        frequencies: w in radians, (j, d); float64. Of real kernels one of w and -w.
        values: Estimates of sigma_1, which are below it but for rounding; (j,).
    """

    frequencies: Tensor
    values: Tensor


def symbol_peaks(symbol: Symbol, most: int = 4, *, max_bytes: int = 2**31) -> Peaks:
    """``argmax_w sigma_1(F(w))``, and local maxima that come near it.

    A coarse grid, then Newton steps on a quadratic through the neighbours of each local
    maximum, at spacings that shrink, of all maxima together. Values are from few steps of
    block power iteration in single precision.

    Args:
        symbol: Its first group counts.
        most: Peaks to return at most, at least one.
        max_bytes: Byte limit of the blocks held at a time.
    """
    single = symbol.to(torch.float32)
    sizes = [_points(symbol, axis) for axis in range(symbol.dim)]
    grid = [2 * math.pi * torch.arange(n, dtype=torch.float64) / n for n in sizes]
    points = torch.stack(torch.meshgrid(*grid, indexing="ij"), dim=-1)
    real = not symbol.coefficients.is_complex()
    half = sizes[0] // 2 + 1 if real else sizes[0]
    points = points[:half].reshape(-1, symbol.dim)
    values, vectors = leading_vectors(
        single, points, 1, steps=FIRST_STEPS, max_bytes=max_bytes
    )
    full = _mirrored(values[:, 0].reshape(half, *sizes[1:]), sizes, real)
    chosen = _local_maxima(full)[:half].reshape(-1).nonzero()[:, 0]
    chosen = chosen[values[chosen, 0].argsort(descending=True)][:CANDIDATES]
    spacing = torch.tensor([2 * math.pi / n for n in sizes], dtype=torch.float64)
    points, values = _refined(
        single, points[chosen], vectors[chosen], spacing / 2, max_bytes
    )
    order = values.argsort(descending=True)
    kept = _distinct(points[order], values[order], most, spacing / 4, real)
    return Peaks(points[order][kept], values[order][kept])


def leading_vectors(
    symbol: Symbol,
    points: Tensor,
    count: int,
    start: Tensor | None = None,
    *,
    steps: int = FIRST_STEPS,
    max_bytes: int = 2**31,
) -> tuple[Tensor, Tensor]:
    """Leading singular values and right vectors of ``F(w)``, by block power iteration.

    Args:
        symbol: In single or double precision; of its first group.
        points: Frequencies, (j, d).
        count: Values wanted, at most the columns of F(w).
        start: Vectors to start from, (j, columns, b); random ones if None.
        steps: Products with ``F^H F``.
        max_bytes: Byte limit of the blocks held at a time.

    Returns:
        Values (j, count), float64, and orthonormal vectors (j, columns, count).
    """
    rows, columns = symbol.block_shape
    width = min(columns, max(BLOCK, 2 * count + 2))
    size = symbol.coefficients.element_size() * 2
    each = size * symbol.groups * (rows * columns + 4 * width * (rows + columns))
    at_once = max(1, min(max_bytes, CHUNK_BYTES) // each)
    found = [
        _iterated(symbol.at(some)[:, 0], count, width, first, steps)
        for some, first in zip(
            torch.split(points, at_once),
            [None] * len(points) if start is None else torch.split(start, at_once),
            strict=False,
        )
    ]
    values, vectors = zip(*found, strict=True)
    return torch.cat(values), torch.cat(vectors)


def _iterated(
    F: Tensor, count: int, width: int, start: Tensor | None, steps: int
) -> tuple[Tensor, Tensor]:
    """Those of some blocks, all at once: (j, rows, columns)."""
    columns = F.shape[-1]
    held = 0 if start is None else start.shape[-1]
    generator = torch.Generator().manual_seed(columns)
    random = torch.randn(
        columns, max(width - held, 0), generator=generator, dtype=torch.float64
    )
    random = random.to(F.dtype).expand(len(F), -1, -1)
    V = random if start is None else torch.cat([start.to(F.dtype), random], dim=-1)
    for step in range(steps):
        if step % 2 == 0:
            V = torch.linalg.qr(V)[0]
        V = F.mH @ (F @ V)
        V = V / torch.linalg.vector_norm(V, dim=(-2, -1), keepdim=True).clamp(min=TINY)
    V = torch.linalg.qr(V)[0]
    image = F @ V
    values, Q = torch.linalg.eigh(image.mH @ image)
    values, Q = values.flip(-1)[..., :count], Q.flip(-1)[..., :count]
    return values.clamp(min=0).double().sqrt(), V @ Q


def _points(symbol: Symbol, axis: int) -> int:
    """Points of the coarse grid along an axis: some per lag."""
    lags = symbol.lags[:, axis]
    span = int(lags.max() - lags.min()) + 1
    return 1 if span == 1 else min(MOST[symbol.dim], max(LEAST, PER_LAG * span))


def _mirrored(half: Tensor, sizes: list[int], real: bool) -> Tensor:
    """Values on the full grid from those on half of it: ``f(-w) = f(w)``."""
    if not real:
        return half
    rest = torch.arange(len(half), sizes[0])
    other = half[-rest % sizes[0]]
    for axis in range(1, half.ndim):
        other = other.index_select(axis, -torch.arange(sizes[axis]) % sizes[axis])
    return torch.cat([half, other])


def _local_maxima(values: Tensor) -> Tensor:
    """Where no neighbour on the torus is larger, and the value is near the largest."""
    best = values
    for axis in range(values.ndim):
        turned = [best.roll(step, dims=axis) for step in (-1, 0, 1)]
        best = torch.stack(turned).amax(dim=0)
    return (values >= best) & (values >= REFINED * values.max())


def _refined(
    symbol: Symbol, points: Tensor, vectors: Tensor, spacing: Tensor, max_bytes: int
) -> tuple[Tensor, Tensor]:
    """Points moved to the maximum of a quadratic through neighbours, some times."""
    stencil, inverse, axes = _stencil(np.flatnonzero(np.ptp(symbol.lags, axis=0)))
    shape = len(points), len(stencil)
    for _ in range(ROUNDS):
        moved = torch.zeros((len(stencil), symbol.dim), dtype=torch.float64)
        moved[:, axes] = stencil
        near = (points[:, None] + spacing * moved).flatten(0, 1)
        start = vectors.repeat_interleave(len(stencil), dim=0)
        found, directions = leading_vectors(
            symbol, near, 1, start, steps=NEXT_STEPS, max_bytes=max_bytes
        )
        values = found[:, 0].reshape(shape)
        best = values.argmax(dim=1)
        vectors = directions.reshape(*shape, -1, 1)[torch.arange(len(points)), best]
        points[:, axes] += spacing[axes] * _steps(values, stencil, inverse)
        spacing = spacing / 2
    values, _ = leading_vectors(
        symbol, points, 1, vectors, steps=NEXT_STEPS, max_bytes=max_bytes
    )
    return points, values[:, 0]


def _stencil(axes: IntArray) -> tuple[Tensor, Tensor, Tensor]:
    """The points {-1, 0, 1}^d of d axes, what fits a quadratic to values there, the axes.

    Axes with one lag alone are left out: nothing depends on their frequencies.
    """
    dim = len(axes)
    steps = np.indices([3] * dim).reshape(dim, 3**dim).T - 1.0
    stencil = torch.from_numpy(steps.reshape(3**dim, dim))
    rows, columns = np.triu_indices(dim)
    ones = torch.ones((len(stencil), 1), dtype=torch.float64)
    terms = torch.cat([ones, stencil, stencil[:, rows] * stencil[:, columns]], dim=1)
    return stencil, torch.linalg.pinv(terms), torch.from_numpy(axes)


def _steps(values: Tensor, stencil: Tensor, inverse: Tensor) -> Tensor:
    """From the stencil's centre to the quadratic's maximum, or to its best point."""
    dim = stencil.shape[1]
    fit = values @ inverse.T  # (points, coefficients)
    hessian = torch.zeros((len(values), dim, dim), dtype=torch.float64)
    rows, columns = np.triu_indices(dim)
    hessian[:, rows, columns] += fit[:, 1 + dim :]
    hessian[:, columns, rows] += fit[:, 1 + dim :]
    curvature, axes = torch.linalg.eigh(hessian)
    slope = (axes.mT @ fit[:, 1 : 1 + dim, None])[..., 0]
    concave = (curvature < -1e-6 * values.amax(dim=1, keepdim=True)).all(dim=1)
    newton = (axes @ (-slope / curvature.clamp(max=-TINY))[..., None])[..., 0]
    inside = concave & (newton.abs() <= 1.5).all(dim=1)
    return torch.where(inside[:, None], newton, stencil[values.argmax(dim=1)])


def _distinct(
    points: Tensor, values: Tensor, most: int, near: Tensor, real: bool
) -> list[int]:
    """The high ones of descending values, none where a larger one or its mirror is."""
    kept: list[int] = []
    for j in range(len(points)):
        if len(kept) == most or float(values[j]) < KEPT * float(values[0]):
            break
        others = points[kept]
        others = torch.cat([others, -others]) if real else others
        gap = torch.remainder(points[j] - others + math.pi, 2 * math.pi) - math.pi
        if not kept or bool((gap.abs() > near).any(dim=1).all()):
            kept.append(j)
    return kept
