"""Norms by products with the operator: lower bounds, and probabilistic upper ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from convspec.arguments import integer, single
from convspec.bounds.schur import absolute_norm
from convspec.bounds.unfolding import unfolding_norm
from convspec.isolation import isolated
from convspec.krylov.independent import Lanczos
from convspec.krylov.random_start import lanczos_excess, power_excess
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.convolve import product_bytes
from convspec.operators.kernel import ScaledKernel
from convspec.operators.linear_map import LinearMap
from convspec.operators.operator import ConvOperator
from convspec.operators.product_error import convolution_error
from convspec.operators.rows import gram_of_rows, product_of_rows
from convspec.quantity.bound import Bound
from convspec.rounding import down, down_nonnegative, gamma, up
from convspec.rounding.directed import UNIT

__all__ = ["krylov", "power_iteration", "rayleigh", "small_side"]

TINY = 1e-300


@isolated
def power_iteration(
    op: ConvOperator,
    steps: int = 30,
    starts: int = 6,
    failure: float = 1e-6,
    seed: int = 0,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """``||A v|| / ||v|| <= sigma_1 <= sqrt(theta) (x^H B^q x)^(1/2q)``, ``B = A^H A``.

    v is the iterate ``B^steps x`` of a random x, and ``q = 2 steps + 1``. The lower end
    is certified. The upper end holds with probability ``1 - failure`` over the starts,
    with ``theta = (0.8 sqrt(N) / failure)^(2/q)`` for one start and a smaller one for
    several, which fail independently; rounding is part of that probability. Convergence
    is slow where singular values cluster, as they do for convolutions.

    Differentiable once in the weight, at the vector found.

    Args:
        op: The operator.
        steps: Products with B.
        starts: Independent starts.
        failure: Probability with which the upper end may be wrong.
        seed: Of the starts.
        max_bytes: Byte limit of what is held at a time.

    Source: Dixon, "Estimating extremal eigenvalues and condition numbers of matrices",
    SIAM J. Numer. Anal. 20, 1983.

    Raises:
        ValueError: Without a step or start, or if failure is not between 0 and 1.
        TooLargeError: If the images of the starts need more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> bound = cs.bounds.power_iteration(op)
    >>> 3.9 < bound.lower < 3.99621 < bound.upper < 5  # 4 cos^2(pi / 102)
    True
    """
    max_bytes = byte_limit(max_bytes)
    seed = integer("seed", seed, 0, "any other fixes the starts as well")
    _check(steps, starts, failure)
    kernel = ScaledKernel.of(op)
    side = small_side(kernel.detached().operator)
    what = f"{starts} images and their products"
    require_bytes(what, _gram_bytes(side, starts), max_bytes, "take fewer starts")
    noise = convolution_error(side)
    needed = 6 * starts * max(side.shape) * kernel.weight.element_size()
    what = f"{starts:,} iterates"
    require_bytes(what, needed, DEFAULT_MAX_BYTES, "take fewer starts", False)
    rows = _random_rows(side, starts, seed)
    logarithms = torch.zeros(starts, dtype=torch.float64)  # of ||B^j x||
    summed = 0.0  # the largest sum on the way
    for _ in range(steps):
        rows = gram_of_rows(side, rows)
        lengths = torch.linalg.vector_norm(rows, dim=1)
        logarithms = logarithms + lengths.log()
        summed = max(summed, float(logarithms.abs().max()))
        rows = rows / lengths.clamp(min=TINY)[:, None]
    images = torch.linalg.vector_norm(product_of_rows(side, rows), dim=1)
    best = rows[images.argmax()]
    lower = rayleigh(side, best, noise)
    q = 2 * steps + 1
    # relative to lambda_1^q: each of 2 q products errs by noise, each scaling by a unit
    growth = 4 * q * noise / max(lower, TINY)
    rounding = math.expm1(growth) + gamma(8 * q) if growth < 1 else math.inf
    theta = power_excess(side.shape[1], q, failure ** (1 / starts), rounding)
    upper = math.inf
    if theta < math.inf:
        found = math.sqrt(theta) * math.exp(float((logarithms + images.log()).max()) / q)
        # each of steps sums rounds; led back to one product they count as often over q
        added = math.expm1(4 * UNIT * (steps + 8) * (summed + 1) / q)
        upper = found * (1 + added + gamma(4 * side.shape[0] + 64)) * (1 + 1e-12)
    return _probable(
        kernel, best, (lower, upper), failure, "power_iteration", "Dixon 1983"
    )


@isolated
def krylov(
    op: ConvOperator,
    steps: int = 30,
    starts: int = 6,
    failure: float = 1e-6,
    seed: int = 0,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> Bound:
    """``||A v|| / ||v|| <= sigma_1 <= sqrt(1 + delta) theta``, by Lanczos.

    theta^2 is the largest Rayleigh quotient of ``A^H A`` over the Krylov space of a
    random start, and v its vector. The lower end is certified. The upper end holds with
    probability ``1 - failure`` over the starts, delta being the least number with
    ``sqrt(2 N / pi) <= failure sqrt(delta) T_(steps - 1)(1 + 2 delta)`` for one start and
    a smaller one for several, which fail independently; T is the Chebyshev polynomial,
    and rounding is part of that probability. On a space no larger than ``steps`` nothing
    is hidden from the iteration.

    Differentiable once in the weight, at the vector found.

    Args:
        op: The operator.
        steps: Dimension of the Krylov space.
        starts: Independent starts.
        failure: Probability with which the upper end may be wrong.
        seed: Of the starts.
        max_bytes: Byte limit of what is held at a time.

    Source: Golub and Kahan 1965 for the iteration; Kuczynski and Wozniakowski,
    "Estimating the largest eigenvalue by the power and Lanczos algorithms with a random
    start", SIAM J. Matrix Anal. Appl. 13, 1992, for the kind of bound; the proof of this
    one is in :func:`convspec.krylov.random_start.lanczos_excess`.

    Raises:
        ValueError: Without a step or start, or if failure is not between 0 and 1.
        TooLargeError: If the bases need more than ``max_bytes``.

    >>> import torch, convspec as cs
    >>> op = cs.ConvOperator(torch.tensor([[[1.0, -2.0, 1.0]]]), 50, padding=1)
    >>> bound = cs.bounds.krylov(op)
    >>> 3.996 < bound.lower < 3.99621 < bound.upper < 4.2  # 4 cos^2(pi / 102)
    True
    """
    max_bytes = byte_limit(max_bytes)
    seed = integer("seed", seed, 0, "any other fixes the starts as well")
    _check(steps, starts, failure)
    kernel = ScaledKernel.of(op)
    side = small_side(kernel.detached().operator)
    order = side.shape[1]
    steps = min(steps, order)
    size = kernel.weight.element_size()
    needed = (starts * steps + 2 * starts) * order * size + _gram_bytes(side, starts)
    what = f"{starts} Krylov bases of {steps} vectors"
    require_bytes(what, needed, max_bytes, "take fewer starts or steps")
    noise = convolution_error(side)
    found = Lanczos.of(
        lambda rows: gram_of_rows(side, rows),
        _random_rows(side, starts, seed),
        steps,
        seed,
    )
    best = found.vectors[found.values.argmax()]
    lower = rayleigh(side, best, noise)
    errors = _perturbations(kernel, found, noise)
    theta = found.values.clamp(min=0) + errors
    upper = 0.0
    for value, error in zip(theta.tolist(), errors.tolist(), strict=True):
        rounding = 4 * steps * (steps + 1) * error / max(value, TINY)
        share = failure ** (1 / starts)
        excess = lanczos_excess(order, steps, share, rounding) if steps < order else 1.0
        upper = max(upper, up(math.sqrt(excess * value) * (1 + 1e-12), 2))
    source = "Kuczynski and Wozniakowski 1992"
    return _probable(kernel, best, (lower, upper), failure, "krylov", source)


def _probable(
    kernel: ScaledKernel,
    vector: Tensor,
    ends: tuple[float, float],
    failure: float,
    name: str,
    reference: str,
) -> Bound:
    """The bound, differentiable at the vector that the iteration found."""
    lower, upper = ends
    image = product_of_rows(small_side(kernel.operator), vector[None])
    return kernel.bound(
        name,
        lower=lower,
        upper=max(lower, upper),
        value=torch.linalg.vector_norm(image),
        assumptions=f"upper end with probability 1 - {failure:g} over the starts",
        reference=reference,
        guarantee="probabilistic",
    )


def _perturbations(kernel: ScaledKernel, found: Lanczos, noise: float) -> Tensor:
    """Bound on the Hermitian E for which the bases are Krylov spaces of ``B + E``.

    What Lanczos left out, two products per vector, and orthogonalising it twice against
    all others; E is made Hermitian and orthogonal to the basis on one side at four times
    the cost.
    """
    steps = found.basis.shape[1]
    size = min(absolute_norm(kernel), unfolding_norm(kernel))  # of A, from above
    product = 3 * noise * size + gamma(64 * steps) * size**2
    return 4 * (found.defects(size**2) + math.sqrt(steps) * product)


def _check(steps: int, starts: int, failure: float) -> None:
    integer("steps", steps, 1)
    integer("starts", starts, 1)
    single("failure", failure)
    if not 0 < failure < 1:
        raise ValueError(f"failure must be a probability in (0, 1); got {failure}")


def small_side(op: ConvOperator) -> ConvOperator:
    """A or its adjoint, whichever has the smaller input."""
    return op.H if op.shape[1] > op.shape[0] else op


def _random_rows(side: ConvOperator, starts: int, seed: int) -> Tensor:
    """Rows uniform on the unit sphere; (starts, n)."""
    generator = torch.Generator().manual_seed(seed)
    shape = starts, side.shape[1]
    rows: Tensor = torch.randn(shape, generator=generator, dtype=side.dtype)
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / lengths


def _gram_bytes(side: ConvOperator, starts: int) -> int:
    """Of rows, their images, and what multiplying them takes."""
    held = starts * (3 * side.shape[1] + 2 * side.shape[0]) + 4 * side.weight.numel()
    product = product_bytes(side.geometry, side.weight, starts)
    return held * side.weight.element_size() + product


def rayleigh(side: LinearMap, row: Tensor, noise: float) -> float:
    """At most ``||A v|| / ||v||``."""
    image = product_of_rows(side, row[None])
    length = float(torch.linalg.vector_norm(row))
    above = up(length * (1 + gamma(4 * row.numel() + 8)))
    below = float(torch.linalg.vector_norm(image)) * (1 - gamma(4 * image.numel() + 8))
    return down_nonnegative(down(below - up(noise * above)) / above, 2) if above else 0.0
