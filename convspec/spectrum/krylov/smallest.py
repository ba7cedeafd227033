"""The smallest singular values of any operator, by Lanczos on ``(A^H A)^-1``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from convspec.krylov.copies import with_copies
from convspec.krylov.lanczos import RitzVectors, thick_restart_lanczos
from convspec.krylov.orthogonal import orthogonalised
from convspec.operators.groups import MOST_APART, by_kernel
from convspec.operators.normal import normalised, scaled_back
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import convolution_error
from convspec.operators.rows import one_by_one
from convspec.spectrum.krylov.groups import each_once
from convspec.spectrum.krylov.inverse import InverseGram
from convspec.spectrum.krylov.result import KrylovResult
from convspec.spectrum.krylov.triples import Triples

__all__ = ["smallest_triples"]

# eigenvalues of the inverse below this part of its largest are left to another round:
# beside the largest, rounding would swallow them
RANGE = 1e-7
# and those of vectors that A leaves longer than so many times what they promise
SHORTENED = 2.0
# blocks multiplied in a round; one that takes longer cannot tell its vectors apart, and
# the errors say whether that matters: then rounds are made longer, up to a limit
MAX_STEPS, LONGER, LONGEST = 200, 4, 4000
# of vectors that A shortens to less than this, relative to weights near 1, the rounding
# of A v is felt in its direction
SHORT = 1e-4
# of vectors that are taken off the range of A; most take three
MAX_SWEEPS = 40


def smallest_triples(
    op: ConvOperator, count: int, rtol: float, max_products: int, seed: int = 0
) -> KrylovResult:
    """The ``count`` smallest singular triples, the largest of them first.

    The inverse magnifies what is small, so that Lanczos finds it in a few steps. Values
    are those of A on the space found, never of a Gram matrix: their accuracy is that of
    a dense SVD, about ``eps sigma_1``, where A is square. Where A is not, or has
    exponentially small values with a gap behind them, vectors of values below about
    ``1e-7 sigma_1`` may be mixed with others, and the errors show it.

    Args:
        op: In float64 or complex128, with weights near 1.
        count: Triples wanted, at most min(m, n).
        rtol: Tolerance of the residuals relative to sigma_1.
        max_products: Most images multiplied by A^-1 or its adjoint.
        seed: Of the starting block.
    """
    goal = rtol * float(op.weight.abs().max())  # an entry of A is at most sigma_1
    kinds = by_kernel(op)
    if op.groups == 1 or len(kinds) > MOST_APART:
        return _together(op, count, rtol, max_products, seed, goal)
    # apart, each scaled: beside the values of one, those of larger ones pass for rounding
    solve = partial(_of_group, rtol=rtol, max_products=max_products, seed=seed)
    found = each_once(op, kinds, count, "smallest", solve)
    met = len(found.values) == count and bool(found.errors.max() <= goal)
    found = replace(found, converged=met)
    left = max_products - found.products
    if found.converged or left <= 0 or len(kinds) < op.groups:
        return found
    again = _together(op, count, rtol, left, seed, goal)
    return _better(found, again)


def _of_group(
    op: ConvOperator, count: int, rtol: float, max_products: int, seed: int
) -> KrylovResult:
    """The triples of one group, with weights of any size."""
    near_one, exponent = normalised(op, torch.float64)
    found = smallest_triples(near_one, count, rtol, max_products, seed)
    values, errors = scaled_back(found.values, found.errors, exponent)
    return replace(found, values=values, errors=np.asarray(errors))


def _together(
    op: ConvOperator, count: int, rtol: float, max_products: int, seed: int, goal: float
) -> KrylovResult:
    """The triples by a factor of A, or else of the Gram matrix."""
    wide = op.shape[1] > op.shape[0]
    side = op.H if wide else op  # the basis lives on the smaller side
    found = None
    for squared in (False, True) if side.shape[0] == side.shape[1] else (False,):
        inverse, steps = InverseGram(side, squared), MAX_STEPS
        while found is None or (not found.converged and found.products < max_products):
            left = max_products - (found.products if found else 0)
            again = _by(inverse, side, wide, count, rtol, left, seed, goal, steps)
            enough = again.products < left and steps < LONGEST
            found = _better(found, again) if found else again
            steps *= LONGER
            if not enough:
                break
        if found.converged or found.products >= max_products:
            break
    assert found is not None
    return found


def _better(found: KrylovResult, again: KrylovResult) -> KrylovResult:
    """Of two results that with the smaller errors, and what both cost."""
    better = again if again.errors.max() < found.errors.max() else found
    return replace(better, products=found.products + again.products)


def _by(
    inverse: InverseGram,
    side: ConvOperator,
    wide: bool,
    count: int,
    rtol: float,
    max_products: int,
    seed: int,
    goal: float,
    steps: int,
) -> KrylovResult:
    """The triples by one inverse; converged if their errors meet the goal."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(0, side.shape[1], dtype=side.dtype, device=side.device)
    products, allowed = 0, partial(_allowed, rtol)
    while len(found) < count and (not products or products < max_products):
        missing, left = count - len(found), side.shape[1] - len(found)
        block = min(missing, 4)
        if left <= max(64, 4 * missing + 4 * block):
            found = torch.eye(side.shape[1], dtype=side.dtype, device=side.device)
            break
        start = torch.randn(block, len(found.T), generator=generator, dtype=torch.float64)
        rest = partial(_deflated, inverse, found)
        ritz = thick_restart_lanczos(
            rest,
            orthogonalised(start.to(found), found)[0],
            missing,
            allowed,
            capacity=max(48, 3 * missing + 4 * block),
            max_steps=max(1, min(steps, (max_products - products) // (2 * block))),
            generator=generator,
            unswept=0,
        )
        products += 2 * block * ritz.steps + 2 * missing
        clear = _clear(side, ritz)
        if clear.all() and ritz.converged and float(ritz.values[-1]) < SHORT**-2:
            ritz, multiplied = with_copies(
                rest,
                ritz,
                allowed,
                capacity=max(48, 12 * missing),
                max_products=(max_products - products) // 2,
                generator=generator,
                unswept=0,
            )
            products += 2 * multiplied
            clear = _clear(side, ritz)
        # among values below rounding the inverse is another at each product, and Ritz
        # vectors mix with the start; one product more takes it out of them
        rows = _deflated(inverse, found, ritz.rows[clear.to(ritz.rows.device)])
        rows = torch.nn.functional.normalize(rows, dim=1)
        found = torch.linalg.qr(torch.cat([found, rows]).mH)[0].mH
    result = _polished(side, wide, inverse, found, count, products, generator)
    met = len(result.values) == count and bool(result.errors.max() <= goal)
    return replace(result, converged=met)


def _clear(side: ConvOperator, ritz: RitzVectors) -> Tensor:
    """Which Ritz vectors of the inverse are more than rounding; the first one always.

    ``||A v||^2`` is at most ``1 / theta`` for an eigenvector. The inverse of a singular
    Gram matrix is only known to a part of its largest eigenvalue, and that part has
    vectors that A does not shorten.
    """
    lengths = torch.linalg.vector_norm(one_by_one(side, ritz.rows), dim=1).cpu()
    noise = convolution_error(side)
    least = (lengths - noise).clamp(min=0)  # all that is sure of them
    shortened = least.square() * ritz.values < SHORTENED**2
    clear: Tensor = shortened & (ritz.values > RANGE * ritz.values[0])
    clear[0] = True
    return clear


def _allowed(rtol: float, theta: Tensor) -> Tensor:
    """What ``||G v - theta v||`` may be for G the inverse.

    A part delta of other vectors in v costs ``delta theta`` here, and ``delta sigma_1``
    in the residual of A.
    """
    return 0.01 * rtol * theta.clamp(min=RANGE * float(theta[0]))


def _deflated(inverse: InverseGram, found: Tensor, rows: Tensor) -> Tensor:
    """The inverse on the complement of what is found."""
    images = inverse(orthogonalised(rows, found)[0])
    return orthogonalised(images, found)[0]


def _off_range(
    side: ConvOperator,
    inverse: InverseGram,
    others: Tensor,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Left vectors of value 0: orthonormal u with A^H u = 0, beside others.

    ``w - A (A^H A + shift)^-1 A^H w`` of random w shortens what belongs to sigma by
    ``shift / (sigma^2 + shift)``: again, until it shortens nothing any more.
    """
    shape = (count, side.shape[0])
    u = torch.randn(shape, generator=generator, dtype=torch.float64).to(others)
    least = torch.inf
    for _ in range(MAX_SWEEPS):
        u, _ = orthogonalised(u, others)
        u, _ = orthogonalised(torch.linalg.qr(u.mH)[0].mH, others)
        back = one_by_one(side.H, u)
        reached = float(torch.linalg.vector_norm(back))
        if reached > least / 2:
            break
        least = reached
        u = u - inverse.left(back)
    null: Tensor = torch.linalg.qr(u.mH)[0].mH
    return null


def _polished(
    side: ConvOperator,
    wide: bool,
    inverse: InverseGram,
    found: Tensor,
    count: int,
    products: int,
    generator: torch.Generator,
) -> KrylovResult:
    """Singular values of A on the space found, and true residuals of both sides."""
    _, r = torch.linalg.qr(one_by_one(side, found).mH)
    y, s, _ = torch.linalg.svd(r.mH)
    last = slice(max(0, len(s) - count), None)
    v = torch.flip(y[:, last], [1]).mH @ found  # smallest first
    image = one_by_one(side, v)
    # a left vector from A v drowns in the rounding of A v; the inverse magnifies it
    u = inverse.left(v)
    if inverse.squared and u.shape == v.shape:  # exponentially small values: too much so
        short = torch.linalg.vector_norm(image, dim=1) < SHORT
        u = torch.where(short[:, None], u, image)
    u = torch.linalg.qr(torch.nn.functional.normalize(u, dim=1).mH)[0].mH
    triples = Triples.of(side, v, u, image)
    noise = convolution_error(side)
    lost = triples.back > 2 * (triples.s + triples.ahead + noise)
    if lost.any() and inverse.squared:  # A v is rounding alone, and so is its direction
        u = _off_range(side, inverse, triples.u[~lost], int(lost.sum()), generator)
        mended = Triples.of(side, triples.v, torch.cat([u, triples.u[~lost]]), None)
        triples = min(triples, mended, key=lambda some: float(some.residuals.max()))
    v, u, s = triples.v, triples.u, triples.s
    left, right = (v, u) if wide else (u, v)
    shapes = (side.input_shape, side.output_shape)
    return KrylovResult(
        values=s.cpu().numpy(),
        errors=(triples.residuals + noise).cpu().numpy(),
        left=left.reshape(len(s), *shapes[0 if wide else 1]),
        right=right.reshape(len(s), *shapes[1 if wide else 0]),
        converged=True,
        products=products,
    )
