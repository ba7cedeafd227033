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

from convspec.krylov.orthogonal import CANCELLED, length, orthonormal_rows, wide, without

__all__ = ["RitzVectors", "thick_restart_lanczos"]

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
    projected = torch.zeros(len(basis), len(basis), dtype=wide(start))
    sweeps = _Sweeps(torch.finfo(start.dtype).eps, unswept)
    first, end, steps = 0, block, 0
    while True:
        image = gram(basis[first:end])
        scale = length(image)
        steps += 1
        sweep = sweeps.due()
        image, overlaps = _orthogonalise(image, basis[:end], 2 * block, sweep)
        if sweep:
            sweeps.note(length(overlaps[:, : -2 * block]), length(image))
        projected[:end, first:end] = overlaps.T.to(projected)
        projected[first:end, :end] = overlaps.conj().to(projected)
        following, coupling = orthonormal_rows(image, basis[:end], generator, scale)
        full = end + block > capacity
        # small problems are looked at after each step, large ones now and then
        pause = 1 if end <= 8 * block else 2 if end <= 24 * block else 4
        if full or steps % pause == 0 or steps >= max_steps:
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
        """Whether the next image is to be orthogonalised against the whole basis."""
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
        image, along = without(image, vectors)
        part += along
    lengths, removed = (torch.linalg.vector_norm(x, dim=1) for x in (image, overlaps))
    if sweep and bool((lengths < CANCELLED * removed).any()):
        image, along = without(image, basis)
        overlaps += along
    return image, overlaps
