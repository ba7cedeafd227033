"""Random frequencies of a symbol, in lattices, and singular values there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from convspec.arrays import FloatArray
from convspec.errors import GeometryError
from convspec.operators.operator import ConvOperator
from convspec.operators.symbol import Symbol
from convspec.rounding.blocks import block_bytes, block_values, blocks_at_once
from convspec.run.threads import parallel_map
from convspec.spectrum.fourier.cost import blocks_flops

__all__ = ["LATTICES", "Sample"]

# independent shifts; fewer would not tell the standard error
LATTICES = 8
# from this side on blocks are decomposed in single precision, unless they must be fine
WIDEST_DOUBLE = 256


@dataclass(frozen=True)
class Sample:
    """Frequencies of a symbol.

    Attributes:
        symbol: Of an operator in normal form.
        turns: Over 2 pi; (lattices, count, d).
        torus: The operator's own, if it is one; all of its frequencies are one lattice.
        fine: Whether small values matter.
    """

    symbol: Symbol
    turns: FloatArray
    torus: tuple[int, ...]
    fine: bool

    @classmethod
    def of(
        cls,
        op: ConvOperator,
        frequencies: int,
        seed: int,
        fine: bool,
        max_flops: float,
        max_bytes: int,
    ) -> Sample | None:
        """So many frequencies of each lattice, or fewer; None if one is too many."""
        symbol, torus = op.symbol(), _torus(op)
        each = blocks_flops(symbol.groups, symbol.block_shape)
        values_bytes = 16 * symbol.groups * min(symbol.block_shape)
        held = block_bytes(symbol.groups, symbol.block_shape)
        most = min(max_flops / each, max(0.0, max_bytes - held) / values_bytes)
        count = int(min(frequencies, most / LATTICES))
        if not count:
            return None
        if torus and math.prod(torus) <= count * LATTICES:
            return cls(symbol, _all_turns(torus)[None], torus, fine)
        return cls(symbol, _turns(count, symbol.dim, seed, torus), torus, fine)

    @property
    def flops(self) -> float:
        """Estimated operations on all of it."""
        each = blocks_flops(self.symbol.groups, self.symbol.block_shape)
        return math.prod(self.turns.shape[:2]) * each

    def values(self, max_bytes: int, lattices: slice = slice(None)) -> FloatArray:
        """Singular values of all groups, (lattices, count * values)."""
        turns = self.turns[lattices]
        count, symbol = turns.shape[0] * turns.shape[1], self.symbol
        angles = torch.as_tensor(2 * math.pi * turns.reshape(count, -1))
        single = max(symbol.block_shape) > WIDEST_DOUBLE and not self.fine
        at_once = blocks_at_once(symbol.groups, symbol.block_shape, min(max_bytes, 2**25))

        def values(first: int) -> FloatArray:
            blocks = symbol.at(angles[first : first + at_once], max_bytes=max_bytes)
            blocks = blocks.to(torch.complex64) if single else blocks
            found: FloatArray = block_values(blocks).to(torch.float64).numpy()
            return found.reshape(len(blocks), -1)

        pieces = parallel_map(values, range(0, count, at_once))
        return np.concatenate(pieces).reshape(len(turns), -1)


def _torus(op: ConvOperator) -> tuple[int, ...]:
    """The torus whose frequencies give the spectrum of a circulant; () for others."""
    try:
        whole = op.geometry.on_torus() == op.geometry
    except GeometryError:
        return ()
    return op.geometry.outputs if whole else ()


def _all_turns(torus: Sequence[int]) -> FloatArray:
    """All frequencies of a torus over 2 pi; (count, d)."""
    index = np.indices(tuple(torus)).reshape(len(torus), math.prod(torus)).T
    turns: FloatArray = index / np.array(torus, dtype=np.float64)
    return turns


def _turns(count: int, dim: int, seed: int, torus: Sequence[int]) -> FloatArray:
    """Shifted lattices of frequencies over 2 pi; (lattices, count, d)."""
    # Korobov's lattices; the golden section keeps the first two axes apart
    step = max(1, round(count * (math.sqrt(5) - 1) / 2))
    while math.gcd(step, count) > 1:
        step -= 1
    generators = np.array([pow(step, axis, count) for axis in range(dim)], dtype=np.int64)
    lattice = np.outer(np.arange(count), generators) % count / count
    shifts = np.random.default_rng(seed).random((LATTICES, 1, dim))
    turns: FloatArray = (lattice + shifts) % 1.0
    if torus:  # uniform on the circle, so uniform on its points
        sizes = np.array(torus, dtype=np.float64)
        turns = np.floor(turns * sizes) / sizes
    return turns
