"""Block Lanczos with thick restart on a Hermitian G >= 0, its basis stored as rows.

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
    """Approximate leading eigenvectors of a Hermitian G >= 0.

    Attributes:
        rows: Orthonormal up to the rounding of the dtype; (count, n).
        values: The eigenvalues, descending, in double precision; (count,).
        converged: Whether all residuals are within the tolerance.
        steps: Blocks multiplied by A^H A.
    """

    rows: Tensor
    values: Tensor
    converged: bool
    steps: int


def thick_restart_lanczos(
    gram: Gram,
    start: Tensor,
    count: int,
    allowed: Callable[[Tensor], Tensor],
    *,
    capacity: int,
    max_steps: int,
    generator: torch.Generator,
    unswept: int = 12,
) -> RitzVectors:
    """The ``count`` leading eigenvectors of a Hermitian G >= 0 by block Lanczos.

    Stops when ``||G v - theta v||``, as estimated by the recurrence, is allowed for each
    of the wanted pairs.

    Args:
        gram: Rows (b, n) -> rows of G x, say A^H A x; (b, n).
        start: Starting block; (b, n).
        count: Eigenvectors wanted.
        allowed: From the eigenvalues found, descending, to the largest residual of each.
        capacity: Most basis vectors held, at least ``count + 2 b``.
        max_steps: Most blocks multiplied.
        generator: For the directions that replace those that break down.
        unswept: Most steps in a row that leave out older basis vectors; 0 where the
            eigenvalues span so many orders that one step undoes orthogonality.
    """
    block = len(start)
    basis = start.new_empty(capacity + block, start.shape[1])
    basis[:block], _ = orthonormal_rows(start, basis[:0], generator)
    projected = torch.zeros(len(basis), len(basis), dtype=_wide(start))
    sweeps = _Sweeps(torch.finfo(start.dtype).eps, unswept)
    first, end, steps = 0, block, 0
    while True:
        image = gram(basis[first:end])
        scale = _norm(image)
        steps += 1
        sweep = sweeps.due()
        image, overlaps = _orthogonalise(image, basis[:end], 2 * block, sweep)
        if sweep:
            sweeps.note(_norm(overlaps[:, : -2 * block]), _norm(image))
        projected[:end, first:end] = overlaps.T.to(projected)
        projected[first:end, :end] = overlaps.conj().to(projected)
        following, coupling = orthonormal_rows(image, basis[:end], generator, scale)
        full = end + block > capacity
        # small problems are looked at after each step, large ones now and then
        if full or end <= 8 * block or steps % 4 == 0 or steps >= max_steps:
            theta, y = torch.linalg.eigh(projected[:end, :end])
            theta, y = theta.flip(0), y.flip(1)
            residual = torch.linalg.vector_norm(coupling.T @ y[first:end], dim=0)
            met = residual <= allowed(theta)
            converged = end >= count and bool(met[:count].all())
            if converged or steps >= max_steps:
                weights = y[:, :count].T.to(basis)
                rows = weights @ basis[:end]
                return RitzVectors(rows, theta[:count], converged, steps)
        if full:
            keep = min(count + block, capacity - block)
            basis[:keep] = y[:, :keep].T.to(basis) @ basis[:end]
            projected.zero_()
            projected[:keep, :keep] = torch.diag(theta[:keep]).to(projected)
            end = keep
            sweeps.restart()
        basis[end : end + block] = following
        first, end = end, end + block


class _Sweeps:
    """When to orthogonalise against the whole basis: as seldom as will do.

    A basis orthogonal to ``sqrt(eps)`` gives the projected matrix to eps (Simon, "The
    Lanczos algorithm with partial reorthogonalization", Math. Comp. 42, 1984). Each sweep
    shows how much was lost since the one before. They come in pairs, because the
    recurrence has two terms.
    """

    def __init__(self, eps: float, longest: int) -> None:
        self._longest = longest
        self._allowed = math.sqrt(eps) / 8
        self._interval = 0
        self.restart()

    def restart(self) -> None:
        """The basis has changed, and couples with the next image: sweep twice."""
        self._left, self._since, self._coupled = 2, 0, True

    def due(self) -> bool:
        """Whether the next image is to be swept."""
        self._since += 1
        if not self._left and self._since > self._interval:
            self._left = 2
        return self._left > 0

    def note(self, overlap: float, left: float) -> None:
        """What a sweep removed along vectors that the recurrence leaves out, and left."""
        first = self._left == 2
        self._left, self._since = self._left - 1, 0
        if first and not self._coupled:
            if overlap > self._allowed * left:
                self._interval //= 4
            elif overlap < self._allowed / 8 * left:
                self._interval = min(self._interval + 2, self._longest)
        self._coupled = False


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
    if count == 1 and size > CANCELLED * scale and math.isfinite(scale):
        return rows / size, torch.full((1, 1), size, dtype=_wide(rows))
    largest = max(size, scale) if math.isfinite(scale) else size
    negligible = 8 * count * torch.finfo(rows.dtype).eps * largest
    q, remainder = rows[:0], rows
    while len(q) < count and _norm(remainder) > negligible:
        found = _well_conditioned(remainder)[: count - len(q)]
        if len(found) == count and size > CANCELLED * scale:
            q = _orthonormal(found, [], 1)  # orthogonal to the basis as it is
        else:
            q = torch.cat([q, _orthonormal(found, [against, q], 2)])
        if len(q) < count:
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
        inverse = torch.linalg.solve_triangular(
            factor, torch.eye(len(rows), dtype=factor.dtype), upper=False
        )
        rows = inverse.to(rows) @ rows  # as accurate: the rows are well conditioned
    return rows


def _norm(rows: Tensor) -> float:
    return float(torch.linalg.vector_norm(rows))


def _orthogonalise(
    image: Tensor, basis: Tensor, recent: int, sweep: bool
) -> tuple[Tensor, Tensor]:
    """Remove the basis from the image; the overlaps removed, (b, end).

    First the part along the last ``recent`` vectors, which is nearly all of it between
    restarts, then again, or the whole in a sweep, and the whole again where a row nearly
    cancelled: twice is enough (Giraud and Langou, 2002).
    """
    overlaps = image.new_zeros(len(image), len(basis))
    latest, whole = (basis[-recent:], overlaps[:, -recent:]), (basis, overlaps)
    for vectors, part in (latest, whole if sweep else latest):
        image = _without(image, vectors, part)
    lengths, removed = (torch.linalg.vector_norm(x, dim=1) for x in (image, overlaps))
    if sweep and bool((lengths < CANCELLED * removed).any()):
        image = _without(image, basis, overlaps)
    return image, overlaps


def _without(image: Tensor, vectors: Tensor, removed: Tensor) -> Tensor:
    """The image less its parts along orthonormal vectors, which add to ``removed``."""
    along = image @ vectors.mH
    removed += along
    return torch.addmm(image, along, vectors, alpha=-1)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """``a b^H``, on the CPU in double precision."""
    product: Tensor = (a @ b.mH).cpu().to(_wide(a))
    return product


def _wide(rows: Tensor) -> torch.dtype:
    return torch.complex128 if rows.is_complex() else torch.float64
