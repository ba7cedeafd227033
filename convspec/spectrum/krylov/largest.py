"""The largest singular values of any operator by Krylov subspaces."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from convspec.krylov.copies import with_copies
from convspec.krylov.lanczos import thick_restart_lanczos
from convspec.limits import require_bytes
from convspec.operators.convolve import product_bytes
from convspec.operators.groups import of_groups, repeated_groups
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import convolution_error
from convspec.operators.rows import gram_of_rows, one_by_one
from convspec.spectrum.krylov.groups import among_groups, each_once
from convspec.spectrum.krylov.result import KrylovResult
from convspec.spectrum.krylov.start import group_norms, symbol_start

__all__ = [
    "basis_within",
    "krylov_bytes",
    "largest_of_map",
    "largest_triples",
    "map_basis_within",
]

# residuals that float32 products reach, in roundings of the root of the length, and the
# least; below, float64 goes on from there
SINGLE_ROUNDINGS, SINGLE = 1 / 32, 1e-6
# groups whose symbol stays, on the grid, below this part of the least value found are not
# searched: zero padding never raises a norm above the symbol's supremum, which is at most
# 1 / cos(pi / 4) times what the grid shows
GROUPS_WITHIN = 0.7
# spaces up to this size are not searched but taken whole
WHOLE = 128
# vectors of a block: pairs of equal values are common
BLOCK = 2
# basis vectors held
USUAL = 96


def largest_triples(
    op: ConvOperator,
    count: int,
    rtol: float,
    max_products: int,
    seed: int = 0,
    most: int = USUAL,
    start: Tensor | None = None,
) -> KrylovResult:
    """The ``count`` largest singular triples, ``||A^H u - sigma v|| <= rtol sigma_1``.

    A residual proves that a singular value is within it, not that none is larger: the
    values are Ritz values, lower bounds up to rounding.

    Args:
        op: In float64 or complex128, with weights near 1.
        count: Triples wanted, at most min(m, n).
        rtol: Tolerance of the residuals relative to sigma_1.
        max_products: Most images multiplied by A or its adjoint.
        seed: Of the starting block's noise.
        most: Basis vectors held, unless the count asks for more; see
            :func:`basis_within`.
        start: Vectors to start from, rows on the smaller side of A, the input if equal;
            waves at the symbol's peaks and noise if None. For an operator of one group.
    """
    if start is not None:
        return _largest(op, count, rtol, max_products, seed, most, start)
    kinds = repeated_groups(op)
    if kinds:
        solve = partial(
            largest_triples, rtol=rtol, max_products=max_products, seed=seed, most=most
        )
        return each_once(op, kinds, count, "largest", solve)
    few = 8 * count <= min(op.shape) // op.groups
    if op.groups > 1 and few and _like_their_symbols(op):
        return _leading_groups(op, count, rtol, max_products, seed, most)
    return _largest(op, count, rtol, max_products, seed, most)


def largest_of_map(
    op: LinearMap,
    error: float,
    count: int,
    rtol: float,
    max_products: int,
    seed: int = 0,
    most: int = USUAL,
) -> KrylovResult:
    """:func:`largest_triples` of a composed map, from noise.

    Args:
        op: In float64 or complex128, in normal form.
        error: At least what a product with a vector of length 1 is off by.
        count: Triples wanted, at most min(m, n).
        rtol: Tolerance of the residuals relative to sigma_1.
        max_products: Most images multiplied by A or its adjoint.
        seed: Of the starting block.
        most: Basis vectors held; see :func:`map_basis_within`.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = min(BLOCK, count, *op.shape), min(op.shape)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    start = noise.to(op.dtype)
    return _largest(op, count, rtol, max_products, seed, most, start, error)


def _leading_groups(
    op: ConvOperator, count: int, rtol: float, max_products: int, seed: int, most: int
) -> KrylovResult:
    """The triples of the groups that can have any of the largest, by their symbols."""
    norms = group_norms(op)
    level = GROUPS_WITHIN * float(norms.max())
    products = 0
    while True:
        groups = torch.nonzero(norms >= level).flatten().tolist()
        found = _largest(of_groups(op, groups), count, rtol, max_products, seed, most)
        products += found.products
        level = GROUPS_WITHIN * float(found.values[-1])
        if int((norms >= level).sum()) <= len(groups):
            return replace(among_groups(found, op, groups), products=products)


def _largest(
    op: LinearMap,
    count: int,
    rtol: float,
    max_products: int,
    seed: int,
    most: int,
    start: Tensor | None = None,
    error: float | None = None,
) -> KrylovResult:
    """The triples of all groups together; of a map the error of products is told."""
    wide = op.shape[1] > op.shape[0]
    side = op.H if wide else op  # the basis lives on the smaller side
    if error is None:
        assert isinstance(side, ConvOperator)
        error = convolution_error(side)
    polished = partial(_polished, op, side, wide, error)
    generator = torch.Generator().manual_seed(seed)
    block = min(BLOCK, count, side.shape[1])
    length = side.shape[1]
    if length <= max(WHOLE, 4 * count + 4 * block):
        whole = torch.eye(length, dtype=side.dtype, device=side.device)
        return polished(whole, count, True, rtol, 2 * length)
    search = partial(_search, side, count, max_products, generator, most)
    if start is None:
        assert isinstance(side, ConvOperator)
        start = symbol_start(side, block, count, generator)
    start = start.to(side.device)
    single = torch.complex64 if op.dtype.is_complex else torch.float32
    eps = torch.finfo(single).eps
    within = max(rtol, SINGLE, SINGLE_ROUNDINGS * eps * math.sqrt(length))
    rows, converged, products = search(single, within, start, 0)
    if rtol >= within or not converged:
        found = polished(rows, count, converged, rtol, products)
        if found.converged or not converged:
            return found
    rows, converged, products = search(op.dtype, rtol, rows, products)
    return polished(rows, count, converged, rtol, products)


