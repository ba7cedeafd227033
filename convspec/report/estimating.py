"""Estimates of what is not enclosed closely, from random frequencies of the symbol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convspec.arrays import FloatArray
from convspec.operators.operator import ConvOperator
from convspec.quantity.enclosure import Enclosure
from convspec.report.enclose import Shared
from convspec.report.quantities import NORM
from convspec.report.readings import Reading
from convspec.run.budget import Budget
from convspec.spectrum.fourier import cost
from convspec.spectrum.sums.estimates import Estimate, Estimated
from convspec.spectrum.sums.sample import Sample

__all__ = [
    "ESTIMATED",
    "Estimating",
    "estimates_of",
    "estimates_share",
    "joined_estimates",
]

# what estimates are given of, where certified ends are wide
ESTIMATED = ("rank", "effective_rank", "nuclear_norm", "log_volume")
# an enclosure as narrow as this needs no estimate beside it
NARROW = 0.02


@dataclass(frozen=True)
class Estimating:
    """Estimates of the quantities whose ends are wide, within them, and of no others.

    Attributes:
        known: Ends of the norm and of :data:`ESTIMATED`.
        max_flops: Operations.
        max_bytes: Byte limit of what is held at a time.
    """

    known: Mapping[str, Reading]
    max_flops: float
    max_bytes: int

    def sample(self, op: ConvOperator) -> Sample | None:
        """The frequencies that they are from; None if nothing is to be estimated."""
        if not self._wide or not 0 < self.known[NORM].ends.upper < math.inf:
            return None
        return self._wanted.sample(op)

    def of_values(self, op: ConvOperator, sampled: FloatArray) -> dict[str, Estimated]:
        """The estimates from the values of the sample."""
        found = self._wanted.of_values(op, sampled)
        return {
            name: _within(found[name], self.known[name].ends)
            for name in self._wide
            if name in found
        }

    @property
    def _wide(self) -> list[str]:
        return [name for name in ESTIMATED if not _gap(self.known[name].ends) <= NARROW]

    @property
    def _wanted(self) -> Estimate:
        norm, nuclear = self.known[NORM].ends, self.known["nuclear_norm"].ends
        return Estimate(
            max_flops=self.max_flops,
            max_bytes=self.max_bytes,
            sigma_1=norm.lower or norm.upper,
            nuclear_norm=nuclear if math.isfinite(nuclear.upper) else None,
        )


def _within(about: Estimated, ends: Enclosure) -> Estimated:
    """The estimate, where certified ends exclude it the nearer of them."""
    return replace(about, value=min(max(about.value, ends.lower), ends.upper))


def _gap(ends: Enclosure) -> float:
    """The relative gap, of logarithms too."""
    if math.isinf(ends.width):
        return math.inf
    return ends.width / max(abs(ends.lower), abs(ends.upper), 1e-300)


def estimates_of(
    op: ConvOperator, _: Budget, wanted: Estimating
) -> dict[str, Estimated] | Shared:
    """The estimates; or, of large blocks, how many lattices there are for them."""
    sample = wanted.sample(op)
    if sample is None:
        return {}
    if sample.flops > cost.SHARE_FLOPS and len(sample.turns) > 1:
        return Shared(len(sample.turns))
    return wanted.of_values(op, sample.values(wanted.max_bytes))


def estimates_share(
    op: ConvOperator, _: Budget, wanted: Estimating, number: int
) -> FloatArray:
    """Singular values at the frequencies of one lattice, (1, values)."""
    sample = wanted.sample(op)
    assert sample is not None
    return sample.values(wanted.max_bytes, slice(number, number + 1))


def joined_estimates(
    op: ConvOperator, _: Budget, wanted: Estimating, values: Sequence[FloatArray]
) -> dict[str, Estimated]:
    """The estimates from all lattices."""
    return wanted.of_values(op, np.concatenate(values))
