"""Plain Lanczos from several starts at once, with a record of how exact it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convspec.krylov.orthogonal import exhausted, orthogonalised
from convspec.rounding import gamma

__all__ = ["Lanczos"]


@dataclass(frozen=True)
class Lanczos:
    """Krylov spaces ``x, B x, ..., B^(q-1) x`` of a Hermitian B, one per start.

    Attributes:
        basis: Orthonormal up to rounding; (starts, q, n).
        values: The largest Ritz values; (starts,).
        vectors: Their vectors; (starts, n).
        left_out: ``||B V - V T - r e_q^T||_F`` of the parts that the tridiagonal T leaves
            out, without the rounding of the products; (starts,).
    """

    basis: Tensor
    values: Tensor
    vectors: Tensor
    left_out: Tensor

    @classmethod
    def of(
        cls, product: Callable[[Tensor], Tensor], rows: Tensor, steps: int, seed: int
    ) -> Lanczos:
        """Lanczos with full reorthogonalisation, each space going its own way.

        Args:
            product: Rows (starts, n) -> rows of B x; (starts, n).
            rows: Starts of length 1; (starts, n).
            steps: Dimension q of the spaces, at most n.
            seed: Of the directions that take the place of exhausted ones.
        """
        generator = torch.Generator().manual_seed(seed + 1)
        starts, order = rows.shape
        basis = rows.new_zeros(starts, steps, order)
        projected = torch.zeros(starts, steps, steps, dtype=torch.float64)
        squares = torch.zeros(starts, dtype=torch.float64)
        coupling = torch.zeros(starts, dtype=torch.float64)
        for step in range(steps):
            basis[:, step] = rows
            known = basis[:, : step + 1]
            image = product(rows)
            size = torch.linalg.vector_norm(image, dim=1)
            image, overlaps = _orthogonalised(image, known)
            projected[:, step, step] = overlaps[:, step].real
            if step:
                projected[:, step, step - 1] = coupling
                projected[:, step - 1, step] = coupling
                overlaps[:, step - 1] -= coupling
            overlaps[:, step] -= overlaps[:, step].real
            squares += overlaps.abs().square().sum(dim=1)
            if step + 1 < steps:
                rows, coupling, dropped = _following(image, size, known, generator)
                squares += dropped**2
        values, mixtures = torch.linalg.eigh(projected)
        vectors = torch.einsum("sq,sqn->sn", mixtures[:, :, -1].to(basis), basis)
        return cls(basis, values[:, -1], vectors, squares.sqrt())

    def defects(self, size: float) -> Tensor:
        """Bound on the perturbation of B that makes this exact; (starts,).

        What was left out, and the orthogonality that is missing; ``size`` bounds the
        norm of B.
        """
        steps, order = self.basis.shape[1:]
        width = math.isqrt(order) + 1  # sums in two steps err by gamma_(2 sqrt(n))
        gram = -torch.eye(steps, dtype=self.basis.dtype)
        for first in range(0, order, width):
            part = self.basis[:, :, first : first + width]
            gram = gram + part @ part.mH
        skew: Tensor = torch.linalg.vector_norm(gram, dim=(1, 2))
        return self.left_out + (skew + steps * gamma(8 * width)) * size


def _orthogonalised(rows: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Each row less its known directions, and how much of them: (starts, j)."""
    rest, along = orthogonalised(rows[:, None], known)
    return rest[:, 0], along[:, 0]


def _following(
    image: Tensor, size: Tensor, known: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The next directions, their couplings, and the norm of what the two leave out."""
    lengths = torch.linalg.vector_norm(image, dim=1)
    live = ~exhausted(lengths, size, image.dtype)
    random = torch.randn(image.shape, generator=generator, dtype=image.dtype)
    rows = torch.where(live[:, None], image, _orthogonalised(random, known)[0])
    rows, overlaps = _orthogonalised(rows / _lengths(rows), known)
    final = _lengths(rows)
    changed = torch.linalg.vector_norm(overlaps, dim=1) + (final[:, 0] - 1).abs()
    coupling = torch.where(live, lengths, torch.zeros_like(lengths))
    return rows / final, coupling, torch.where(live, changed * lengths, lengths)


def _lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return lengths
