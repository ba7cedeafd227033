"""The largest singular values of any operator by Krylov subspaces."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from convspec.operator import ConvOperator
from convspec.rounding import convolution_error
from convspec.spectrum.krylov.groups import alike, among_groups, each_once, of_groups
from convspec.spectrum.krylov.lanczos import thick_restart_lanczos
from convspec.spectrum.krylov.result import KrylovResult, one_by_one
from convspec.spectrum.krylov.start import leading_groups, symbol_start

__all__ = ["krylov_bytes", "largest_triples"]

# above this tolerance float32 products are enough; below, float64 goes on from there
SINGLE = 1e-4
# groups whose symbol stays below this part of the largest are not searched: no padding
# seen raised a norm by more than a third above its symbol. No proof, and none is claimed:
# Krylov values never exclude a larger one
GROUPS_WITHIN = 0.7
# spaces up to this size are not searched but taken whole
WHOLE = 128


def largest_triples(
    op: ConvOperator, count: int, rtol: float, max_products: int, seed: int = 0
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
    """
    kinds = alike(op)
    if kinds:
        solve = partial(largest_triples, rtol=rtol, max_products=max_products, seed=seed)
        return each_once(op, kinds, count, "largest", solve)
    if op.groups > 1 and _like_their_symbols(op):
        groups = leading_groups(op, GROUPS_WITHIN)
        if len(groups) < op.groups and 8 * count <= min(op.shape) // op.groups:
            found = largest_triples(
                of_groups(op, groups), count, rtol, max_products, seed
            )
            return among_groups(found, op, groups)
    wide = op.shape[1] > op.shape[0]
    side = op.H if wide else op  # the basis lives on the smaller side
    generator = torch.Generator().manual_seed(seed)
    block = min(1 if count == 1 else min(4, count), side.shape[1])
    length = side.shape[1]
    if length <= max(WHOLE, 4 * count + 4 * block):
        whole = torch.eye(length, dtype=side.dtype, device=side.device)
        return _polished(op, side, wide, whole, count, True, rtol, 2 * length)
    rows = symbol_start(side, block, count, generator).to(side.device)
    products, converged = 0, False
    for dtype, tolerance in _phases(op, rtol):
        ritz = thick_restart_lanczos(
            partial(_gram, side.to(dtype)),
            rows.to(dtype),
            count,
            partial(_allowed, tolerance),
            capacity=_capacity(count, len(rows), length),
            max_steps=max(1, (max_products - products) // (2 * len(rows))),
            generator=generator,
        )
        products += 2 * len(rows) * ritz.steps
        rows, converged = ritz.rows, ritz.converged
    products += 2 * count
    return _polished(op, side, wide, rows, count, converged, rtol, products)


def _like_their_symbols(op: ConvOperator) -> bool:
    """Whether the norms of groups are near those of their symbols: borders count little.

    Padding that repeats pixels raises norms above the symbol's, and small images keep
    them below.
    """
    return all(
        axis.size >= 4 * axis.extent and (axis.mode == "zeros" or not axis.reads_padding)
        for axis in op.geometry.axes
    )


def _capacity(count: int, block: int, length: int) -> int:
    """Basis vectors held: wide enough to restart rarely, within the whole space."""
    return min(max(96, 4 * count + 8 * block), length - block)


def krylov_bytes(op: ConvOperator, count: int) -> int:
    """Bytes of the basis and the vectors, in double precision at the end."""
    side = min(op.shape)
    block = 1 if count == 1 else min(4, count)
    rows = _capacity(count, block, side) + 4 * block
    return 8 * (rows * side + 4 * count * sum(op.shape))


def _phases(op: ConvOperator, rtol: float) -> list[tuple[torch.dtype, float]]:
    single = torch.complex64 if op.dtype.is_complex else torch.float32
    phases = [(single, max(rtol, SINGLE))]
    return phases if rtol >= SINGLE else [*phases, (op.dtype, rtol)]


def _allowed(rtol: float, theta: Tensor) -> Tensor:
    """What ``||A^H A v - theta v||`` may be for ``||A^H u - sigma v|| <= rtol sigma_1``.

    With ``u = A v / sigma`` the one is sigma times the other.
    """
    sigma = theta.clamp(min=0).sqrt()
    return rtol * sigma[0] * sigma.clamp(min=1e-8 * float(sigma[0]))


def _gram(op: ConvOperator, rows: Tensor) -> Tensor:
    images = rows.reshape(len(rows), *op.input_shape)
    return op.adjoint(op.apply(images)).reshape(len(rows), -1)


def _polished(
    op: ConvOperator,
    side: ConvOperator,
    wide: bool,
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
    errors = residual + convolution_error(side)
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
        products=products,
    )
