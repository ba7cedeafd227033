"""Both ends of the norm where padding mirrors as the kernel does.

All axes are rings or halves of rings (:mod:`convspec.operators.half_ring`), so that the
singular values of the operator are those of its symbol at some frequencies.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from convspec.bounds.spectral_norm.parts import Parts
from convspec.frequency.torus import TorusBlocks
from convspec.operators.reduce import Reduction
from convspec.operators.symbol import Symbol
from convspec.rounding import down_nonnegative, norm_enclosure, up
from convspec.run.budget import Budget
from convspec.spectrum.fourier.closed import Closed
from convspec.spectrum.fourier.cost import blocks_bytes, blocks_flops
from convspec.spectrum.fourier.values import decomposed

__all__ = ["mirrored_norm"]

INDEX = 64  # bytes of what is known of a frequency


def mirrored_norm(
    reduced: Reduction, rtol: float, budget: Budget
) -> tuple[float, float] | None:
    """``lower <= ||B|| <= upper`` from all frequencies.

    Args:
        reduced: The operator, of weights near 1.
        rtol: Relative gap to stop at.
        budget: What it may take, and has taken.

    Returns:
        None where no axis is half of a ring, one is no ring either, or it is too much.
    """
    kept = [j for j, axis in enumerate(reduced.axes) if not axis.single]
    rings = [j in reduced.half_rings or reduced.axes[j].cyclic for j in kept]
    if not reduced.half_rings or not all(rings):
        return None
    found = _Frequencies.of(reduced)
    if not budget.allows(found.flops, found.bytes):
        return None
    budget.spend(found.flops)
    lower = found.lower()
    return lower, max(lower, found.upper(lower * (1 + rtol) * (1 - 2.0**-48)))


@dataclass(frozen=True)
class _Frequencies:
    """All of them, and their blocks."""

    reduced: Reduction
    closed: Closed
    parts: Parts

    @classmethod
    def of(cls, reduced: Reduction) -> _Frequencies:
        closed = Closed.of(reduced)
        coefficients = reduced.symbol.coefficients
        terms = 1
        for i, axis in enumerate(closed.axes):
            offsets, _ = axis.on_ring(i in closed.halves)
            terms *= max(Counter(offsets.tolist()).values())
        absolute = coefficients
        if terms > 1:
            absolute = closed.symbol(reduced.weight.abs(), reduced.groups).coefficients
        index, times = closed.frequencies(not reduced.weight.is_complex())
        parts = Parts(
            coefficients[:, None],
            reduced.symbol.lags,
            index,
            closed.sizes,
            times,
            square=1,
            exact=(),
            terms=terms,
            absolute=absolute[:, None],
        )
        return cls(reduced, closed, parts)

    @property
    def _symbol(self) -> Symbol:
        return self.reduced.symbol

    @property
    def flops(self) -> float:
        """Of decomposing and of testing all blocks."""
        groups, shape = self._symbol.groups, self._symbol.block_shape
        decomposing = len(self.parts.index) * blocks_flops(groups, shape)
        return decomposing + self.parts.flops(groups)

    @property
    def bytes(self) -> int:
        """Held at a time."""
        count = len(self.parts.index)
        each = INDEX + 8 * self._symbol.groups * min(self._symbol.block_shape)
        return blocks_bytes(self._symbol, count) + self.parts.chunk_bytes + count * each

    def lower(self) -> float:
        """At most the norm: that of the block that seems to be the largest."""
        dtype = self.reduced.weight.dtype
        blocks = TorusBlocks(self._symbol, self.closed.sizes, dtype)
        values, _ = decomposed(blocks, self.parts.index, "fast")
        tops = values.reshape(len(values), self._symbol.groups, -1)[:, :, 0]
        place, group = np.unravel_index(int(tops.argmax()), tops.shape)
        taps = self.parts.taps(int(group), np.array([place]))[:, 0]
        lower, _ = norm_enclosure(taps)
        off = up(self.parts.radius(int(group)) + self.closed.distance)
        return down_nonnegative(float(lower[0]) - off)

    def upper(self, target: float) -> float:
        """At least the norm: the target, where that can be proven."""
        caps = torch.full((len(self.parts.index),), math.inf, dtype=torch.float64)
        goal = down_nonnegative(target - self.closed.distance)
        tops = [
            float(self.parts.norms(group, goal, caps).max())
            for group in range(self._symbol.groups)
        ]
        distance = self.closed.distance
        return up(max(tops) + distance) if distance else max(tops)
