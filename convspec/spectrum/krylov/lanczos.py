"""Block Lanczos with thick restart on A^H A, its basis stored as rows.

Source: Wu and Simon, "Thick-restart Lanczos method for large symmetric eigenvalue
problems", SIAM J. Matrix Anal. Appl. 22, 2000; Baglama and Reichel, "Augmented implicitly
restarted Lanczos bidiagonalization methods", SIAM J. Sci. Comput. 27, 2005.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["RitzVectors", "orthonormal_rows", "thick_restart_lanczos"]

# below this part of its norm a remainder is orthogonalised once more
CANCELLED = 1e-2

Gram = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RitzVectors:
    """Approximate leading eigenvectors of A^H A.

    Attributes:
        rows: Orthonormal up to the rounding of the dtype; (count, n).
        converged: Whether all residuals are within the tolerance.
        steps: Blocks multiplied by A^H A.
    """

    rows: Tensor
    converged: bool
    steps: int


def thick_restart_lanczos(
    gram: Gram,
    start: Tensor,
    count: int,
    rtol: float,
    *,
    capacity: int,
    max_steps: int,
    generator: torch.Generator,
) -> RitzVectors:
    """The ``count`` leading eigenvectors of A^H A by block Lanczos.

    Stops when ``||A^H u - sigma v|| <= rtol sigma_1`` for each of the wanted pairs, as
    estimated by the recurrence.

    Args:
        gram: Rows (b, n) -> rows of A^H A x; (b, n).
        start: Starting block; (b, n).
        count: Eigenvectors wanted.
        rtol: Tolerance relative to the largest singular value.
        capacity: Most basis vectors held, at least ``count + 2 b``.
        max_steps: Most blocks multiplied.
        generator: For the directions that replace those that break down.
    """
    block = len(start)
    basis = start.new_empty(capacity + block, start.shape[1])
    basis[:block], _ = orthonormal_rows(start, basis[:0], generator)
    wide = torch.complex128 if start.is_complex() else torch.float64
    projected = torch.zeros(len(basis), len(basis), dtype=wide)
    first, end, steps = 0, block, 0
    while True:
        image = gram(basis[first:end])
        scale = _norm(image)
        steps += 1
        image, overlaps = _orthogonalise(image, basis[:end], 2 * block)
        projected[:end, first:end] = overlaps.T.to(projected)
        projected[first:end, :end] = overlaps.conj().to(projected)
        following, coupling = orthonormal_rows(image, basis[:end], generator, scale)
        full = end + block > capacity
        # small problems are looked at after each step, large ones now and then
        if full or end <= 8 * block or steps % 4 == 0 or steps >= max_steps:
            theta, y = torch.linalg.eigh(projected[:end, :end])
            theta, y = theta.flip(0), y.flip(1)
            residual = _residuals(theta, y[first:end], coupling)[:count]
            converged = end >= count and bool((residual <= rtol * theta[0].abs()).all())
            if converged or steps >= max_steps:
                weights = y[:, :count].T.to(basis)
                return RitzVectors(weights @ basis[:end], converged, steps)
        if full:
            keep = min(count + block, capacity - block)
            basis[:keep] = y[:, :keep].T.to(basis) @ basis[:end]
            projected.zero_()
            projected[:keep, :keep] = torch.diag(theta[:keep]).to(projected)
            end = keep
        basis[end : end + block] = following
        first, end = end, end + block


def orthonormal_rows(
    rows: Tensor,
    against: Tensor,
    generator: torch.Generator,
    scale: float = math.inf,
) -> tuple[Tensor, Tensor]:
    """Orthonormal Q (b, n) with ``rows = coupling @ Q``, orthogonal to ``against``.

    Directions are taken out in order of size, so that small ones are as accurate as
    large ones. Where none is left the rest is random, without coupling: the space goes
    on growing where the Krylov space is exhausted.

    Args:
        rows: (b, n), orthogonal to ``against`` up to rounding.
        against: Orthonormal rows, with b directions left beside them.
        generator: Of the random directions.
        scale: Norm of the rows before ``against`` was removed from them; far above
            theirs, it is removed again.

    Returns:
        Q, and the coupling (b, b) in double precision on the CPU.
    """
    count = len(rows)
    size = _norm(rows)
    negligible = 8 * count * torch.finfo(rows.dtype).eps * size
    q, remainder = rows[:0], rows
    while len(q) < count and _norm(remainder) > negligible:
        found = _well_conditioned(remainder)[: count - len(q)]
        if len(found) == count and size > CANCELLED * scale:
            q = _orthonormal(found, [], 1)  # orthogonal to the basis as it is
        else:
            q = torch.cat([q, _orthonormal(found, [against, q], 2)])
        remainder = rows - (rows @ q.mH) @ q
    coupling = _inner(rows, q)
    if len(q) < count:
        shape = (count - len(q), rows.shape[1])
        random = torch.randn(shape, generator=generator, dtype=torch.float64).to(rows)
        q = torch.cat([q, _orthonormal(random, [against, q], 2)])
        coupling = torch.nn.functional.pad(coupling, (0, count - coupling.shape[1]))
    return q, coupling


def _well_conditioned(rows: Tensor) -> Tensor:
    """The leading principal directions of the rows, down to 1e-2 of the largest."""
    values, vectors = torch.linalg.eigh(_inner(rows, rows))  # ascending
    live = values > 1e-4 * values[-1]
    weights = (vectors[:, live] / values[live].sqrt()).flip(1)
    leading: Tensor = weights.mH.to(rows) @ rows
    return leading


def _orthonormal(rows: Tensor, others: list[Tensor], passes: int) -> Tensor:
    """Well-conditioned rows, orthogonalised against others and among themselves."""
    for _ in range(passes):
        for other in others:
            rows = rows - (rows @ other.mH) @ other
        factor = torch.linalg.cholesky(_inner(rows, rows))
        rows = torch.linalg.solve_triangular(factor.to(rows), rows, upper=False)
    return rows


def _norm(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(rows))


def _orthogonalise(image: Tensor, basis: Tensor, recent: int) -> tuple[Tensor, Tensor]:
    """Remove the basis from the image; the overlaps removed, (b, end).

    First the part along the last ``recent`` vectors, which is nearly all of it between
    restarts, then the whole: twice is enough (Giraud and Langou, 2002).
    """
    overlaps = image.new_zeros(len(image), len(basis))
    for vectors, part in (
        (basis[-recent:], overlaps[:, -recent:]),
        (basis, overlaps),
    ):
        along = image @ vectors.mH
        part += along
        image = torch.addmm(image, along, vectors, alpha=-1)
    return image, overlaps


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """``a b^H``, on the CPU in double precision."""
    wide = torch.complex128 if a.is_complex() else torch.float64
    product: Tensor = (a @ b.mH).cpu().to(wide)
    return product


def _residuals(theta: Tensor, last: Tensor, coupling: Tensor) -> Tensor:
    """``||A^H A v - theta v|| / sqrt(theta_1)`` scaled to be compared with theta_1.

    With ``u = A v / sigma`` this is ``sigma_1 ||A^H u - sigma v||`` for the leading
    pairs, whose sigma is near sigma_1; smaller sigma are held to the same residual.
    """
    norms: Tensor = torch.linalg.vector_norm(coupling.T @ last, dim=0)
    sigma = theta.clamp(min=0).sqrt()
    top = sigma[0].clamp(min=1e-300)
    return norms * top / sigma.clamp(min=float(top) * 1e-8)