def _search(
    side: LinearMap,
    count: int,
    max_products: int,
    generator: torch.Generator,
    most: int,
    dtype: torch.dtype,
    rtol: float,
    start: Tensor,
    products: int,
) -> tuple[Tensor, bool, int]:
    """The leading vectors in one precision, whether they converged, and all products."""
    gram = partial(gram_of_rows, side.to(dtype))
    allowed = partial(_allowed, rtol)
    length = side.shape[1]
    ritz = thick_restart_lanczos(
        gram,
        start.to(dtype),
        count,
        allowed,
        capacity=_capacity(count, len(start), length, most),
        max_steps=max(1, (max_products - products) // (2 * len(start))),
        generator=generator,
    )
    incomplete = not products and count > 1
    products += 2 * len(start) * ritz.steps
    if incomplete and ritz.converged:
        ritz, multiplied = with_copies(
            gram,
            ritz,
            allowed,
            capacity=_capacity(count, count, length, most),
            max_products=(max_products - products) // 2,
            generator=generator,
        )
        products += 2 * multiplied
    return ritz.rows, ritz.converged, products


def _like_their_symbols(op: ConvOperator) -> bool:
    """Whether the norms of groups are near those of their symbols, and not above.

    Padding that repeats pixels raises norms above the symbol's, and small images keep
    them below.
    """
    return all(
        axis.size >= 4 * axis.extent and (axis.mode == "zeros" or not axis.reads_padding)
        for axis in op.geometry.axes
    )


def _capacity(count: int, block: int, length: int, most: int = USUAL) -> int:
    """Basis vectors held: wide enough to restart rarely, within the whole space."""
    return min(max(most, 4 * count + 8 * block), length - block)


def basis_within(op: ConvOperator, count: int, max_bytes: int) -> int:
    """As many basis vectors as usual, or fewer that fit with what else is held.

    Raises:
        TooLargeError: If not even the fewest do.
    """
    needed = krylov_bytes(op, count, 0)
    what = f"the fewest Krylov vectors for {count} of {min(op.shape):,} singular values"
    require_bytes(what, needed, max_bytes, "take a smaller input_size")
    each = min(op.shape) * (16 if op.dtype.is_complex else 8)
    return min(
        USUAL, _capacity(count, count, min(op.shape), 0) + (max_bytes - needed) // each
    )


def map_basis_within(op: LinearMap, count: int, max_bytes: int) -> int:
    """:func:`basis_within` for a composed map, whose numbers are held beside.

    Raises:
        TooLargeError: If not even the fewest vectors fit.
    """
    number = 16 if op.dtype.is_complex else 8
    side = min(op.shape)
    fewest = _capacity(count, count, side, 0) + 4 * count
    needed = number * (fewest * side + 4 * count * sum(op.shape) + BLOCK * op._held)
    what = f"the fewest Krylov vectors for {count} of {side:,} singular values"
    require_bytes(what, needed, max_bytes, "take a smaller map")
    more = (max_bytes - needed) // (number * side)
    return min(USUAL, _capacity(count, count, side, 0) + more)


def krylov_bytes(op: ConvOperator, count: int, most: int = USUAL) -> int:
    """Bytes of the basis and the vectors, in double precision at the end.

    And of a product with a block, and of the weight: scaled, flipped, in single precision
    and as the convolution orders it.
    """
    side = min(op.shape)
    number = 16 if op.dtype.is_complex else 8
    basis = _capacity(count, count, side, most) + 4 * count
    vectors = 4 * count * sum(op.shape)
    wide = product_bytes(op.geometry, op.weight) * number // op.weight.element_size()
    return number * (basis * side + vectors + 4 * op.weight.numel()) + BLOCK * wide


def _allowed(rtol: float, theta: Tensor) -> Tensor:
    """What ``||A^H A v - theta v||`` may be for ``||A^H u - sigma v|| <= rtol sigma_1``.

    With ``u = A v / sigma`` the one is sigma times the other.
    """
    sigma = theta.clamp(min=0).sqrt()
    return rtol * sigma[0] * sigma.clamp(min=1e-8 * float(sigma[0]))


def _polished(
    op: LinearMap,
    side: LinearMap,
    wide: bool,
    error: float,
    rows: Tensor,
    count: int,
    converged: bool,
    rtol: float,
    products: int,
) -> KrylovResult:
    """Rayleigh-Ritz in double precision on the space found, and true residuals."""
    v = torch.linalg.qr(rows.to(side.dtype).mH)[0].mH  # (count, n)
    w = one_by_one(side, v)
    # w = L Q, of the small L = y s z: left vectors are rows of z Q, right ones of y^H V
    q, r = torch.linalg.qr(w.mH)
    y, s, z = torch.linalg.svd(r.mH)
    s, u = s[:count], z[:count] @ q.mH
    right = y[:, :count].mH @ v
    back = one_by_one(side.H, u)
    residual = torch.linalg.vector_norm(back - s[:, None] * right, dim=1)
    errors = residual + error
    if wide:
        left_rows, right_rows = right, u
    else:
        left_rows, right_rows = u, right
    return KrylovResult(
        values=s.cpu().numpy(),
        errors=errors.cpu().numpy(),
        left=left_rows.reshape(len(s), *op.output_shape),
        right=right_rows.reshape(len(s), *op.input_shape),
        converged=converged and bool((residual <= 4 * rtol * s[0]).all()),
        products=products + 2 * count,
    )
