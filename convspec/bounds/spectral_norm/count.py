"""How many singular values of a torus exceed a level, at most: a proof for each block.

If ``G - W W^H <= nu I`` for W of k columns, then G has at most k eigenvalues above nu
(Weyl). W is a computed matrix, taken as it is: leading eigenvectors times the roots of
their eigenvalues do, and one Cholesky factorisation proves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.spectral_norm.field import Field, TorusGrid
from convspec.bounds.spectral_norm.prune import Region
from convspec.rounding.definite import at_most
from convspec.rounding.directed import UNIT, down
from convspec.rounding.norms import above, frobenius_above
from convspec.rounding.products import product_error

__all__ = ["Above", "singular_values_above"]

# eigenvectors of larger matrices are computed in single precision, this much off
SINGLE_SIDE = 96
SINGLE_ERROR = 1e-5
# how many more eigenvalues than computed ones above a level are tried to be taken out
RETRIES = 2


@dataclass(frozen=True)
class Block:
    """A block of the torus that may have singular values above a level.

    Attributes:
        place: Which of the frequencies it is at.
        gram: G, (n, n).
        error: At least the 2-norm of what it is off by; scalar.
        times: How many blocks it stands for.
        squares: Eigenvalues of G, computed, descending: all that may be above; (k,).
        vectors: Their eigenvectors, (n, k).
    """

    place: int
    gram: Tensor
    error: Tensor
    times: int
    squares: Tensor
    vectors: Tensor

    def count(self, square: float) -> int | None:
        """At least the number of eigenvalues above a square, None if not proven."""
        ceiling = torch.tensor(square, dtype=torch.float64)
        first = int((self.squares > square).sum())
        for k in range(first, min(first + RETRIES, len(self.squares)) + 1):
            if k == len(self.gram):
                return k * self.times
            taken = self.vectors[:, :k] * self.squares[:k].clamp(min=0).sqrt()
            left = self.gram - taken @ taken.mH
            size = frobenius_above(taken) if k else torch.zeros((), dtype=torch.float64)
            rounding = product_error(k + 1, True) * size**2
            rounding = rounding + 2 * UNIT * frobenius_above(left)
            error = above(self.error + rounding, 16 * UNIT)
            if bool(at_most(left[None], ceiling, error[None])[0]):
                return k * self.times
        return None


@dataclass(frozen=True)
class Above:
    """The blocks of a torus that may have singular values above a level.

    Attributes:
        level: All other blocks are proven to have none above it.
        blocks: Those that may.
        tests: Blocks that were tested.
    """

    level: float
    blocks: tuple[Block, ...]
    tests: int

    @property
    def values(self) -> list[float]:
        """The singular values above the level, computed, descending."""
        found = [
            value
            for block in self.blocks
            for value in block.squares.clamp(min=0).sqrt().tolist() * block.times
            if value > self.level
        ]
        return sorted(found, reverse=True)

    def count(self, level: float) -> int | None:
        """At least the number of singular values above a level not below this one."""
        total = 0
        for block in self.blocks:
            found = block.count(down(level * level))
            if found is None:
                return None
            total += found
        return total


def singular_values_above(
    field: Field, grid: TorusGrid, region: Region | None, level: float, most: int
) -> Above | None:
    """The blocks of a torus with singular values above a level, of the scaled symbol.

    Args:
        field: The symbol.
        grid: The frequencies of the torus.
        region: Where to look, proven at this level; everywhere if None.
        level: T.
        most: Give up if there are more.
    """
    shape = field.symbol.groups, len(grid.index)
    live = torch.ones(shape, dtype=torch.bool)
    if region is not None:
        live = ~region.outside(grid.turns)
    groups, places = live.nonzero(as_tuple=True)
    failed: list[tuple[Tensor, IntArray]] = []
    total, first, size = 0, 0, 4 * field.chunk(len(groups))
    while first < len(groups):
        some, where = groups[first : first + size], places[first : first + size].numpy()
        open_ = ~field.below(some, grid, where, level)
        failed.append((some[open_], where[open_.numpy()]))
        total += int(grid.multiplicity[where[open_.numpy()]].sum())
        first += size
        if total > most:
            return None
    blocks = [
        _block(field, grid, int(group), int(place), level)
        for some, where in failed
        for group, place in zip(some, where, strict=True)
    ]
    return Above(level, tuple(blocks), len(groups))


def _block(field: Field, grid: TorusGrid, group: int, place: int, level: float) -> Block:
    """The block at a frequency, with the eigenvectors that may be above the level."""
    groups = torch.tensor([group], dtype=torch.int64)
    gram = field.gram.at_grid(groups, grid.index[[place]], grid.sizes)[0]
    least = level * level * (1 - 64 * field.slack) - float(field.gram.error[group])
    squares, vectors = _eigenpairs(gram, least)
    return Block(
        place,
        gram,
        field.gram.error[group],
        int(grid.multiplicity[place]),
        squares.flip(0),
        vectors.flip(1),
    )


def _eigenpairs(gram: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """The eigenvalues from ``least`` on, ascending, and vectors: (k,), (n, k).

    Of large matrices in single precision, the values as Rayleigh quotients: what is
    proven with them does not ask how they were found.
    """
    if len(gram) < SINGLE_SIDE:
        squares, vectors = scipy.linalg.eigh(
            gram.numpy(), subset_by_value=(least, np.inf)
        )
        return torch.from_numpy(squares), torch.from_numpy(vectors).to(gram)
    rough = gram.to(torch.complex64).numpy()
    reach = least * (1 - SINGLE_ERROR), np.inf
    _, basis = scipy.linalg.eigh(rough, subset_by_value=reach)
    vectors = torch.linalg.qr(torch.from_numpy(basis).to(gram))[0]
    inner, turned = torch.linalg.eigh(vectors.mH @ gram @ vectors)
    return inner, vectors @ turned
